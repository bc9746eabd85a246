import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/*
 * Repositories made by the real `ostree` (`{ skip: missing('ostree') }`; for `signed` also gpg). Contents, owners, modes and dates are
 * fixed: the same checksums every time, save for the signatures and the times of summaries.
 */

/**
 * - `small`: two refs, a history of three commits and one of one, a file of each sort
 * - `edge`: nested ref names, metadata of several types, a commitmeta, a UTF-8 name, extended attributes, an empty directory,
 *   a commit whose parent is gone
 * - `medium`: three refs, five commits, 2,000 objects; `large`: one commit, 20,000 objects
 * - `delta`: three commits, a static delta from nothing and one from the parent, delta indexes
 * - `signed`: two commits and the summary signed by GPG
 * - `collection`: a collection id, and a ref mirrored from another collection
 */
export type FixtureKind = 'small' | 'edge' | 'medium' | 'large' | 'delta' | 'signed' | 'collection';

export interface OstreeFixture {
  /** The repository's folder. */
  readonly path: string;
  /** Ref -> checksum of its commit. */
  readonly refs: ReadonlyMap<string, string>;
  /** Armoured public key, of `signed` only. */
  readonly publicKey: string | undefined;
}

const run = promisify(execFile);

/** Runs `ostree --repo=<repository> …` and answers what it printed. */
export async function ostree(repository: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run('ostree', [`--repo=${repository}`, ...args], { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** Makes a repository of a kind in `folder`, which is made too and has to be empty. Another `seed` gives `medium`, `large` and `delta` other contents. */
export async function ostreeFixture(kind: FixtureKind, folder: string, seed = 0): Promise<OstreeFixture> {
  const work = await mkdtemp(join(tmpdir(), 'deckle-tree-'));
  try {
    const tree = join(work, 'tree');
    await mkdir(tree);
    await mkdir(folder, { recursive: true });
    await ostree(folder, 'init', '--mode=archive', ...(kind === 'collection' ? ['--collection-id=org.example.Main'] : []));
    const publicKey = await MAKERS[kind]({ folder, tree, work, seed });
    return { path: folder, refs: await refsOf(folder), publicKey };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface Making {
  readonly folder: string;
  /** What the next commit holds. */
  readonly tree: string;
  /** For what is needed beside it. */
  readonly work: string;
  readonly seed: number;
}

const MAKERS: Readonly<Record<FixtureKind, (making: Making) => Promise<string | undefined>>> = {
  small: makeSmall,
  edge: makeEdge,
  medium: makeMedium,
  large: makeLarge,
  delta: makeDelta,
  signed: makeSigned,
  collection: makeCollection,
};

async function makeSmall(making: Making): Promise<undefined> {
  const { folder, tree } = making;
  await write(tree, { 'etc/motd': 'hello\n', 'etc/empty': '' });
  await write(tree, { 'usr/bin/hi': '#!/bin/sh\necho hi\n' }, 0o755);
  await symlink('hi', join(tree, 'usr/bin/hello'));
  await commit(making, 'stable', 'first', '2024-01-01', '--add-metadata-string=version=1.0');
  await write(tree, { 'etc/motd': 'two\n' });
  await commit(making, 'stable', 'second', '2024-01-02', '--add-metadata-string=version=2.0');
  await write(tree, { 'etc/motd': 'three\n' });
  await commit(making, 'stable', 'third', '2024-01-03', '--add-metadata-string=version=3.0', '--body=a body line');
  await write(tree, { 'etc/rawhide': 'raw\n' });
  await commit(making, 'rawhide', 'raw first', '2024-01-04');
  await ostree(folder, 'summary', '--update');
}

async function makeEdge(making: Making): Promise<undefined> {
  const { folder, tree, work } = making;
  const app = 'app/org.example.A/x86_64/stable';
  const platform = 'runtime/org.example.P/aarch64/1.0';
  await write(tree, { 'a/naïve name.txt': 'x', 'a/b/y': 'y' });
  await mkdir(join(tree, 'emptydir'));
  await commit(making, app, 'A1', '2024-02-01', '--add-metadata-string=xa.k=v', '--add-metadata=num=uint64 7');
  await write(tree, { 'a/b/z': 'z' });
  await commit(making, app, 'A2', '2024-02-02', '--add-detached-metadata-string=det.key=det-value');
  const orphan = (await commit(making, platform, 'P1', '2024-02-03')).trim();
  await writeFile(join(work, 'xattr.tar'), tarWithXattr('q', 'q', 'user.note', 'v1'));
  await commit(making, platform, 'P2', '2024-02-04', `--tree=tar=${join(work, 'xattr.tar')}`);
  await rm(join(folder, 'objects', orphan.slice(0, 2), `${orphan.slice(2)}.commit`));
  await ostree(folder, 'summary', '--update');
}

async function makeMedium(making: Making): Promise<undefined> {
  const { folder, tree, seed } = making;
  const size = { least: 100, most: 8000, perFolder: 50 };
  await writeMany(join(tree, 'usr'), { count: 1500, seed: 1000 * seed + 1, ...size });
  await commit(making, 'os/stable', 'm1', '2024-03-01');
  await writeMany(join(tree, 'usr'), { count: 120, seed: 1000 * seed + 2, ...size });
  await commit(making, 'os/stable', 'm2', '2024-03-02');
  await writeMany(join(tree, 'extra'), { count: 120, seed: 1000 * seed + 3, ...size });
  await commit(making, 'os/stable', 'm3', '2024-03-03');
  await writeMany(join(tree, 'beta'), { count: 120, seed: 1000 * seed + 4, ...size });
  await commit(making, 'os/beta', 'b1', '2024-03-04');
  await writeMany(join(tree, 'dev'), { count: 100, seed: 1000 * seed + 5, ...size });
  await commit(making, 'os/devel', 'd1', '2024-03-05');
  await ostree(folder, 'summary', '--update');
}

async function makeLarge(making: Making): Promise<undefined> {
  const seed = 1000 * making.seed + 9;
  await writeMany(join(making.tree, 'usr'), { count: 19_600, seed, least: 100, most: 4000, perFolder: 60 });
  await commit(making, 'os/large', 'l1', '2024-04-01');
  await ostree(making.folder, 'summary', '--update');
}

async function makeDelta(making: Making): Promise<undefined> {
  const { folder, tree, seed } = making;
  const size = { least: 1000, most: 20_000, perFolder: 30 };
  const commits: string[] = [];
  for (const [index, count] of [60, 20, 10].entries()) {
    await writeMany(join(tree, 'usr'), { count, seed: 1000 * seed + 21 + index, ...size });
    commits.push((await commit(making, 'os/d', `d${index + 1}`, `2024-05-0${index + 1}`)).trim());
  }
  const [, parent, head] = commits;
  await ostree(folder, 'static-delta', 'generate', '--empty', `--to=${head}`);
  await ostree(folder, 'static-delta', 'generate', `--from=${parent}`, `--to=${head}`);
  await ostree(folder, 'summary', '--update');
}

async function makeSigned(making: Making): Promise<string> {
  const { folder, tree, work } = making;
  const home = join(work, 'gnupg');
  await mkdir(home, { mode: 0o700 });
  const gpg = async (...args: readonly string[]) => (await run('gpg', ['--batch', '--homedir', home, ...args])).stdout;
  try {
    await gpg('--passphrase', '', '--quick-generate-key', 'Fixture <fixture@example.org>', 'rsa2048', 'sign', 'never');
    const signing = ['--gpg-sign=fixture@example.org', `--gpg-homedir=${home}`];
    await write(tree, { 'etc/motd': 'one\n' });
    await commit(making, 'os/signed', 's1', '2024-06-01', ...signing);
    await write(tree, { 'etc/motd': 'two\n' });
    await commit(making, 'os/signed', 's2', '2024-06-02', ...signing);
    await ostree(folder, 'summary', '--update', ...signing);
    return await gpg('--armor', '--export', 'fixture@example.org');
  } finally {
    await run('gpgconf', ['--homedir', home, '--kill', 'all']);
  }
}

async function makeCollection(making: Making): Promise<undefined> {
  const { folder, tree, work } = making;
  await write(tree, { 'etc/motd': 'hello\n' });
  await commit(making, 'os/main', 'c1', '2024-07-01', '--add-metadata-string=version=1.0');
  const other = join(work, 'other');
  await mkdir(other);
  await ostree(other, 'init', '--mode=archive', '--collection-id=org.example.Other');
  await commit({ ...making, folder: other }, 'os/other', 'o1', '2024-07-02');
  await ostree(other, 'summary', '--update');
  await ostree(folder, 'remote', 'add', '--no-gpg-verify', '--collection-id=org.example.Other', 'other', `file://${other}`);
  await ostree(folder, 'pull', '--mirror', 'other', 'os/other');
  await ostree(folder, 'remote', 'delete', 'other');
  await ostree(folder, 'summary', '--update');
}

/** Commits the tree; prints the checksum. `--no-xattrs` and canonical permissions: what the machine adds is left out. */
function commit(
  { folder, tree }: Making,
  ref: string,
  subject: string,
  day: string,
  ...more: readonly string[]
): Promise<string> {
  const fixed = [`--timestamp=${day} 00:00:00 +0000`, '--canonical-permissions', `--tree=dir=${tree}`];
  return ostree(folder, 'commit', `--branch=${ref}`, `--subject=${subject}`, ...fixed, ...more);
}

async function refsOf(folder: string): Promise<Map<string, string>> {
  const names = (await ostree(folder, 'refs')).split('\n').filter((name) => name !== '');
  const commits = names.map(async (name) => [name, (await ostree(folder, 'rev-parse', name)).trim()] as const);
  return new Map(await Promise.all(commits));
}

async function write(tree: string, files: Readonly<Record<string, string | Buffer>>, mode = 0o644): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(tree, name)), { recursive: true });
    await writeFile(join(tree, name), content, { mode });
  }
}

/** `count` files of `least` to `most` bytes, half of them random and half of them one letter. */
async function writeMany(
  tree: string,
  { count, seed, least, most, perFolder }: { count: number; seed: number; least: number; most: number; perFolder: number },
): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const folder = join(tree, `d${String(Math.floor(index / perFolder)).padStart(3, '0')}`);
    if (index % perFolder === 0) await mkdir(folder, { recursive: true });
    const random = createHash('shake256', { outputLength: most / 2 + 4 })
      .update(`${seed} ${index}`)
      .digest();
    const half = Math.floor((least + (random.readUInt32LE(0) % (most - least))) / 2);
    const content = Buffer.concat([
      Buffer.from(`file ${index} seed ${seed}\n`),
      random.subarray(4, 4 + half),
      Buffer.alloc(half, 'A'),
    ]);
    await writeFile(join(folder, `f${String(index).padStart(5, '0')}`), content, { mode: 0o644 });
  }
}

/** A tar of one file with an extended attribute (PAX, `SCHILY.xattr.`): what works where the file system has none. */
function tarWithXattr(name: string, content: string, xattr: string, value: string): Buffer {
  const record = ` SCHILY.xattr.${xattr}=${value}\n`;
  const length = [2, 3].map((digits) => record.length + digits).find((total) => String(total).length + record.length === total);
  const end = Buffer.alloc(1024);
  return Buffer.concat([...tarEntry('pax', 'x', `${length}${record}`), ...tarEntry(name, '0', content), end]);
}

function tarEntry(name: string, type: string, content: string): [Buffer, Buffer] {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\x000000000\x000000000\0', 100);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0        ', 136);
  header.write(type, 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return [header, body];
}
