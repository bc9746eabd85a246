import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { SecretError, secretBox } from '../../src/lib/secret-box.ts';

const PLACE = 'remote:password:0197b8a4-0000-7000-8000-000000000001';
const key = () => randomBytes(32);

test('opens what it sealed', () => {
  const box = secretBox([key()]);
  for (const secret of ['hunter2', '', 'пароль 😀', 'x'.repeat(10_000)]) {
    assert.equal(box.open(box.seal(secret, PLACE), PLACE), secret);
  }
});

test('the sealed form shows nothing, and is another one each time', () => {
  const box = secretBox([key()]);
  const sealed = box.seal('hunter2', PLACE);
  assert.match(sealed, /^v1:[0-9a-f]{8}:[A-Za-z0-9+/]+=*$/);
  assert.ok(!Buffer.from(sealed.split(':')[2] as string, 'base64').includes('hunter2'));
  assert.notEqual(sealed, box.seal('hunter2', PLACE));
});

test('a secret cannot be moved to another row or column', () => {
  const box = secretBox([key()]);
  const sealed = box.seal('hunter2', PLACE);
  assert.throws(() => box.open(sealed, PLACE.replace(/1$/, '2')), SecretError);
  assert.throws(() => box.open(sealed, PLACE.replace('password', 'proxy_password')), SecretError);
});

test('after a rotation old secrets open, and new ones need the new key', () => {
  const [older, newer] = [key(), key()];
  const before = secretBox([older]);
  const after = secretBox([newer, older]);
  assert.equal(after.open(before.seal('hunter2', PLACE), PLACE), 'hunter2');
  assert.throws(() => before.open(after.seal('hunter2', PLACE), PLACE), SecretError);
});

test('damage is noticed, and the message holds neither secret nor key', () => {
  const secretKey = key();
  const box = secretBox([secretKey]);
  const sealed = box.seal('hunter2', PLACE);
  const [version, id, body] = sealed.split(':') as [string, string, string];
  const bytes = Buffer.from(body, 'base64');
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  for (const damaged of [
    `${version}:${id}:${bytes.toString('base64')}`,
    `v2:${id}:${body}`,
    `${version}:00000000:${body}`,
    `${version}:${id}:`,
    `${version}:${id}:${Buffer.from(body, 'base64').subarray(0, 20).toString('base64')}`,
    'hunter2',
    '',
  ]) {
    assert.throws(
      () => box.open(damaged, PLACE),
      (error: Error) =>
        error instanceof SecretError &&
        error.message.includes(PLACE) &&
        !error.message.includes('hunter2') &&
        !error.message.includes(secretKey.toString('base64')),
      damaged,
    );
  }
});
