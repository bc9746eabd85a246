import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { missing } from '../../support/missing.ts';
import { ostree, ostreeFixture } from '../../support/ostree-fixtures.ts';
import { bodyOf, FAULTS, type Fault } from '../../support/upstream-faults.ts';
import { change, reports, type SyncWorld, startSyncWorld } from './sync-world.ts';

const skip = missing('ostree');
let world: SyncWorld;
before(async () => {
  if (!skip) world = await startSyncWorld();
});
after(() => world?.stop());

/** A sync of a small repository of which one file is answered badly; the error's text, after checking that nothing came of it. */
async function failing(path: string | ((folder: string) => Promise<string>), fault: Fault): Promise<string> {
  const { fixture, upstream } = await world.upstream('small');
  const reference = typeof path === 'string' ? path : await path(fixture.path);
  upstream.fault({ reference, fault });
  const repository = await world.repository();
  const remote = await world.remote(upstream.url, { include_refs: ['stable'] });
  const task = await world.sync(repository, remote);
  assert.equal(task.state, 'failed', `with ${reference}`);
  assert.deepEqual(task.created_resources, []);
  const { body } = await world.app.request('GET', repository);
  assert.match(body.latest_version_href, /versions\/0\/$/);
  assert.ok(task.error.description.includes(`${upstream.url}${reference}`), `no URL in: ${task.error.description}`);
  return task.error.description;
}

const status = (code: number): Fault => ({ answer: { status: code } });
const bytes = (body: Buffer | string): Fault => ({ answer: { status: 200, body } });

const commitPath = async (folder: string): Promise<string> => {
  const head = (await ostree(folder, 'rev-parse', 'stable')).trim();
  return `objects/${head.slice(0, 2)}/${head.slice(2)}.commit`;
};

test('config: a bare repository, HTML, garbage, nothing', { skip }, async () => {
  assert.match(await failing('config', bytes('[core]\nrepo_version=1\nmode=bare\n')), /mode "bare": only an archive/);
  assert.match(await failing('config', FAULTS.html), /HTML page/);
  assert.match(await failing('config', bytes('nonsense')), /config: /);
  assert.match(await failing('config', status(404)), /404/);
});

test('summary: HTML, garbage, cut off', { skip }, async () => {
  assert.match(await failing('summary', FAULTS.html), /summary/);
  assert.match(await failing('summary', bytes(Buffer.from('ffffffffffffffff', 'hex'))), /summary: /);
  assert.match(await failing('summary', FAULTS.cutOff(10)), /cut off/);
});

test('a commit: missing, of other bytes, HTML', { skip }, async () => {
  assert.match(await failing(commitPath, status(404)), /the commit [0-9a-f]{64} of the ref "stable" is not on the server/);
  assert.match(await failing(commitPath, bytes('other')), /[0-9a-f]{64}\.commit: its bytes have the checksum/);
  assert.match(await failing(commitPath, FAULTS.html), /HTML page/);
  assert.match(await failing(commitPath, status(500)), /500/);
});

test('objects: corrupt, missing, cut off, HTML, truncated', { skip }, async () => {
  const dirtree = async (folder: string) => {
    const tree = (await ostree(folder, 'ls', '-C', '-d', 'stable')).match(/[0-9a-f]{64}/)?.[0] as string;
    return `objects/${tree.slice(0, 2)}/${tree.slice(2)}.dirtree`;
  };
  const file = async (folder: string) => {
    const listing = await ostree(folder, 'ls', '-C', 'stable', '/etc/motd');
    const checksum = listing.match(/[0-9a-f]{64}/)?.[0] as string;
    return `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.filez`;
  };
  assert.match(await failing(dirtree, FAULTS.wrongDigest), /[0-9a-f]{64}\.dirtree: its bytes have the checksum/);
  assert.match(await failing(dirtree, FAULTS.html), /\.dirtree: .*HTML page/);
  assert.match(await failing(dirtree, status(404)), /404/);
  assert.match(await failing(file, FAULTS.wrongDigest), /[0-9a-f]{64}\.filez: /);
  assert.match(await failing(file, FAULTS.html), /\.filez: it is an HTML page/);
  assert.match(await failing(file, status(404)), /404/);
  assert.match(await failing(file, FAULTS.cutOff(5)), /cut off/);
  assert.match(await failing(file, bytes('')), /\.filez: it is truncated/);
});

test('a file that inflates to more than it says', { skip }, async () => {
  let bomb = Buffer.alloc(0);
  const path = async (folder: string) => {
    const checksum = (await ostree(folder, 'ls', '-C', 'stable', '/etc/motd')).match(/[0-9a-f]{64}/)?.[0] as string;
    const at = `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.filez`;
    const file = await readFile(join(folder, at));
    bomb = Buffer.concat([file.subarray(0, 8 + file.readUInt32BE(0)), deflateRawSync(Buffer.alloc(100_000_000))]);
    return at;
  };
  const replace = () => ({ status: 200, headers: {}, body: bodyOf(bomb) });
  assert.match(await failing(path, { replace }), /\.filez: it inflates to more than the \d+ bytes of its header/);
});

