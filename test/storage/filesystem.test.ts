import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { filesystemStorage } from '../../src/storage/filesystem.ts';
import { type Storage, StorageFullError } from '../../src/storage/storage.ts';
import { childProgram } from '../support/child-program.ts';
import { bytesOf, keyOf, put, testConformance } from './conformance.ts';
import { silentLog } from './silent-log.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

const newRoot = (): Promise<string> => mkdtemp(join(tmpdir(), 'deckle-storage-'));

testConformance('the file system', async () => {
  const root = await newRoot();
  const storage = await filesystemStorage({ root, log: silentLog });
  return {
    storage,
    close: async () => {
      await storage.close();
      await rm(root, { recursive: true });
    },
  };
});

async function openStorage(t: TestContext, given?: string): Promise<{ storage: Storage; root: string }> {
  const root = given ?? (await newRoot());
  const storage = await filesystemStorage({ root, log: silentLog });
  t.after(async () => {
    await storage.close();
    if (!given) await rm(root, { recursive: true });
  });
  return { storage, root };
}

/** Paths of all files below, relative, but for the journals, which keep what is in its place too. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(folder, 'journal')));
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

const isReadableByAll = async (path: string): Promise<boolean> =>
  ((await stat(path)).mode & 0o444) === (0o444 & ~process.umask());

test('a file lies at its key below the root, and nothing unfinished remains', async (t) => {
  const { storage, root } = await openStorage(t);
  const body = randomBytes(1000);
  const small = randomBytes(10);
  const key = await put(storage, body);
  await storage.putSmall([{ key: keyOf(small), body: small }]);
  assert.deepEqual((await filesBelow(root)).sort(), [key, keyOf(small)].sort());
  assert.equal(storage.localPath(key), join(root, key));
  assert.ok(body.equals(await readFile(join(root, key))));
  assert.ok((await isReadableByAll(join(root, key))) && (await isReadableByAll(join(root, keyOf(small)))));
});

test('what another writes to the path of a pending file is committed with it', async (t) => {
  const { storage } = await openStorage(t);
  const file = await storage.create();
  await file.write(Buffer.from('from here, '));
  await appendFile(file.path as string, 'from there, ');
  await file.write(Buffer.from('and from here again'));
  const key = keyOf(Buffer.from('whatever'));
  await file.commit(key);
  assert.equal((await bytesOf(await storage.read(key))).toString(), 'from here, from there, and from here again');
});

test('a failed commit leaves no temporary file', async (t) => {
  const { storage, root } = await openStorage(t);
  await writeFile(join(root, 'artifact'), 'a file where a folder has to be');
  const body = randomBytes(10);
  await assert.rejects(put(storage, body));
  await assert.rejects(storage.putSmall([{ key: keyOf(body), body }]));
  assert.deepEqual(await filesBelow(root), ['artifact']);
  await rm(join(root, 'artifact'));
  assert.equal(await storage.size(await put(storage, body)), 10);
});

test('one bad file of a group is one bad file', async (t) => {
  const { storage, root } = await openStorage(t);
  const [bad, good] = [randomBytes(10), randomBytes(10)];
  mkdirSync(join(root, 'artifact'));
  await writeFile(join(root, keyOf(bad).slice(0, 'artifact/ab'.length)), 'a file where a folder has to be');
  const outcomes = await Promise.allSettled([bad, good].map((body) => storage.putSmall([{ key: keyOf(body), body }])));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', keyOf(bad).slice(0, 11) === keyOf(good).slice(0, 11) ? 'rejected' : 'fulfilled'],
  );
});

test('close waits for what was asked for', async () => {
  const root = await newRoot();
  const storage = await filesystemStorage({ root, log: silentLog });
  const body = randomBytes(10);
  const putting = storage.putSmall([{ key: keyOf(body), body }]);
  await storage.close();
  await putting;
  assert.deepEqual(await filesBelow(root), [keyOf(body)]);
  await rm(root, { recursive: true });
});

test('the start removes what processes left behind a day ago, and nothing younger', async (t) => {
  const { storage, root } = await openStorage(t);
  const inUse = await storage.create();
  const ages = { abandoned: 25, recent: 23 };
  for (const [name, hours] of Object.entries(ages)) {
    const folder = join(root, 'tmp', name);
    mkdirSync(folder);
    await writeFile(join(folder, 'file-1'), 'unfinished');
    const then = new Date(Date.now() - (hours / 24) * DAY_MS);
    await utimes(folder, then, then);
  }
  await Promise.all([openStorage(t, root), openStorage(t, root), openStorage(t, root)]);
  assert.equal(existsSync(join(root, 'tmp', 'abandoned')), false);
  assert.equal(existsSync(join(root, 'tmp', 'recent', 'file-1')), true);
  await inUse.write(Buffer.from('still here'));
  await inUse.commit(keyOf(Buffer.from('still here')));
  assert.equal(await storage.size(keyOf(Buffer.from('still here'))), 10);
});

test('a writer that is killed leaves every file it answered for, and none that is not whole', async (t) => {
  const root = await newRoot();
  t.after(() => rm(root, { recursive: true }));
  for (const files of [1, 9, 20, 41]) await runUntil(root, files);
});

/** Kills a writer when it has answered for so many files, and looks at what it left. */
async function runUntil(root: string, files: number): Promise<void> {
  const script = childProgram(join(import.meta.dirname, 'interrupted-writer-child.ts'));
  const child: ChildProcess = spawn(process.execPath, [script, root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const answered: string[] = [];
  assert.ok(child.stdout);
  for await (const key of createInterface({ input: child.stdout })) {
    if (answered.push(key) === files) child.kill('SIGKILL');
  }
  await ended;
  assert.equal(child.signalCode, 'SIGKILL');
  const visible = (await filesBelow(root)).filter((path) => !path.startsWith('tmp/'));
  for (const key of visible) {
    const hex = createHash('sha256')
      .update(await readFile(join(root, key)))
      .digest('hex');
    assert.equal(key, `artifact/${hex.slice(0, 2)}/${hex.slice(2)}`, 'a file that is not whole is visible');
  }
  const lost = answered.filter((key) => !visible.includes(key));
  assert.deepEqual(lost, []);
}

/** Mounts a file system of 2 MiB to fill, or answers why it cannot be. */
function mountSmall(folder: string): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount a small tmpfs to fill';
  const { error, status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder], { encoding: 'utf8' });
  if (error) return `mount cannot be run: ${error.message}`;
  return status === 0 ? undefined : `a small tmpfs cannot be mounted: ${stderr.trim()}`;
}

