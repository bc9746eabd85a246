import assert from 'node:assert/strict';
import test from 'node:test';
import { hashPassword, PasswordHashError, verifyPassword } from '../../src/lib/password-hash.ts';

// RFC 7914, section 12, third vector.
const RFC = {
  password: 'pleaseletmein',
  salt: Buffer.from('SodiumChloride').toString('base64'),
  hash: Buffer.from(
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
    'hex',
  ).toString('base64'),
};

test("accepts the RFC's password with the RFC's hash", async () => {
  const stored = `scrypt$16384$8$1$${RFC.salt}$${RFC.hash}`;
  assert.equal(await verifyPassword(RFC.password, stored), true);
  assert.equal(await verifyPassword(`${RFC.password} `, stored), false);
});

test('a hash is of the strongest cost, salted, and accepts its password alone', async () => {
  const [one, other] = await Promise.all([hashPassword('пароль 😀'), hashPassword('пароль 😀')]);
  assert.match(one, /^scrypt\$131072\$8\$1\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=$/);
  assert.notEqual(one, other);
  assert.equal(await verifyPassword('пароль 😀', one), true);
  assert.equal(await verifyPassword('', one), false);
});

test('an unknown user is refused after as much work as a known one', async () => {
  const stored = await hashPassword('secret');
  const cpu = async (hash: string | undefined): Promise<number> => {
    const before = process.cpuUsage();
    assert.equal(await verifyPassword('wrong', hash), false);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  const known = await cpu(stored);
  const unknown = await cpu(undefined);
  assert.ok(unknown > known / 3, `${unknown} µs for an unknown user, ${known} µs for a known one`);
});

test('many at once all get their answer', async () => {
  const stored = `scrypt$16384$8$1$${RFC.salt}$${RFC.hash}`;
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => verifyPassword(index % 2 ? RFC.password : 'wrong', stored)),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 20 }, (_, index) => index % 2 === 1),
  );
});

for (const stored of [
  '',
  'plain',
  'pbkdf2_sha256$870000$salt$hash=',
  `scrypt$16384$8$1$${RFC.salt}`,
  'scrypt$-1$8$1$AAAA$AAAA',
]) {
  test(`a stored text that is no hash is an error, not a refusal: ${JSON.stringify(stored)}`, async () => {
    await assert.rejects(verifyPassword('secret', stored), PasswordHashError);
  });
}
