import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { missing } from '../support/missing.ts';
import { type OstreeFixture, ostree, ostreeFixture } from '../support/ostree-fixtures.ts';
import { type PulpCli, pulpCli } from '../support/pulp-cli.ts';
import { OstreeUpstream } from '../support/upstream-ostree.ts';
import { type Body, openServer, type Server, unique } from './server.ts';

const run = promisify(execFile);
const API = '/pulp/api/v3/';
const skip = missing('ostree');

let server: Server;
let folder: string;
let fixture: OstreeFixture;
let upstream: OstreeUpstream;
let cli: PulpCli;
before(async () => {
  if (skip) return;
  folder = await mkdtemp(join(tmpdir(), 'deckle-ostree-flows-'));
  fixture = await ostreeFixture('small', join(folder, 'upstream'));
  [server, upstream] = [await openServer(), await OstreeUpstream.start(fixture.path)];
  cli = await pulpCli(server.url);
});
after(async () => {
  if (skip) return;
  await cli?.remove();
  await server?.stop();
  await upstream?.stop();
  await rm(folder, { recursive: true, force: true });
});

const post = async (path: string, body: unknown): Promise<Body> => {
  const answer = await server.request('POST', path, body);
  assert.ok(answer.status === 201 || answer.status === 202, `${path}: ${JSON.stringify(answer.body)}`);
  return answer.status === 201 ? answer.body : server.finished(answer);
};

/** `{commit: 2, refs: 2}` */
const counts = (summary: Record<string, { count: number }>): Record<string, number> =>
  Object.fromEntries(Object.entries(summary).map(([type, { count }]) => [type.replace('ostree.', ''), count]));

const repository = (): Promise<Body> => post(`${API}repositories/ostree/ostree/`, { name: unique('flow'), compute_delta: false });
const remote = (): Promise<Body> => post(`${API}remotes/ostree/ostree/`, { name: unique('flow'), url: upstream.url });
const get = async (href: string): Promise<Body> => (await server.request('GET', href)).body;
const units = async (kind: string, version: string, query = ''): Promise<Body[]> =>
  (await get(`${API}content/ostree/${kind}/?repository_version=${version}&limit=1000${query}`)).results;

/** What a completed modify has made: the version. */
async function modified(href: string, body: unknown): Promise<Body> {
  const task = await post(`${href}modify/`, body);
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  assert.equal(task.result, null);
  assert.equal(task.created_resources.length, 1);
  return get(task.created_resources[0]);
}

