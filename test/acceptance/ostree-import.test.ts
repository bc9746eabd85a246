import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { missing } from '../support/missing.ts';
import { ostree } from '../support/ostree-fixtures.ts';
import { type Body, openServer, type Server, unique, upload } from './server.ts';

const run = promisify(execFile);
const API = '/pulp/api/v3/';
const skip = missing('ostree', 'tar');

let server: Server;
let folder: string;
before(async () => {
  if (skip) return;
  folder = await mkdtemp(join(tmpdir(), 'deckle-ostree-import-'));
  server = await openServer();
});
after(async () => {
  if (skip) return;
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const post = async (path: string, body: unknown): Promise<Body> => {
  const answer = await server.request('POST', path, body);
  assert.ok(answer.status === 201 || answer.status === 202, `${path}: ${JSON.stringify(answer.body)}`);
  return answer.status === 201 ? answer.body : server.finished(answer);
};
const repository = (): Promise<Body> => post(`${API}repositories/ostree/ostree/`, { name: unique('import') });

interface History {
  /** Folders of a repository whose ref `foo` has one commit; two; and two, of which the first is left out. */
  readonly first: string;
  readonly both: string;
  readonly second: string;
  readonly commits: readonly [string, string];
}

/** Four objects, and two more; no server has them. */
async function history(): Promise<History> {
  const made = join(folder, unique('history'));
  const [first, both, second] = ['first', 'both', 'second'].map((name) => join(made, name, 'repo')) as [string, string, string];
  const tree = join(made, 'tree');
  await mkdir(tree, { recursive: true });
  await mkdir(both, { recursive: true });
  await ostree(both, 'init', '--mode=archive');
  const commit = async (...files: readonly string[]): Promise<string> => {
    for (const name of files) await writeFile(join(tree, name), unique(name));
    return (await ostree(both, 'commit', '--branch=foo', `--tree=dir=${tree}`, '--canonical-permissions')).trim();
  };
  const parent = await commit('a', 'b');
  await cp(both, first, { recursive: true });
  const child = await commit('c');
  await cp(both, second, { recursive: true });
  await rm(join(second, 'objects', parent.slice(0, 2), `${parent.slice(2)}.commit`));
  return { first, both, second, commits: [parent, child] };
}

async function tarOf(repo: string, ...options: readonly string[]): Promise<string> {
  const tar = join(folder, unique('it.tar'));
  await run('tar', ['-C', join(repo, '..'), ...options, '-cf', tar, 'repo']);
  const answer = await upload(server, await readFile(tar));
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.pulp_href;
}

const importAll = (to: Body, artifact: string, repository_name = 'repo'): Promise<Body> =>
  post(`${to.pulp_href}import_all/`, { artifact, repository_name });
const importCommits = (to: Body, artifact: string, ref = 'foo'): Promise<Body> =>
  post(`${to.pulp_href}import_commits/`, { artifact, repository_name: 'repo', ref });

/** `{commit: 2, refs: 2}`; files of static deltas are a matter of their maker. */
function counts(task: Body, part: 'added' | 'present' | 'removed'): Record<string, number> {
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  const summary = Object.entries(task.result.content_summary[part] as Record<string, { count: number }>);
  const all = summary.map(([type, { count }]) => [type.replace('ostree.', ''), count] as const);
  return Object.fromEntries(all.filter(([type]) => type !== 'content'));
}

const reports = ({ progress_reports }: Body): string[] =>
  (progress_reports as { code: string; message: string; state: string; total: number | null }[]).map(
    ({ code, message, state, total }) => `${code} ${message} ${state} ${total}`,
  );

describe('OSTree imports', { skip }, () => {
  it('take all refs with their history, from a tar or a compressed one', async () => {
    const { both } = await history();
    for (const options of [[], ['--gzip'], ['--xz'], ['--bzip2']]) {
      const to = await repository();
      const task = await importAll(to, await tarOf(both, ...options), '/repo');
      assert.equal(task.name, 'pulp_ostree.app.tasks.importing.import_all_refs_and_commits');
      assert.deepEqual(counts(task, 'present'), { refs: 1, commit: 2, config: 1, object: 6, summary: 1 });
      assert.deepEqual(reports(task), [
        'committing.tarball Committing the tarball completed 1',
        'associating.content Associating Content completed null',
      ]);
      assert.deepEqual(task.created_resources, [`${to.pulp_href}versions/1/`]);
      assert.equal(task.result.pulp_href, task.created_resources[0]);
      assert.ok(task.reserved_resources_record.includes(to.prn));
    }
  });

  it('take the commit that follows, with a delta that the real client uses', async () => {
    const { first, second, commits } = await history();
    const to = await repository();
    const before = await importAll(to, await tarOf(first));
    assert.deepEqual(counts(before, 'present'), { refs: 1, commit: 1, config: 1, object: 4, summary: 1 });
    const base_path = unique('import');
    await post(`${API}distributions/ostree/ostree/`, { name: base_path, base_path, repository: to.pulp_href });
    const client = join(folder, unique('client'));
    await mkdir(client);
    await ostree(client, 'init', '--mode=bare-user-only');
    const content = (await server.request('GET', `${API}distributions/ostree/ostree/?base_path=${base_path}`)).body.results[0]
      .base_url;
    const url = `${server.url}${new URL(content).pathname}`;
    const origin = (await fetch(`${url}config`)).ok ? url : content;
    await ostree(client, 'remote', 'add', '--no-gpg-verify', 'deckle', origin);
    await ostree(client, 'pull', 'deckle', 'foo');
    assert.equal((await ostree(client, 'rev-parse', 'deckle:foo')).trim(), commits[0]);

    const task = await importCommits(to, await tarOf(second));
    assert.equal(task.name, 'pulp_ostree.app.tasks.importing.import_child_commits');
    assert.deepEqual(counts(task, 'added'), { refs: 1, commit: 1, object: 2, summary: 1 });
    assert.deepEqual(counts(task, 'removed'), { refs: 1, summary: 1 });
    assert.equal(reports(task)[0], 'adding.commits Adding the child commits completed 1');
    await ostree(client, 'pull', '--require-static-deltas', 'deckle', 'foo');
    assert.equal((await ostree(client, 'rev-parse', 'deckle:foo')).trim(), commits[1]);
    await ostree(client, 'fsck', '--quiet');
  });

  it('take a parent from where it is known, and fail where it is not', async () => {
    const { first, second, commits } = await history();
    const artifact = await tarOf(second);
    const early = await importAll(await repository(), artifact);
    assert.deepEqual([early.state, early.error.description], ['failed', `The parent commit '${commits[0]}' could not be loaded`]);
    await importAll(await repository(), await tarOf(first));
    const task = await importAll(await repository(), artifact);
    assert.deepEqual(counts(task, 'present'), { refs: 1, commit: 2, config: 1, object: 6, summary: 1 });
  });

  it('name what is not in the tar', async () => {
    const { first } = await history();
    const to = await repository();
    const artifact = await tarOf(first);
    const folder = await importAll(to, artifact, 'nope');
    assert.deepEqual([folder.state, folder.error.description], ['failed', 'An invalid path to the repository provided: nope']);
    assert.deepEqual(reports(folder), [
      'committing.tarball Committing the tarball failed 1',
      'associating.content Associating Content canceled null',
    ]);
    const ref = await importCommits(to, artifact, 'zzz');
    assert.equal(ref.error.description, 'An invalid ref name in the repository was specified: zzz');
    const alone = await importCommits(to, artifact);
    assert.equal(
      alone.error.description,
      'The provided ref does not exist in the repository yet. Try importing first the whole repository, then additional commits.',
    );
    assert.deepEqual(alone.created_resources, []);
  });
});
