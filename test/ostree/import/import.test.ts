import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { OstreeClient } from '../serve/ostree-client.ts';
import { change, reports } from '../sync/sync-world.ts';
import { type ImportWorld, startImportWorld } from './import-world.ts';

/** Counts, messages and reports are those of the recorded imports (spec: ostree, 6), save that a delta has an index here. */
describe('imports', { skip: missing('ostree', 'tar', 'gpg') }, () => {
  let world: ImportWorld;
  let count = 0;
  before(async () => {
    world = await startImportWorld();
  });
  after(() => world?.stop());

  const folder = (): string => join(world.folder, `made-${++count}`);
  const client = async (repository: string, options?: Parameters<typeof OstreeClient.make>[2]) =>
    OstreeClient.make(folder(), await world.distribute(repository), options);
  const deltas = (): Promise<string> => world.repository({ compute_delta: true });

  /** A repository whose ref `foo` has a commit of four objects and one that adds two; and that repository without the first commit. */
  async function chain(): Promise<{ root: string; both: string; child: string; parent: string; head: string }> {
    const made = folder();
    const [root, both, child] = ['root', 'both', 'child'].map((name) => join(made, name, 'repo')) as [string, string, string];
    const tree = join(made, 'tree');
    await mkdir(tree, { recursive: true });
    await mkdir(both, { recursive: true });
    await ostree(both, 'init', '--mode=archive');
    const commit = async (...files: readonly string[]): Promise<string> => {
      for (const name of files) await writeFile(join(tree, name), `${made} ${name}\n`);
      return (await ostree(both, 'commit', '--branch=foo', `--tree=dir=${tree}`, '--canonical-permissions')).trim();
    };
    const parent = await commit('a', 'b');
    await cp(both, root, { recursive: true });
    const head = await commit('c');
    await cp(both, child, { recursive: true });
    await rm(join(child, 'objects', parent.slice(0, 2), `${parent.slice(2)}.commit`));
    return { root, both, child, parent, head };
  }

  it('all refs with their history, which the real client pulls', async () => {
    const { path, refs } = await world.fixture('small');
    const repository = await world.repository();
    const task = await world.importAll(repository, await world.tarOf(path), `/${basename(path)}`);
    const objects = (await readdir(join(path, 'objects'), { recursive: true })).filter((name) => /\.(filez|dir)/.test(name));
    assert.deepEqual(change(task, 'present'), { refs: 2, commit: 4, config: 1, object: objects.length, summary: 1 });
    assert.deepEqual(task.result.pulp_href, task.created_resources[0]);
    const puller = await client(repository);
    await puller.pull('--mirror', '--depth=-1', 'deckle');
    for (const [ref, commit] of refs) assert.equal(await puller.commitOf(ref), commit);
    assert.equal((await puller.history('stable')).length, 3);
    await puller.fsck();
  });

  it('a first commit, then the one that follows it, with a delta between them', async () => {
    const { root, child, head } = await chain();
    const repository = await deltas();
    const first = await world.importAll(repository, await world.tarOf(root), 'repo');
    assert.deepEqual(change(first, 'added'), { refs: 1, commit: 1, config: 1, object: 4, summary: 1 });
    assert.deepEqual(reports(first), ['associating.content completed 8/-', 'committing.tarball completed 1/1']);
    const before = await client(repository, { mode: 'bare-user-only' });
    await before.pull('deckle', 'foo');

    const second = await world.importCommits(repository, await world.tarOf(child), 'repo', 'foo');
    assert.equal(second.name, 'pulp_ostree.app.tasks.importing.import_child_commits');
    assert.deepEqual(change(second, 'added'), { refs: 1, commit: 1, object: 2, content: 3, summary: 1 });
    assert.deepEqual(change(second, 'removed'), { refs: 1, summary: 1 });
    assert.deepEqual(reports(second), ['adding.commits completed 1/1', 'associating.content completed 8/-']);
    const [unit] = (await world.units('commits', second.created_resources[0])).filter(({ checksum }) => checksum === head);
    assert.match(unit.parent_commit, /^\/pulp\/api\/v3\/content\/ostree\/commits\//);

    const remote = await world.distribute(repository);
    await ostree(before.path, 'remote', 'add', '--no-gpg-verify', 'later', remote);
    await ostree(before.path, 'refs', '--create=later:foo', 'deckle:foo');
    await before.pull('--require-static-deltas', 'later', 'foo');
    assert.equal(await before.commitOf('later:foo'), head);
    await before.fsck();
  });

  it('a history at once, however it is compressed: one delta, from the parent to the head', async () => {
    const { both } = await chain();
    const task = await world.importAll(await deltas(), await world.tarOf(both, '--gzip'), './repo/');
    assert.deepEqual(change(task, 'present'), { refs: 1, commit: 2, config: 1, object: 6, content: 3, summary: 1 });
    assert.deepEqual(reports(task), ['associating.content completed 14/-', 'committing.tarball completed 1/1']);
    for (const [program, option] of [
      ['bzip2', '--bzip2'],
      ['xz', '--xz'],
    ] as const) {
      if (missing(program)) continue;
      const other = await world.importAll(await world.repository(), await world.tarOf(both, option), 'repo');
      assert.deepEqual(change(other, 'present'), { refs: 1, commit: 2, config: 1, object: 6, summary: 1 });
    }
  });

  it('a parent that another repository has comes with its commit', async () => {
    const { root, child, parent } = await chain();
    const artifact = await world.tarOf(child);
    const early = await world.importAll(await deltas(), artifact, 'repo');
    assert.equal(early.error?.description, `The parent commit '${parent}' could not be loaded`);
    assert.deepEqual(reports(early), ['associating.content canceled 0/-', 'committing.tarball failed 0/1']);
    await world.importAll(await world.repository(), await world.tarOf(root), 'repo');
    const repository = await deltas();
    const task = await world.importAll(repository, artifact, 'repo');
    assert.deepEqual(change(task, 'present'), { refs: 1, commit: 2, config: 1, object: 6, content: 3, summary: 1 });
    const puller = await client(repository);
    await puller.pull('--mirror', '--depth=-1', 'deckle');
    assert.equal((await puller.history('foo')).length, 2);
    await puller.fsck();
    // A repository without a config gets the tar's.
    const other = await world.importCommits(await world.repository(), artifact, 'repo', 'foo');
    assert.deepEqual(change(other, 'present'), { refs: 1, commit: 2, config: 1, object: 6, summary: 1 });
  });

  it('the same once more changes nothing', async () => {
    const { both } = await chain();
    const repository = await deltas();
    const artifact = await world.tarOf(both);
    await world.importAll(repository, artifact, 'repo');
    for (const again of [
      await world.importAll(repository, artifact, 'repo'),
      await world.importCommits(repository, artifact, 'repo', 'foo'),
    ]) {
      assert.equal(again.state, 'completed', JSON.stringify(again.error));
      assert.deepEqual([again.created_resources, again.result], [[], { base_version: null }]);
    }
  });

  it('refs that are there stay, and the summary tells of all', async () => {
    const [one, { path }] = [await chain(), await world.fixture('small')];
    const repository = await world.repository();
    await world.importAll(repository, await world.tarOf(path), basename(path));
    const task = await world.importAll(repository, await world.tarOf(one.both), 'repo');
    assert.equal(change(task, 'present').refs, 3);
    const puller = await client(repository);
    await puller.pull('--mirror', 'deckle');
    assert.deepEqual((await ostree(puller.path, 'refs')).trim().split('\n').sort(), ['foo', 'rawhide', 'stable']);
  });

  it('signatures of commits and of the summary, which the real client asks for', async () => {
    const { path, refs, publicKey = assert.fail('no key') } = await world.fixture('signed');
    const artifact = await world.tarOf(path);
    for (const repository of [await world.repository(), await deltas()]) {
      const task = await world.importAll(repository, artifact, basename(path));
      assert.equal(task.state, 'completed', JSON.stringify(task.error));
      const puller = await client(repository, { publicKey });
      await puller.pull('deckle', 'os/signed');
      assert.equal(await puller.commitOf('deckle:os/signed'), refs.get('os/signed'));
      await puller.fsck();
    }
  });

  it('names in every alphabet, empty directories, extended attributes, detached metadata', async () => {
    const { path, refs } = await world.fixture('edge');
    const [app = '', platform = ''] = [...refs.keys()].sort();
    const artifact = await world.tarOf(path);
    const whole = await world.importAll(await world.repository(), artifact, basename(path));
    assert.match(whole.error?.description, /^The parent commit '[0-9a-f]{64}' could not be loaded$/);
    const repository = await world.repository();
    const task = await world.importCommits(repository, artifact, basename(path), app);
    assert.deepEqual([change(task, 'present').refs, change(task, 'present').content], [1, 1]);
    const puller = await client(repository);
    await puller.pull('--depth=-1', 'deckle', app);
    assert.match(await ostree(puller.path, 'show', '--print-detached-metadata-key=det.key', `deckle:${app}`), /det-value/);
    await puller.fsck();
    await assert.rejects(puller.pull('deckle', platform));
    // Without the ref whose history is not whole.
    await rm(join(path, 'refs', 'heads', platform));
    const rest = await world.importAll(await world.repository(), await world.tarOf(path), basename(path));
    assert.equal(change(rest, 'present').refs, 1);
  });

  it('a repository with a collection id', async () => {
    const { path, refs } = await world.fixture('collection');
    const repository = await world.repository();
    const task = await world.importAll(repository, await world.tarOf(path), basename(path));
    assert.equal(change(task, 'present').refs, refs.size);
    const puller = await client(repository);
    await puller.pull('deckle', 'os/main');
    assert.equal(await puller.commitOf('deckle:os/main'), refs.get('os/main'));
    const { stdout } = await promisify(execFile)('ostree', [`--repo=${puller.path}`, 'remote', 'summary', 'deckle']);
    assert.match(stdout, /org\.example\.Main/);
  });

  it('static deltas that the tar has', async () => {
    const { path, refs } = await world.fixture('delta');
    // None is listed: the deltas themselves count.
    await rm(join(path, 'summary'));
    const repository = await world.repository();
    const task = await world.importAll(repository, await world.tarOf(path), basename(path));
    const files = (await readdir(join(path, 'deltas'), { recursive: true })).filter((name) => /\/(superblock|\d+)$/.test(name));
    assert.equal(change(task, 'present').content, files.length + 1);
    const puller = await client(repository, { mode: 'bare-user-only' });
    await puller.pull('--require-static-deltas', 'deckle', 'os/d');
    assert.equal(await puller.commitOf('deckle:os/d'), refs.get('os/d'));
    await puller.fsck();
  });

  it('deltas are skipped, and that is said, where there is no ostree', async () => {
    const { both } = await chain();
    const artifact = await world.tarOf(both);
    const { PATH } = process.env;
    process.env.PATH = world.folder;
    let task: Awaited<ReturnType<ImportWorld['importAll']>>;
    try {
      task = await world.importAll(await deltas(), artifact, 'repo');
    } finally {
      process.env.PATH = PATH;
    }
    assert.deepEqual(change(task, 'present'), { refs: 1, commit: 2, config: 1, object: 6, summary: 1 });
    const told = task.progress_reports.find(({ code }: { code: string }) => code === 'computing.deltas');
    assert.equal(told?.message, 'Skipping static deltas: the program ostree is not installed on this worker (not found on PATH)');
  });

  it('what is not in the tar is named', async () => {
    const { root, both } = await chain();
    const repository = await world.repository();
    const artifact = await world.tarOf(both);
    const refused = async (name: string, message: string) => {
      const task = await world.importAll(repository, artifact, name);
      assert.deepEqual([task.state, task.error?.description], ['failed', message]);
    };
    await refused('nope', 'An invalid path to the repository provided: nope');
    await refused('/', 'An invalid path to the repository provided: /');
    await refused('../repo', 'An invalid path to the repository provided: ../repo');
    await refused('repo/objects', 'An invalid path to the repository provided: repo/objects');
    const unknown = await world.importCommits(repository, artifact, 'repo', 'zzz');
    assert.equal(unknown.error?.description, 'An invalid ref name in the repository was specified: zzz');
    const first = await world.importCommits(repository, await world.tarOf(root), 'repo', 'foo');
    assert.equal(
      first.error?.description,
      'The provided ref does not exist in the repository yet. Try importing first the whole repository, then additional commits.',
    );
    assert.deepEqual(reports(first), ['adding.commits failed 0/1', 'associating.content canceled 0/-']);
  });
});
