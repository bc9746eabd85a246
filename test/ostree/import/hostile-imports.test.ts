import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { eventually } from '../../queue/eventually.ts';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { type ImportWorld, startImportWorld } from './import-world.ts';
import { tarBytes, tarEntry, type WrittenEntry } from './tar-bytes.ts';

interface Made {
  readonly entries: readonly WrittenEntry[];
  /** The commit of its one ref, `os/it`. */
  readonly head: string;
  /** Objects that it needs: path in the tar, and the name that messages have. */
  readonly objects: Readonly<
    Record<'commit' | 'dirtree' | 'dirmeta' | 'filez', { readonly path: string; readonly name: string }>
  >;
}

describe('imports of what is wrong', { skip: missing('ostree', 'tar') }, () => {
  let world: ImportWorld;
  let count = 0;
  before(async () => {
    world = await startImportWorld();
  });
  after(() => world?.stop());

  /** A repository none of whose objects another one has: the owner is part of all but the dirtrees, and they name the rest. */
  async function made(): Promise<Made> {
    const owner = 1000 + ++count;
    const folder = join(world.folder, `hostile-${count}`);
    const [tree, repo] = [join(folder, 'tree'), join(folder, 'repo')];
    await mkdir(join(tree, 'etc'), { recursive: true });
    await mkdir(repo);
    await writeFile(join(tree, 'etc', 'motd'), 'hello\n');
    await writeFile(join(tree, 'etc', 'other'), 'other\n');
    await ostree(repo, 'init', '--mode=archive');
    const options = ['--branch=os/it', `--owner-uid=${owner}`, '--no-xattrs', `--tree=dir=${tree}`];
    const head = (await ostree(repo, 'commit', ...options)).trim();
    const checksums = async (path: string): Promise<string[]> =>
      [...(await ostree(repo, 'ls', '-d', '-C', head, path)).matchAll(/[0-9a-f]{64}/g)].map(([checksum]) => checksum);
    const [dirtree = '', dirmeta = ''] = await checksums('/etc');
    const [filez = ''] = await checksums('/etc/motd');
    const object = (checksum: string, type: string) => ({
      path: `repo/objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${type}`,
      name: `${checksum}.${type}`,
    });
    const objects = {
      commit: object(head, 'commit'),
      dirtree: object(dirtree, 'dirtree'),
      dirmeta: object(dirmeta, 'dirmeta'),
      filez: object(filez, 'filez'),
    };
    return { entries: await entriesOf(repo), head, objects };
  }

  async function entriesOf(folder: string): Promise<WrittenEntry[]> {
    const names = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile() && entry.name !== '.lock');
    return Promise.all(
      files.map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return { path: `repo/${relative(folder, path)}`, body: await readFile(path) };
      }),
    );
  }

  const without = (entries: readonly WrittenEntry[], path: string) => {
    const rest = entries.filter((entry) => entry.path !== path);
    assert.equal(rest.length, entries.length - 1, path);
    return rest;
  };
  const having = (entries: readonly WrittenEntry[], path: string, body: Buffer | string) => [
    ...without(entries, path),
    { path, body },
  ];
  const bodyOf = (entries: readonly WrittenEntry[], path: string): Buffer =>
    entries.find((entry) => entry.path === path)?.body as Buffer;

  /** Files that are being written, below the data folder. */
  const unfinished = async (): Promise<string[]> => {
    const data = world.app.services.config.DATA_DIR;
    const names = await readdir(data, { recursive: true, withFileTypes: true });
    return names
      .filter((entry) => entry.isFile())
      .map((entry) => relative(data, join(entry.parentPath, entry.name)))
      .filter((name) => /^(?:media\/tmp|work)\//.test(name));
  };

  /** Imports what has to be refused; answers why. No version is made and nothing stays behind. */
  async function refused(bytes: Buffer): Promise<string> {
    const repository = await world.repository();
    const artifact = await world.upload(bytes);
    const task = await world.importAll(repository, artifact, 'repo');
    assert.equal(task.state, 'failed', JSON.stringify(task.result));
    const { body } = await world.app.request('GET', repository);
    assert.match(body.latest_version_href, /\/versions\/0\/$/);
    await eventually('unfinished files to go', async () => ((await unfinished()).length === 0 ? true : undefined));
    assert.deepEqual(task.progress_reports.map(({ code, state }: { code: string; state: string }) => [code, state]).sort(), [
      ['associating.content', 'canceled'],
      ['committing.tarball', 'failed'],
    ]);
    return task.error.description;
  }
  const refusedEntries = (entries: readonly WrittenEntry[]): Promise<string> => refused(tarBytes(entries));

  it('what is good is taken', async () => {
    const { entries } = await made();
    const task = await world.importAll(await world.repository(), await world.upload(tarBytes(entries)), 'repo');
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
  });

  it('entries that lead out, links and devices, wherever they are in the tar', async () => {
    const { entries: good } = await made();
    const hostile: readonly (readonly [WrittenEntry, RegExp])[] = [
      [{ path: '../evil', body: 'x' }, /^tar: its entry "\.\.\/evil" leads out of it$/],
      [{ path: 'repo/../../evil', body: 'x' }, /^tar: its entry "repo\/\.\.\/\.\.\/evil" leads out of it$/],
      [{ path: '/tmp/evil', body: 'x' }, /^tar: its entry "\/tmp\/evil" leads out of it$/],
      [{ path: 'repo/config', type: '2', link: '/etc/passwd' }, /^tar: its entry "repo\/config" is a symbolic link: only files/],
      [{ path: 'elsewhere', type: '1', link: 'repo/config' }, /^tar: its entry "elsewhere" is a hard link/],
      [{ path: 'null', type: '3' }, /^tar: its entry "null" is a character device/],
    ];
    for (const [entry, message] of hostile) {
      assert.match(await refusedEntries([...good, entry]), message);
      assert.match(await refusedEntries([entry, ...good]), message);
    }
  });

  it('a tar that is truncated, damaged, or inflates without end', async () => {
    const { entries } = await made();
    const whole = tarBytes(entries);
    assert.match(await refused(whole.subarray(0, whole.length - 1024 - 500)), /^tar: Truncated input/);
    const zipped = gzipSync(whole);
    assert.match(await refused(zipped.subarray(0, zipped.length - 30)), /^tar: it cannot be inflated: /);
    const damaged = Buffer.concat([tarEntry({ path: 'a' }), whole]);
    damaged[512 + 10] = 0x7f;
    assert.equal(await refused(damaged), 'tar: checksum failure');
    const bomb = gzipSync(Buffer.concat([tarEntry({ path: 'bomb', body: Buffer.alloc(80 * 1024 * 1024) }), whole]));
    assert.equal(await refused(bomb), 'tar: it inflates to more than 100 times its size');
  });

  for (const type of ['commit', 'dirtree', 'dirmeta', 'filez'] as const) {
    it(`a ${type} that is missing`, async () => {
      const { entries, objects } = await made();
      const { path, name } = objects[type];
      const reason = type === 'commit' ? 'it is not in the tar, where the ref os/it names it' : 'it is not in the tar';
      assert.equal(await refusedEntries(without(entries, path)), `${name}: ${reason}`);
    });
  }

  for (const type of ['commit', 'dirtree', 'dirmeta'] as const) {
    it(`a ${type} of other bytes`, async () => {
      const { entries, objects } = await made();
      const { path, name } = objects[type];
      const wrong = Buffer.from(bodyOf(entries, path));
      wrong[3] = (wrong[3] as number) ^ 1;
      assert.match(
        await refusedEntries(having(entries, path, wrong)),
        new RegExp(`^${name}: its bytes have the checksum [0-9a-f]{64}`),
      );
      const page = '<!doctype html><html></html>';
      assert.match(await refusedEntries(having(entries, path, page)), new RegExp(`^${name}: .*it is an HTML page`));
      const large = Buffer.alloc(16 * 1024 * 1024 + 1);
      const reason = /\.(?:commit|dirtree|dirmeta): it is larger than 16777216 bytes/;
      assert.match(await refusedEntries(having(entries, path, large)), reason);
    });
  }

  it('a file that is truncated, corrupt, or another', async () => {
    const { entries, objects } = await made();
    const { path, name } = objects.filez;
    const bytes = bodyOf(entries, path);
    assert.match(
      await refusedEntries(having(entries, path, bytes.subarray(0, bytes.length - 3))),
      new RegExp(`^${name}: it is truncated`),
    );
    assert.match(await refusedEntries(having(entries, path, 'x'.repeat(100))), new RegExp(`^${name}: `));
    const other = entries.find((entry) => entry.path.endsWith('.filez') && entry.path !== path)?.body as Buffer;
    assert.match(
      await refusedEntries(having(entries, path, other)),
      new RegExp(`^${name}: its header and content have the checksum `),
    );
    // Too large to be held: checked while it is copied.
    const bomb = Buffer.concat([bytes.subarray(0, 8 + bytes.readUInt32BE(0)), deflateRawSync(randomBytes(3 * 1024 * 1024))]);
    assert.match(await refusedEntries(having(entries, path, bomb)), new RegExp(`^${name}: it inflates to more than the 6 bytes`));
  });

  it('a repository that is no archive, or none', async () => {
    const { entries } = await made();
    const config = (body: string) => refusedEntries(having(entries, 'repo/config', body));
    assert.match(
      await config('[core]\nrepo_version=1\nmode=bare\n'),
      /^config: the repository is of the mode "bare": only an archive/,
    );
    assert.match(await config('<html></html>'), /^config: it is an HTML page/);
    assert.match(await config('x'.repeat(2 * 1024 * 1024)), /^config: it is larger than 1048576 bytes$/);
    assert.equal(await refusedEntries(without(entries, 'repo/config')), 'An invalid path to the repository provided: repo');
  });

  it('refs that are none', async () => {
    const { entries, head } = await made();
    const ref = (path: string, body: string) => refusedEntries([...entries, { path: `repo/refs/heads/${path}`, body }]);
    assert.equal(await ref('a b', head), 'refs/heads/a b: it is not the name of a ref');
    assert.equal(await ref('a', 'hello'), 'refs/heads/a: it does not hold the checksum of a commit');
    assert.equal(await ref('a', 'x'.repeat(5000)), 'refs/heads/a: it is larger than 4096 bytes');
    const nobody = '0'.repeat(64);
    assert.equal(await ref('a', nobody), `${nobody}.commit: it is not in the tar, where the ref a names it`);
  });

  it('a signature or a delta that is none', async () => {
    const { entries, objects } = await made();
    const path = objects.commit.path.replace(/\.commit$/, '.commitmeta');
    assert.match(await refusedEntries([...entries, { path, body: 'hello' }]), /\.commitmeta: it is not a GVariant/);
    const fixture = await entriesOf((await world.fixture('delta')).path);
    const part = fixture.find((entry) => /^repo\/deltas\/.*\/0$/.test(entry.path))?.path ?? assert.fail('no part');
    const name = part.slice('repo/'.length);
    assert.match(await refusedEntries(having(fixture, part, 'x')), /^deltas\/.*\/0: it has 1 bytes, not \d+$/);
    const other = Buffer.alloc(bodyOf(fixture, part).length);
    assert.ok((await refusedEntries(having(fixture, part, other))).startsWith(`${name}: its bytes have the checksum `));
    assert.equal(await refusedEntries(without(fixture, part)), `${name}: it is not in the tar`);
  });
});
