import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { loadSecretKeys, SecretKeysError } from '../../src/lib/secret-keys.ts';

const newKey = () => randomBytes(32).toString('base64');

async function keyFile(t: { after: (end: () => Promise<void>) => void }, text?: string, mode = 0o600): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-keys-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'keys', 'secrets.key');
  if (text !== undefined) {
    await mkdir(dirname(file));
    await writeFile(file, text);
    await chmod(file, mode);
  }
  return file;
}

test('makes a key file that only its owner can read, and reads the same key again', async (t) => {
  const file = await keyFile(t);
  const [key, ...others] = await loadSecretKeys({ file });
  assert.equal(key.length, 32);
  assert.deepEqual(others, []);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await readFile(file, 'utf8')).trim(), key.toString('base64'));
  assert.deepEqual(await loadSecretKeys({ file }), [key]);
});

test('all who start at once agree on one key and leave nothing else behind', async (t) => {
  const file = await keyFile(t);
  const loaded = await Promise.all(Array.from({ length: 20 }, () => loadSecretKeys({ file })));
  assert.equal(new Set(loaded.map(([key]) => key.toString('base64'))).size, 1);
  assert.deepEqual(await readdir(dirname(file)), ['secrets.key']);
});

test('reads several keys, newest first, from the file or the setting', async (t) => {
  const keys = [newKey(), newKey()];
  const file = await keyFile(t, `${keys.join('\n')}\n\n`);
  const expected = keys.map((key) => Buffer.from(key, 'base64'));
  assert.deepEqual(await loadSecretKeys({ file }), expected);
  assert.deepEqual(await loadSecretKeys({ file: '/nonexistent/secrets.key', given: keys }), expected);
});

for (const [what, bad] of [
  ['too short', randomBytes(16).toString('base64')],
  ['too long', randomBytes(33).toString('base64')],
  ['mistyped', `!${newKey().slice(1)}`],
  ['hexadecimal', randomBytes(32).toString('hex')],
] as const) {
  test(`says which key is ${what}, without showing it`, async (t) => {
    const file = await keyFile(t, `${newKey()}\n${bad}\n`);
    await assert.rejects(loadSecretKeys({ file }), refusal(`key 2 in ${file} is not 32 bytes in base64`, bad));
    await assert.rejects(
      loadSecretKeys({ file, given: [bad] }),
      refusal('key 1 of DECKLE_SECRET_KEYS is not 32 bytes in base64', bad),
    );
  });
}

test('refuses an empty file or setting in place of making a new key: older secrets would be lost', async (t) => {
  const file = await keyFile(t, '\n');
  await assert.rejects(loadSecretKeys({ file }), refusal(`the key file ${file} holds no key`));
  await assert.rejects(loadSecretKeys({ file, given: [] }), refusal('DECKLE_SECRET_KEYS holds no key'));
});

test('refuses a file that others can read', async (t) => {
  const file = await keyFile(t, newKey(), 0o640);
  await assert.rejects(loadSecretKeys({ file }), refusal(`chmod 600 ${file}`));
});

const refusal =
  (text: string, hidden = 'no such text') =>
  (error: Error): boolean =>
    error instanceof SecretKeysError && error.message.includes(text) && !error.message.includes(hidden);
