import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { companionTag, cosignSignatureOf, simpleImage, simpleIndex } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { type PulpCli, pulpCli } from '../support/pulp-cli.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { type Body, openServer, type Server, unique } from './server.ts';

const run = promisify(execFile);
const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const REMOTES = `${API}remotes/container/container/`;

let server: Server;
let upstream: Upstream;
let folder: string;
let cli: PulpCli;
before(async () => {
  [server, upstream, folder] = [await openServer(), await startUpstream(), await mkdtemp(join(tmpdir(), 'deckle-flows-'))];
  cli = await pulpCli(server.url);
});
after(async () => {
  await cli?.remove();
  await server?.stop();
  await upstream?.stop();
  await rm(folder, { recursive: true, force: true });
});

const counts = (summary: Record<string, { count: number }>) =>
  Object.fromEntries(Object.entries(summary).map(([type, { count }]) => [type, count]));

async function repositoryAndRemote(
  upstreamName: string,
  remote: Record<string, unknown> = {},
): Promise<{ repository: string; remote: string }> {
  const name = unique('flow');
  const repository = await server.request('POST', REPOSITORIES, { name });
  const made = await server.request('POST', REMOTES, { name, url: upstream.url, upstream_name: upstreamName, ...remote });
  assert.deepEqual([repository.status, made.status], [201, 201], JSON.stringify(made.body));
  return { repository: repository.body.pulp_href, remote: made.body.pulp_href };
}

const sync = async (repository: string, remote: string, more: Record<string, unknown> = {}): Promise<Body> =>
  server.finished(await server.request('POST', `${repository}sync/`, { remote, ...more }));

describe('a sync', () => {
  it('makes versions, additive and as a mirror', async () => {
    const name = unique('acceptance/two');
    const [a, b] = [simpleImage(`${name} a`), simpleImage(`${name} b`)];
    upstream.put(name, a, 'a');
    upstream.put(name, b, 'b');
    const { repository, remote } = await repositoryAndRemote(name);
    const first = await sync(repository, remote, { mirror: 'False' });
    assert.equal(first.state, 'completed', JSON.stringify(first.error));
    assert.equal(first.name, 'pulp_container.app.tasks.synchronize.synchronize');
    assert.deepEqual(first.created_resources, [`${repository}versions/1/`]);
    const added = counts(first.result.content_summary.added);
    assert.equal(added['container.tag'], 2);
    assert.equal(added['container.manifest'], 2);
    assert.deepEqual(counts(first.result.content_summary.present), added);

    const again = await sync(repository, remote);
    assert.deepEqual([again.state, again.created_resources, again.result], ['completed', [], null]);

    upstream.removeTag(name, 'b');
    const additive = await sync(repository, remote);
    assert.deepEqual(additive.created_resources, []);
    const mirrored = await sync(repository, remote, { mirror: true });
    assert.deepEqual(counts(mirrored.result.content_summary.removed)['container.tag'], 1);
    assert.deepEqual(counts(mirrored.result.content_summary.present)['container.tag'], 1);

    const version = await server.request('GET', mirrored.created_resources[0]);
    assert.equal(version.body.number, 2);
    assert.equal(version.body.base_version, null);
    const present = version.body.content_summary.present['container.tag'];
    const tags = await server.request('GET', present.href);
    assert.equal(tags.body.count, present.count);
    assert.equal(tags.body.results[0].name, 'a');
    const manifest = await server.request('GET', tags.body.results[0].tagged_manifest);
    assert.equal(manifest.body.digest, a.digest);
    const removed = await server.request('GET', version.body.content_summary.removed['container.tag'].href);
    assert.deepEqual(
      removed.body.results.map((tag: Body) => tag.name),
      ['b'],
    );
    const between = await server.request(
      'GET',
      `${API}content/container/tags/?removed_between=${repository}versions/1/,${repository}versions/2/&fields=name`,
    );
    assert.deepEqual(between.body.results, [{ name: 'b' }]);
    const latest = await server.request('GET', `${API}content/container/tags/?repository_version=${repository}&fields=name`);
    assert.deepEqual(latest.body.results, [{ name: 'a' }]);
  });

  it('selects by includes and excludes, and brings companions along', async () => {
    const name = unique('acceptance/filter');
    const image = simpleImage(`${name} wanted`);
    upstream.put(name, image, 'v1');
    upstream.put(name, simpleImage(`${name} other`), 'v2');
    upstream.put(name, simpleIndex(`${name} index`), 'multi');
    upstream.put(name, cosignSignatureOf(image), companionTag(image.digest, '.sig'));
    const { repository, remote } = await repositoryAndRemote(name, { includes: ['v*'], excludes: ['v2'] });
    const task = await sync(repository, remote);
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    const tags = await server.request(
      'GET',
      `${API}content/container/tags/?repository_version=${task.created_resources[0]}&fields=name&ordering=name`,
    );
    assert.deepEqual(
      tags.body.results.map((tag: Body) => tag.name),
      [companionTag(image.digest, '.sig'), 'v1'],
    );
    const codes = task.progress_reports.map((report: Body) => `${report.code} ${report.state}`).sort();
    assert.deepEqual(codes, [
      'associating.content completed',
      'sync.downloading.artifacts completed',
      'sync.downloading.tag_list completed',
      'sync.processing.manifest completed',
      'sync.processing.manifest completed',
    ]);
  });

  it('on demand keeps manifests and configs, and leaves layers for later', async () => {
    const name = unique('acceptance/lazy');
    upstream.put(name, simpleImage(`${name} lazy`), 'latest');
    const { repository, remote } = await repositoryAndRemote(name, { policy: 'on_demand' });
    const task = await sync(repository, remote);
    const blobs = await server.request('GET', task.result.content_summary.present['container.blob'].href);
    assert.deepEqual(blobs.body.results.map((blob: Body) => blob.artifact === null).sort(), [false, true]);
  });

  it('tells why it failed', async () => {
    const { repository, remote } = await repositoryAndRemote(unique('acceptance/absent'));
    const task = await sync(repository, remote);
    assert.equal(task.state, 'failed');
    assert.match(
      task.error.description,
      /404, message='Not Found', url='http:\/\/127\.0\.0\.1:\d+\/v2\/acceptance\/absent-[^/]+\/tags\/list'/,
    );
    const { body } = await server.request('GET', repository);
    assert.equal(body.latest_version_href, `${repository}versions/0/`);
  });
});