test('what was whole before a failure is kept for the next try', { skip }, async () => {
  const { upstream } = await world.upstream('medium');
  const files = () => upstream.paths.filter((path) => path.endsWith('.filez'));
  upstream.fault({ when: () => files().length > 800, fault: status(404) });
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  const failed = await world.sync(repository, remote);
  assert.equal(failed.state, 'failed');
  assert.match(failed.error.description, /404.*\.filez/);
  upstream.clearFaults();
  upstream.requests.reset();
  const task = await world.sync(repository, remote);
  assert.equal(change(task, 'present').refs, 3);
  const total = (await world.units('objects', task.created_resources[0])).filter(({ typ }) => typ === 1).length;
  // Those that were on their way when it failed, some twenty, may be asked for again.
  assert.ok(files().length <= total - 700, `${files().length} of ${total} files were fetched again`);
});

test('an upstream that is not there, or that wants a password', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small', { user: 'alice:secret' });
  const repository = await world.repository();
  const refused = await world.sync(repository, await world.remote(upstream.url));
  assert.match(refused.error.description, /401/);
  assert.deepEqual(reports(refused), [
    'associating.content canceled 0/-',
    'sync.downloading.artifacts canceled 0/-',
    'sync.parsing_metadata failed 0/1',
  ]);
  const admitted = await world.sync(repository, await world.remote(upstream.url, { username: 'alice', password: 'secret' }));
  assert.equal(change(admitted, 'present').refs, fixture.refs.size);
  const nobody = await world.sync(repository, await world.remote('http://127.0.0.1:9/repo'));
  assert.match(nobody.error.description, /Cannot connect to host 127\.0\.0\.1:9/);
});

test('a remote whose URL has no slash at its end', { skip }, async () => {
  const { fixture } = await world.upstream('small');
  const upstream = await world.serve(fixture.path, { prefix: '/below/here' });
  const task = await world.sync(await world.repository(), await world.remote(upstream.url.slice(0, -1)));
  assert.equal(change(task, 'present').refs, 2);
});

/** A repository whose ref `stable` is a commit of the tree that `make` makes: it is given what stores an object. */
async function withTree(name: string, make: (hostile: HostileTree) => Promise<Buffer>): Promise<string> {
  const folder = join(world.folder, name);
  await ostreeFixture('small', folder);
  const object = async (bytes: Buffer, suffix: string) => {
    const checksum = createHash('sha256').update(bytes).digest('hex');
    const path = join(folder, 'objects', checksum.slice(0, 2), `${checksum.slice(2)}.${suffix}`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    return Buffer.from(checksum, 'hex');
  };
  const metaName = (await readdir(join(folder, 'objects'), { recursive: true })).find((each) => each.endsWith('.dirmeta')) ?? '';
  const meta = Buffer.from(metaName.replace(/\/|\.dirmeta$/g, ''), 'hex');
  const inside = (directory: string, tree: Buffer) => {
    // A dirtree of one directory: its entry (sayay) with its offsets, the end of the array of directories, that of files.
    const length = Buffer.byteLength(directory) + 1;
    const entry = Buffer.concat([Buffer.from(`${directory}\0`), tree, meta, Buffer.from([length + 32, length])]);
    return object(Buffer.concat([entry, Buffer.from([entry.length, 0])]), 'dirtree');
  };
  const tree = await make({ inside, empty: await object(Buffer.alloc(1), 'dirtree') });
  const head = (await ostree(folder, 'rev-parse', 'stable')).trim();
  const commit = await readFile(join(folder, 'objects', head.slice(0, 2), `${head.slice(2)}.commit`));
  const root = /[0-9a-f]{64}/.exec(await ostree(folder, 'ls', '-C', '-d', 'stable'))?.[0] as string;
  const at = commit.indexOf(Buffer.from(root, 'hex'));
  assert.ok(at > 0);
  tree.copy(commit, at);
  await writeFile(join(folder, 'refs/heads/stable'), `${(await object(commit, 'commit')).toString('hex')}\n`);
  await ostree(folder, 'summary', '--update');
  const upstream = await world.serve(folder);
  const task = await world.sync(await world.repository(), await world.remote(upstream.url, { include_refs: ['stable'] }));
  assert.equal(task.state, 'failed');
  return task.error.description;
}

interface HostileTree {
  /** Stores a directory that holds one other. */
  inside(name: string, tree: Buffer): Promise<Buffer>;
  readonly empty: Buffer;
}

test('directories too many inside each other', { skip }, async () => {
  const error = await withTree('deep', async ({ inside, empty }) => {
    let tree = empty;
    for (let depth = 0; depth < 300; depth += 1) tree = await inside('d', tree);
    return tree;
  });
  assert.match(error, /[0-9a-f]{64}\.dirtree: its directories are more than 256 inside each other, at http/);
});

test('names that lead out of a directory', { skip }, async () => {
  for (const name of ['..', '.', 'a/b', '']) {
    const error = await withTree(`name-${Buffer.from(name).toString('hex')}`, ({ inside, empty }) => inside(name, empty));
    assert.match(error, /[0-9a-f]{64}\.dirtree: it has an entry of the name ".*", which is none that a file may have, at http/);
  }
});