describe('OSTree content', { skip }, () => {
  let version: string;
  before(async () => {
    const { pulp_href: href } = await repository();
    const task = await post(`${href}sync/`, { remote: (await remote()).pulp_href });
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    [version] = task.created_resources;
  });

  it('is listed as it was mirrored', async () => {
    const refs = await units('refs', version);
    assert.deepEqual(new Map(refs.map((ref) => [ref.name, ref.checksum])), fixture.refs);
    for (const ref of refs) {
      const commit = await get(ref.commit);
      const { checksum } = ref;
      assert.equal(ref.relative_path, `refs/heads/${ref.name}`);
      assert.deepEqual(
        [commit.checksum, commit.relative_path],
        [checksum, `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.commit`],
      );
      assert.match(commit.artifact, /\/artifacts\//);
      const listed = await ostree(fixture.path, 'ls', '--repo', fixture.path, '-R', '-C', '-X', checksum);
      assert.ok(listed.length > 0);
      const objects = await Promise.all(commit.objs.map((href: string) => get(href)));
      for (const object of objects) {
        const suffix = ['', 'filez', 'dirtree', 'dirmeta'][object.typ];
        assert.equal(object.relative_path, `objects/${object.checksum.slice(0, 2)}/${object.checksum.slice(2)}.${suffix}`);
        // Each checksum but a symbolic link's own is in the listing.
        assert.ok(listed.includes(object.checksum), object.checksum);
      }
    }
    assert.deepEqual(
      (await units('configs', version)).map((unit) => unit.relative_path),
      ['config'],
    );
    assert.deepEqual(
      (await units('summaries', version)).map((unit) => unit.relative_path),
      ['summary'],
    );
  });

  it('is found by its own filters', async () => {
    const [[name = '', checksum = ''] = []] = [...fixture.refs];
    const names = async (query: string) => (await units('refs', version, `&${query}`)).map((ref) => ref.name);
    assert.deepEqual(await names(`name=${name}`), [name]);
    assert.deepEqual(await names(`name__in=${name},nobody`), [name]);
    assert.deepEqual(await names(`name__istartswith=${name.slice(0, 3).toUpperCase()}`), [name]);
    assert.deepEqual(await names(`checksum=${checksum}`), [name]);
    assert.deepEqual(await names('name=nobody'), []);
    const commits = await units('commits', version, `&checksum=${checksum}`);
    assert.deepEqual(
      commits.map((commit) => commit.checksum),
      [checksum],
    );
    const [object] = await units('objects', version, '&ordering=checksum');
    const found = await units('objects', version, `&checksum=${object.checksum}`);
    assert.deepEqual(
      found.map((one) => one.pulp_href),
      [object.pulp_href],
    );
    assert.deepEqual(Object.keys((await units('commits', version, '&fields=checksum,typ'))[0]), ['checksum']);
  });
});

describe('modify', { skip }, () => {
  let from: Body[];
  before(async () => {
    const { pulp_href: href } = await repository();
    const task = await post(`${href}sync/`, { remote: (await remote()).pulp_href });
    from = await units('refs', task.created_resources[0]);
  });
  const hrefs = (...refs: readonly Body[]): string[] => refs.map((ref) => ref.pulp_href);

  it('adds refs with all that they need, and takes them away', async () => {
    const { pulp_href: href } = await repository();
    const [one, two] = from;
    const first = await modified(href, { add_content_units: hrefs(one) });
    const commit = await get(one.commit);
    const added = counts(first.content_summary.added);
    assert.deepEqual([added.refs, added.commit, added.object], [1, 1, commit.objs.length]);
    const second = await modified(href, { add_content_units: [two.prn] });
    const other = await get(two.commit);
    const all = new Set([...commit.objs, ...other.objs]);
    assert.equal(counts(second.content_summary.present).object, all.size);
    const third = await modified(href, { remove_content_units: hrefs(two) });
    const removed = counts(third.content_summary.removed);
    assert.deepEqual([removed.refs, removed.commit], [1, 1]);
    assert.deepEqual(
      (await units('refs', third.pulp_href)).map((ref) => ref.name),
      [one.name],
    );
  });

  it('builds on a named version', async () => {
    const { pulp_href: href } = await repository();
    const [one, two] = from;
    await modified(href, { add_content_units: hrefs(one) });
    await modified(href, { remove_content_units: hrefs(one), add_content_units: hrefs(two) });
    const built = await modified(href, { base_version: `${href}versions/1/` });
    assert.equal(built.base_version, `${href}versions/1/`);
    assert.deepEqual(
      (await units('refs', built.pulp_href)).map((ref) => ref.name),
      [one.name],
    );
  });

  it('leaves objects by themselves alone', async () => {
    const { pulp_href: href } = await repository();
    const [object] = (await get(from[0].commit)).objs;
    const task = await post(`${href}modify/`, { add_content_units: [object] });
    assert.deepEqual([task.state, task.created_resources, task.result], ['completed', [], null]);
  });
});

describe('a mirrored repository', { skip }, () => {
  it('is managed by the pulp command line, and pulled by ostree', { skip: skip || missing('pulp') }, async () => {
    const { pulp } = cli;
    const foo = unique('foo');
    const created = await pulp('ostree', 'remote', 'create', '--name', foo, '--url', upstream.url, '--depth', '0');
    // An empty list is what the command line sends where nothing is said: it selects all.
    assert.deepEqual([created.depth, created.include_refs, created.exclude_refs], [0, [], []]);
    await pulp('ostree', 'remote', 'update', '--name', foo, '--depth', '1');
    assert.equal((await pulp('ostree', 'remote', 'show', '--name', foo)).depth, 1);
    await pulp('ostree', 'remote', 'update', '--name', foo, '--depth', '0');
    assert.equal((await pulp('ostree', 'repository', 'create', '--name', foo, '--remote', foo)).name, foo);
    await pulp('ostree', 'repository', 'sync', '--name', foo);
    const refs = await pulp('ostree', 'repository', 'ref', 'list', '--repository', foo);
    assert.deepEqual(new Map(refs.map((ref: Body) => [ref.name, ref.checksum])), fixture.refs);
    const commits = await pulp('ostree', 'repository', 'commit', 'list', '--repository', foo);
    assert.equal(commits.length, fixture.refs.size);
    const objects = await pulp('ostree', 'repository', 'content', '--type', 'commit', 'list', '--repository', foo);
    assert.equal(objects.length, fixture.refs.size);
    assert.equal((await pulp('ostree', 'repository', 'config', 'list', '--repository', foo)).length, 1);
    await pulp('ostree', 'distribution', 'create', '--name', foo, '--base-path', foo, '--repository', foo);
    const { base_url: url } = await pulp('ostree', 'distribution', 'show', '--name', foo);
    const local = join(folder, foo);
    const [[name = '', checksum = ''] = []] = [...fixture.refs];
    await run('ostree', ['init', '--mode=archive', `--repo=${local}`]);
    // Where the server thinks it is reached, and where it is, may differ.
    await ostree(local, 'remote', 'add', '--no-gpg-verify', 'deckle', `${server.url}${new URL(url).pathname}`);
    await ostree(local, 'pull', '--mirror', 'deckle', name);
    assert.equal((await ostree(local, 'rev-parse', name)).trim(), checksum);
    await ostree(local, 'fsck');

    await pulp('ostree', 'repository', 'ref', 'remove', '--repository', foo, '--name', name, '--checksum', checksum);
    const left = await pulp('ostree', 'repository', 'ref', 'list', '--repository', foo);
    assert.deepEqual(left.map((ref: Body) => ref.name).includes(name), false);
    await pulp('ostree', 'repository', 'ref', 'add', '--repository', foo, '--name', name, '--checksum', checksum);
    assert.equal((await pulp('ostree', 'repository', 'version', 'list', '--repository', foo)).length, 4);
    await pulp('ostree', 'repository', 'label', 'set', '--repository', foo, '--key', 'team', '--value', 'edge');
    assert.deepEqual((await pulp('ostree', 'repository', 'show', '--name', foo)).pulp_labels, { team: 'edge' });
    await pulp('ostree', 'distribution', 'destroy', '--name', foo);
    await pulp('ostree', 'repository', 'version', 'destroy', '--repository', foo, '--version', '1');
    await pulp('ostree', 'repository', 'destroy', '--name', foo);
    await pulp('ostree', 'remote', 'destroy', '--name', foo);
    assert.equal((await get(`${API}remotes/ostree/ostree/?name=${foo}`)).count, 0);
  });

  it('is imported by the pulp command line', { skip: skip || missing('pulp', 'tar') }, async () => {
    const { pulp } = cli;
    const foo = unique('imported');
    const source = join(folder, foo);
    await ostreeFixture('small', source);
    const head = async (ref: string): Promise<string> => (await ostree(source, 'rev-parse', ref)).trim();
    // As it was one commit ago, and as it is.
    const [before, now] = [await head('stable^'), await head('stable')];
    await ostree(source, 'reset', 'stable', before);
    await ostree(source, 'summary', '-u');
    await run('tar', ['-C', folder, '-cf', `${source}-1.tar`, foo]);
    await ostree(source, 'reset', 'stable', now);
    await ostree(source, 'summary', '-u');
    await run('tar', ['-C', folder, '-cf', `${source}-2.tar`, foo]);

    await pulp('ostree', 'repository', 'create', '--name', foo);
    const all = ['--name', foo, '--file', `${source}-1.tar`, '--repository_name', foo];
    await pulp('ostree', 'repository', 'import-all', ...all);
    const stable = async (): Promise<string> => {
      const refs = await pulp('ostree', 'repository', 'ref', 'list', '--repository', foo);
      return refs.find((ref: Body) => ref.name === 'stable').checksum;
    };
    assert.equal(await stable(), before);
    const more = ['--name', foo, '--file', `${source}-2.tar`, '--repository_name', foo, '--ref', 'stable'];
    await pulp('ostree', 'repository', 'import-commits', ...more);
    assert.equal(await stable(), now);
    await pulp('ostree', 'distribution', 'create', '--name', foo, '--base-path', foo, '--repository', foo);
    const local = join(folder, `${foo}-pulled`);
    await run('ostree', ['init', '--mode=archive', `--repo=${local}`]);
    await ostree(local, 'remote', 'add', '--no-gpg-verify', 'deckle', `${server.url}/pulp/content/${foo}/`);
    await ostree(local, 'pull', '--mirror', '--depth=-1', 'deckle', 'stable');
    assert.equal((await ostree(local, 'rev-parse', 'stable^')).trim(), before);
    await ostree(local, 'fsck');
  });
});
