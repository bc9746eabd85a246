import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type TestContext } from 'node:test';
import { filesystemStorage } from '../../src/storage/filesystem.ts';
import { eventually } from '../queue/eventually.ts';
import { childProgram } from '../support/child-program.ts';
import { keyOf } from './conformance.ts';
import { silentLog } from './silent-log.ts';

async function newRoot(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'deckle-journal-'));
  t.after(() => rm(root, { recursive: true }));
  return root;
}

/** Kills a process that stores small files when it has answered for so many, and says which. */
async function killedWriter(root: string, files: number): Promise<string[]> {
  const script = childProgram(join(import.meta.dirname, 'interrupted-writer-child.ts'));
  const child = spawn(process.execPath, [script, root, 'small'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const answered: string[] = [];
  for await (const key of createInterface({ input: child.stdout })) {
    if (answered.push(key) === files) child.kill('SIGKILL');
  }
  await ended;
  assert.equal(child.signalCode, 'SIGKILL');
  return answered;
}

async function journalsOf(root: string): Promise<string[]> {
  const entries = await readdir(join(root, 'journal'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

const open = (root: string) => filesystemStorage({ root, log: silentLog });

async function assertWhole(root: string, keys: readonly string[]): Promise<void> {
  for (const key of keys) assert.equal(keyOf(await readFile(join(root, key))), key);
}

test('small files that a power failure took, whole or in part, are there again after the next start', async (t) => {
  const root = await newRoot(t);
  const answered = await killedWriter(root, 60);
  assert.ok((await journalsOf(root)).length > 0);
  // What a file system may make of files that were renamed and not synced.
  for (const [index, key] of answered.entries()) {
    const path = join(root, key);
    if (index % 4 === 0) await rm(path);
    if (index % 4 === 1) await truncate(path, 0);
    if (index % 4 === 2) await writeFile(path, Buffer.alloc((await stat(path)).size));
  }
  // Several processes start at once.
  const storages = await Promise.all([open(root), open(root), open(root)]);
  await assertWhole(root, answered);
  await Promise.all(storages.map((storage) => storage.close()));
  await assertWhole(root, answered);
});

test('a journal whose last record was cut off, or is not what was written, is good up to it', async (t) => {
  for (const damage of ['cut', 'changed'] as const) {
    const root = await newRoot(t);
    const bodies = Array.from({ length: 3 }, () => randomBytes(1000));
    const storage = await open(root);
    for (const body of bodies) await storage.putSmall([{ key: keyOf(body), body }]);
    const [journal] = await journalsOf(root);
    assert.ok(journal);
    const bytes = await readFile(journal);
    await storage.close();
    await rm(join(root, 'artifact'), { recursive: true });
    const left = join(root, 'journal', 'of-a-process-that-is-gone');
    await mkdir(left);
    if (damage === 'changed') bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(join(left, '1'), damage === 'cut' ? bytes.subarray(0, -1) : bytes);
    const next = await open(root);
    const sizes = await Promise.all(bodies.map((body) => next.size(keyOf(body))));
    assert.deepEqual(sizes, [1000, 1000, undefined], damage);
    await next.close();
  }
});

test('a journal goes when its files are durable in their places: soon when nothing more is written, and at the end', async (t) => {
  const root = await newRoot(t);
  const storage = await open(root);
  const [first, second] = [randomBytes(100), randomBytes(100)];
  await storage.putSmall([{ key: keyOf(first), body: first }]);
  assert.equal((await journalsOf(root)).length, 1);
  await eventually('the journal is gone', async () => (await journalsOf(root)).length === 0);
  await storage.putSmall([{ key: keyOf(second), body: second }]);
  assert.equal((await journalsOf(root)).length, 1);
  await storage.close();
  for (const folder of ['tmp', 'journal']) assert.deepEqual(await readdir(join(root, folder)), []);
  await assertWhole(root, [keyOf(first), keyOf(second)]);
});

test('what cannot be restored holds no start up, and is restored by a later one', async (t) => {
  const root = await newRoot(t);
  const [key = ''] = await killedWriter(root, 1);
  await rm(join(root, 'artifact'), { recursive: true });
  await writeFile(join(root, 'artifact'), 'a file where a folder has to be');
  await (await open(root)).close();
  await rm(join(root, 'artifact'));
  await (await open(root)).close();
  await assertWhole(root, [key]);
});

test('files that cannot be made durable in their places are in the journal, and there again after the next start', async (t) => {
  const root = await newRoot(t);
  const storage = await open(root);
  const body = randomBytes(100);
  await storage.putSmall([{ key: keyOf(body), body }]);
  // A folder that is not there cannot be synced.
  await rm(join(root, 'artifact'), { recursive: true });
  await storage.close();
  assert.equal((await journalsOf(root)).length, 1);
  await (await open(root)).close();
  await assertWhole(root, [keyOf(body)]);
});

test('more small files than one journal takes', async (t) => {
  const root = await newRoot(t);
  const storage = await open(root);
  const keys: string[] = [];
  for (let round = 0; round < 6; round += 1) {
    const bodies = Array.from({ length: 260 }, () => randomBytes(60_000));
    await storage.putSmall(bodies.map((body) => ({ key: keyOf(body), body })));
    keys.push(...bodies.map(keyOf));
  }
  await storage.close();
  await assertWhole(root, keys);
});

test('a file that was deleted meanwhile does not hold the journal up', async (t) => {
  const root = await newRoot(t);
  const storage = await open(root);
  const body = randomBytes(100);
  await storage.putSmall([{ key: keyOf(body), body }]);
  await storage.delete(keyOf(body));
  await storage.close();
  for (const folder of ['tmp', 'journal']) assert.deepEqual(await readdir(join(root, folder)), []);
  assert.deepEqual(
    (await readdir(join(root, 'artifact'), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()),
    [],
  );
});