test('a full disk is a StorageFullError that names the folder, and leaves no temporary file', async (t) => {
  const root = await newRoot();
  t.after(() => rm(root, { recursive: true }));
  const reason = mountSmall(root);
  if (reason !== undefined) return t.skip(reason);
  const storage = await filesystemStorage({ root, log: silentLog });
  try {
    const isFull = (error: unknown): boolean => error instanceof StorageFullError && error.message.includes(root);
    const large = randomBytes(3 * 1024 * 1024);
    await assert.rejects(put(storage, large), isFull);
    await assert.rejects(storage.reserve().append(Readable.from([large]), ['sha256']), isFull);
    await assert.rejects(storage.putSmall([{ key: keyOf(large), body: large }]), isFull);
    const bodies = Array.from({ length: 300 }, () => randomBytes(10_000));
    await assert.rejects(storage.putSmall(bodies.map((body) => ({ key: keyOf(body), body }))), isFull);
    const left = await filesBelow(root);
    assert.deepEqual(
      left.filter((path) => path.startsWith('tmp/')),
      [],
    );
    // Those that fitted are whole; with room again, the rest follows.
    for (const key of left) {
      assert.equal(await storage.size(key), 10_000);
      await storage.delete(key);
    }
    const body = randomBytes(1_000_000);
    assert.equal(await storage.size(await put(storage, body)), body.length);
  } finally {
    await storage.close();
    execFileSync('umount', [root]);
  }
});