describe('the documented flow', () => {
  it('by httpie and jq', { skip: missing('http', 'jq', 'bash') }, async () => {
    const name = unique('documented/flow');
    upstream.put(name, simpleImage(name), 'latest');
    const script = join(folder, 'flow.sh');
    await writeFile(script, DOCUMENTED_FLOW);
    const { stdout } = await run('bash', ['-euo', 'pipefail', script], {
      env: {
        ...process.env,
        HOME: folder,
        BASE_ADDR: server.url,
        UPSTREAM: upstream.url,
        UPSTREAM_NAME: name,
        NAME: unique('codzo'),
      },
    });
    const version = JSON.parse(stdout);
    assert.equal(version.number, 1);
    assert.deepEqual(Object.keys(version.content_summary).sort(), ['added', 'present', 'removed']);
    assert.equal(version.content_summary.added['container.tag'].count, 1);
  });

  it('by the pulp command line', { skip: missing('pulp') }, async () => {
    const name = unique('documented/cli');
    upstream.put(name, simpleImage(name), 'latest');
    const { pulp } = cli;
    const foo = unique('foo');
    assert.ok((await pulp('status')).online_workers.length > 0);
    assert.equal((await pulp('container', 'repository', 'create', '--name', foo)).name, foo);
    assert.equal(
      (await pulp('container', 'remote', 'create', '--name', foo, '--url', upstream.url, '--upstream-name', name)).upstream_name,
      name,
    );
    await pulp('container', 'repository', 'sync', '--name', foo, '--remote', foo);
    const versions = await pulp('container', 'repository', 'version', 'list', '--repository', foo);
    assert.deepEqual(
      versions.map((version: Body) => version.number),
      [1, 0],
    );
    await pulp('container', 'distribution', 'create', '--name', foo, '--base-path', foo, '--repository', foo);
    assert.equal((await pulp('container', 'distribution', 'show', '--name', foo)).base_path, foo);
    const [task] = await pulp('task', 'list', '--limit', '1');
    assert.equal((await pulp('task', 'show', '--href', task.pulp_href)).pulp_href, task.pulp_href);
    assert.ok((await pulp('worker', 'list')).length > 0);
    await pulp('container', 'remote', 'update', '--name', foo, '--policy', 'on_demand');
    assert.equal((await pulp('container', 'remote', 'show', '--name', foo)).policy, 'on_demand');
    await pulp('container', 'repository', 'update', '--name', foo, '--description', 'changed');
    await pulp('container', 'distribution', 'update', '--name', foo, '--private');
    assert.equal((await pulp('container', 'distribution', 'show', '--name', foo)).private, true);
    for (const [kind, option] of [
      ['repository', '--repository'],
      ['remote', '--remote'],
      ['distribution', '--distribution'],
    ] as const) {
      await pulp('container', kind, 'label', 'set', option, foo, '--key', 'team', '--value', 'edge');
      assert.deepEqual((await pulp('container', kind, 'show', '--name', foo)).pulp_labels, { team: 'edge' });
      await pulp('container', kind, 'label', 'unset', option, foo, '--key', 'team');
      assert.deepEqual((await pulp('container', kind, 'show', '--name', foo)).pulp_labels, {});
    }
    // the distribution last or first is a matter of taste on a server that keeps the repository
    await pulp('container', 'repository', 'destroy', '--name', foo);
    await pulp('container', 'distribution', 'destroy', '--name', foo);
    await pulp('container', 'remote', 'destroy', '--name', foo);
    assert.deepEqual(await pulp('container', 'remote', 'list', '--name', foo), []);
  });
});

/** The steps of the user's documents, with their way of polling a task. */
const DOCUMENTED_FLOW = `
http() { command http --ignore-stdin --check-status -a admin:password "$@"; }
wait_until_task_finished() {
  local state
  for _ in $(seq 200); do
    state=$(http "$1" | jq -r .state)
    case "$state" in failed|canceled) exit 1 ;; completed) return ;; esac
    sleep 0.1
  done
}
REPO_HREF=$(http POST $BASE_ADDR/pulp/api/v3/repositories/container/container/ name=$NAME | jq -r '.pulp_href')
http POST $BASE_ADDR/pulp/api/v3/remotes/container/container/ name=$NAME url=$UPSTREAM upstream_name=$UPSTREAM_NAME >/dev/null
REMOTE_HREF=$(http $BASE_ADDR/pulp/api/v3/remotes/container/container/ | jq -r ".results[] | select(.name == \\"$NAME\\") | .pulp_href")
TASK_HREF=$(http POST $BASE_ADDR$REPO_HREF'sync/' remote=$REMOTE_HREF mirror=False | jq -r '.task')
wait_until_task_finished $BASE_ADDR$TASK_HREF
REPOVERSION_HREF=$(http $BASE_ADDR$TASK_HREF | jq -r '.created_resources | first')
http $BASE_ADDR$REPOVERSION_HREF
`;
