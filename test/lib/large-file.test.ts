import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LargeFile } from '../../src/lib/large-file.ts';

const MEGABYTE = 1024 * 1024;
/** Where files begin to go past the page cache is within, and is no end of a piece. */
const BYTES = randomBytes(11 * MEGABYTE + 777);

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deckle-large-'));
});
after(() => rm(folder, { recursive: true }));

function appendInPieces(file: LargeFile, bytes: Buffer, piece: number): void {
  for (let at = 0; at < bytes.byteLength; at += piece) file.append(bytes.subarray(at, at + piece));
}

for (const size of [undefined, BYTES.byteLength]) {
  for (const piece of [1_000, 65_536, 700_001, BYTES.byteLength]) {
    test(`${size === undefined ? 'a file' : 'a file of a known size'} has what came in pieces of ${piece} bytes`, async () => {
      const path = join(folder, `${size}-${piece}`);
      const file = new LargeFile(path, size);
      appendInPieces(file, BYTES, piece);
      file.finish();
      file.close();
      assert.ok((await readFile(path)).equals(BYTES));
    });
  }
}

test('what is there stays, and what comes follows it', async () => {
  const path = join(folder, 'followed');
  await writeFile(path, BYTES.subarray(0, 5 * MEGABYTE + 1));
  const file = new LargeFile(path);
  appendInPieces(file, BYTES.subarray(5 * MEGABYTE + 1), 100_003);
  file.finish();
  file.close();
  assert.ok((await readFile(path)).equals(BYTES));
});

test('one that begins again has only what comes then', async () => {
  const path = join(folder, 'again');
  const file = new LargeFile(path);
  appendInPieces(file, randomBytes(9 * MEGABYTE + 5), 100_003);
  file.restart();
  appendInPieces(file, BYTES, 100_003);
  file.finish();
  file.close();
  assert.ok((await readFile(path)).equals(BYTES));
});
