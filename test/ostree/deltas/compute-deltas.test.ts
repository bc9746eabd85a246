import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { eventually } from '../../queue/eventually.ts';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { type ImportWorld, startImportWorld } from '../import/import-world.ts';
import { change } from '../sync/sync-world.ts';

/** Static deltas where the program that makes them does not do as it should: a program before it on PATH changes what it does. */
describe('static deltas', { skip: missing('ostree', 'tar') }, () => {
  const { PATH = '' } = process.env;
  let world: ImportWorld;
  let real: string;
  let count = 0;

  before(async () => {
    world = await startImportWorld();
    real = execFileSync('/bin/sh', ['-c', 'command -v ostree'], { encoding: 'utf8' }).trim();
  });
  afterEach(() => {
    process.env.PATH = PATH;
  });
  after(() => world?.stop());

  /** Uploads a repository of a commit and another that follows it. */
  async function history(): Promise<string> {
    const folder = join(world.folder, `history-${++count}`);
    const [repo, tree] = [join(folder, 'repo'), join(folder, 'tree')];
    await mkdir(repo, { recursive: true });
    await mkdir(tree);
    await ostree(repo, 'init', '--mode=archive');
    for (const content of ['one', 'two']) {
      await writeFile(join(tree, 'file'), `${content} ${count}`);
      await ostree(repo, 'commit', '--branch=foo', `--tree=dir=${tree}`, '--canonical-permissions');
    }
    return world.tarOf(repo);
  }

  /** Has the shell run `script` wherever deltas are to be made; `"$repo"` is the repository, `real` makes them. */
  async function misbehave(script: string): Promise<void> {
    const folder = join(world.folder, `program-${++count}`);
    await mkdir(folder);
    const program = `#!/bin/sh\nreal() { ${real} "$@"; }\nrepo=\${1#--repo=}\ncase "$2" in static-delta) ${script};; *) real "$@";; esac\n`;
    await writeFile(join(folder, 'ostree'), program);
    await chmod(join(folder, 'ostree'), 0o755);
    process.env.PATH = `${folder}${delimiter}${PATH}`;
  }

  /** Imports a history: it is there, without the delta; answers what is said of that. */
  async function skipped(script: string): Promise<string> {
    const artifact = await history();
    await misbehave(script);
    const task = await world.importAll(await world.repository({ compute_delta: true }), artifact, 'repo');
    assert.equal(change(task, 'present').content, undefined);
    const [told, ...more] = task.progress_reports.filter(({ code }: { code: string }) => code === 'computing.deltas');
    assert.deepEqual([told?.state, more], ['completed', []]);
    return told.message;
  }

  const workFolders = () => {
    const folder = join(world.app.services.config.DATA_DIR, 'work');
    return existsSync(folder) ? readdir(folder) : [];
  };

  it('as they should be', async () => {
    const artifact = await history();
    await misbehave('real "$@"');
    const task = await world.importAll(await world.repository({ compute_delta: true }), artifact, 'repo');
    assert.equal(change(task, 'present').content, 3);
    assert.deepEqual(await workFolders(), []);
  });

  it('the program fails', async () => {
    assert.equal(await skipped('echo "error: no space" >&2; exit 1'), 'Skipping static deltas: ostree failed: error: no space');
  });

  it('it makes none', async () => {
    assert.match(await skipped('exit 0'), /^Skipping static deltas: deltas\/.*\/superblock: it was not made$/);
  });

  it('what it makes is no delta', async () => {
    const spoil = 'real "$@"; for f in "$repo"/deltas/*/*/superblock; do echo spoilt > "$f"; done';
    assert.match(await skipped(spoil), /^Skipping static deltas: deltas\/.*\/superblock: it is not a GVariant /);
  });

  it('a part is not what the superblock says', async () => {
    const spoil = 'real "$@"; for f in "$repo"/deltas/*/*/0; do echo spoilt > "$f"; done';
    assert.match(await skipped(spoil), /^Skipping static deltas: deltas\/.*\/0: it is not what its superblock says$/);
    const remove = 'real "$@"; rm "$repo"/deltas/*/*/0';
    assert.match(await skipped(remove), /^Skipping static deltas: deltas\/.*\/0: it was not made$/);
  });

  it('a part is a link to something else', async () => {
    const link = 'real "$@"; for f in "$repo"/deltas/*/*/0; do ln -sf /etc/passwd "$f"; done';
    assert.match(await skipped(link), /^Skipping static deltas: deltas\/.*\/0: it was not made$/);
  });

  it('a sync with parents makes them, once, and where the upstream has none', async () => {
    const { upstream } = await world.upstream('small');
    const remote = await world.remote(upstream.url, { depth: 1 });
    const repository = await world.repository({ compute_delta: true });
    const task = await world.sync(repository, remote);
    assert.equal(change(task, 'present').content, 3);
    const [version] = task.created_resources;
    const paths = (await world.units('content', version))
      .map(({ relative_path }) => relative_path.replace(/[^/]{41,}/, '*'))
      .sort();
    assert.deepEqual(
      paths.map((path) => path.replace(/\/..\//, '/')),
      ['delta-indexes/*', 'deltas/*/0', 'deltas/*/superblock'],
    );
    for (const mirror of [false, true]) {
      const again = await world.sync(repository, remote, { mirror });
      assert.deepEqual([again.error, again.result], [null, { base_version: null }]);
    }
    const { upstream: withDeltas } = await world.upstream('delta');
    const copied = await world.sync(
      await world.repository({ compute_delta: true }),
      await world.remote(withDeltas.url, { depth: 1 }),
    );
    await misbehave('exit 1');
    const other = await world.sync(
      await world.repository({ compute_delta: true }),
      await world.remote(withDeltas.url, { depth: 1 }),
    );
    assert.deepEqual(change(other, 'present'), change(copied, 'present'));
  });

  it('the task is canceled while it runs', async () => {
    const artifact = await history();
    const pidFile = join(world.folder, `pid-${++count}`);
    await misbehave(`echo $$ > ${pidFile}; exec sleep 600`);
    const repository = await world.repository({ compute_delta: true });
    const { body } = await world.app.request('POST', `${repository}import_all/`, { artifact, repository_name: 'repo' });
    const pid = await eventually('the program to run', () => existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim());
    await world.app.request('PATCH', body.task, { state: 'canceled' });
    assert.equal((await world.app.finished(body.task)).state, 'canceled');
    await eventually('the program to end', () => !existsSync(`/proc/${pid}`));
    await eventually('its folder to go', async () => (await workFolders()).length === 0);
    assert.match((await world.app.request('GET', repository)).body.latest_version_href, /\/versions\/0\/$/);
  });
});
