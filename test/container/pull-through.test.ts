import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { API, CACHES, type PullThroughWorld, sha256, startPullThroughWorld } from './pull-through-world.ts';

const REPOSITORIES = `${API}repositories/container/container/`;
const DISTRIBUTIONS = `${API}distributions/container/container/`;

let world: PullThroughWorld;
before(async () => {
  world = await startPullThroughWorld();
});
afterEach(() => world.upstream.clearFaults());
after(() => world?.stop());

const only = async (list: string): Promise<Record<string, unknown>> => {
  const { body } = await world.app.request('GET', list);
  assert.equal(body.count, 1, list);
  return body.results[0];
};

describe('a first pull', () => {
  it('by tag makes remote, repository and distribution under the whole name', async () => {
    const { path, href } = await world.cache({ distribution: { hidden: true } });
    const { repository, image } = world.image();
    const name = `${path}/${repository}`;
    await world.pullImage(name, 'latest', image);
    const remote = await only(`${API}remotes/container/container/?name=${name}`);
    assert.deepEqual([remote.upstream_name, remote.url, remote.policy], [repository, world.upstream.url, 'on_demand']);
    const kept = await only(`${REPOSITORIES}?name=${name}`);
    assert.deepEqual([kept.retain_repo_versions, kept.latest_version_href], [1, `${kept.versions_href}1/`]);
    const distribution = await only(`${DISTRIBUTIONS}?name=${name}`);
    assert.deepEqual(
      [distribution.base_path, distribution.repository, distribution.remote, distribution.private, distribution.hidden],
      [name, kept.pulp_href, remote.pulp_href, false, true],
    );
    const { body: cache } = await world.app.request('GET', href);
    assert.deepEqual(cache.distributions, [distribution.pulp_href]);
    assert.equal(distribution.content_guard, cache.content_guard);
    assert.equal(distribution.namespace, cache.namespace);
  });

  it('asks for each manifest and blob once, and later ones for nothing', async () => {
    const { path } = await world.cache();
    const { repository, image } = world.image();
    const [config, layer] = image.blobs.map(({ digest }) => digest);
    for (let time = 0; time < 3; time += 1) await world.pullImage(`${path}/${repository}`, 'latest', image);
    await world.pullImage(`${path}/${repository}`, image.digest, image);
    assert.deepEqual(world.asked(repository), ['GET manifest latest', `GET blob ${config}`, `GET blob ${layer}`]);
  });

  it('by digest keeps the image without a tag', async () => {
    const { path } = await world.cache();
    const { repository, image } = world.image();
    await world.pullImage(`${path}/${repository}`, image.digest, image);
    await world.pullImage(`${path}/${repository}`, image.digest, image);
    const tags = await world.pull(`${path}/${repository}/tags/list`);
    assert.deepEqual(JSON.parse(tags.bytes.toString()).tags, []);
    assert.equal(world.asked(repository).filter((request) => request.includes('manifest')).length, 1);
  });

  it('may be a HEAD, and of a name without a slash', async () => {
    const { path } = await world.cache();
    const single = world.name();
    const image = imageOf({ labels: { single } });
    world.upstream.put(single, image, 'v1');
    const head = await world.pull(`${path}/${single}/manifests/v1`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('docker-content-digest')], [200, image.digest]);
    await world.pullImage(`${path}/${single}`, 'v1', image);
    assert.deepEqual(
      world.asked(single).filter((request) => request.includes('manifest')),
      ['GET manifest v1'],
    );
  });

  it('adds a tag to those that were pulled before', async () => {
    const { path } = await world.cache();
    const { repository, image } = world.image('v1');
    const other = imageOf({ layers: [layerOf({ 'etc/name': `${repository} v2` })] });
    world.upstream.put(repository, other, 'v2');
    world.upstream.put(repository, image, 'again');
    for (const [tag, content] of [
      ['v1', image],
      ['v2', other],
      ['again', image],
    ] as const)
      await world.pullImage(`${path}/${repository}`, tag, content);
    const tags = await world.pull(`${path}/${repository}/tags/list`);
    assert.deepEqual(JSON.parse(tags.bytes.toString()), { name: `${path}/${repository}`, tags: ['again', 'v1', 'v2'] });
    const kept = await only(`${REPOSITORIES}?name=${path}/${repository}`);
    assert.deepEqual((await world.app.request('GET', String(kept.versions_href))).body.results.length, 1);
  });

  it('of fifty clients at once asks for each manifest and blob once', async () => {
    const { path } = await world.cache();
    const repository = `up/${world.name()}`;
    const image = imageOf({ layers: [largeLayer(repository, 2_000_000), layerOf({ 'etc/name': repository })] });
    world.upstream.put(repository, image, 'latest');
    const headers = await world.authorizationOf(`${path}/${repository}`, 'admin:password');
    const get = async (what: string, digest: string) => {
      const response = await fetch(`${world.app.url}/v2/${path}/${repository}/${what}`, { headers });
      assert.deepEqual([response.status, sha256(Buffer.from(await response.arrayBuffer()))], [200, digest]);
    };
    const client = async () => {
      await get('manifests/latest', image.digest);
      await Promise.all(image.blobs.map(({ digest }) => get(`blobs/${digest}`, digest)));
    };
    await Promise.all(Array.from({ length: 50 }, client));
    assert.deepEqual(
      [...world.asked(repository)].sort(),
      [...image.blobs.map(({ digest }) => `GET blob ${digest}`), 'GET manifest latest'].sort(),
    );
    assert.equal((await world.madeBelow(path)).length, 3);
  });

  it('sends the credentials of the remote, and knows of changed ones', async () => {
    const { path, remote } = await world.cache({ remote: { headers: [{ 'x-key': 'one' }] } });
    const { repository, image } = world.image('v1');
    world.upstream.put(repository, image, 'v2');
    await world.pullImage(`${path}/${repository}`, 'v1', image);
    await world.change('PATCH', remote, { headers: [{ 'x-key': 'two' }], username: 'somebody', password: 'something' });
    await world.pullImage(`${path}/${repository}`, 'v2', image);
    const keys = world.upstream.requests.log.filter((request) => request.repository === repository);
    assert.deepEqual(
      keys.filter(({ kind }) => kind === 'manifest').map(({ headers }) => headers['x-key']),
      ['one', 'two'],
    );
    const own = await only(`${API}remotes/container/container/?name=${path}/${repository}`);
    assert.deepEqual(own.headers, [{ 'x-key': 'two' }]);
    const set = (own.hidden_fields as { name: string; is_set: boolean }[]).filter(({ is_set }) => is_set);
    assert.deepEqual(set.map(({ name }) => name).sort(), ['password', 'username']);
  });
});

describe('an index that is pulled', () => {
  const multi = (repository: string) =>
    multiPlatformOf(['linux/amd64', 'linux/arm64', 'linux/s390x'], ({ architecture }) => ({
      layers: [layerOf({ 'etc/arch': `${repository} ${architecture}` })],
    }));

  it('brings what it lists when somebody asks for that', async () => {
    const { path } = await world.cache();
    const repository = `up/${world.name()}`;
    const image = multi(repository);
    world.upstream.put(repository, image, 'latest');
    await world.pullImage(`${path}/${repository}`, 'latest', image);
    assert.deepEqual(world.asked(repository), ['GET manifest latest']);
    const [first, second] = image.children;
    assert.ok(first && second);
    await Promise.all(Array.from({ length: 10 }, () => world.pullImage(`${path}/${repository}`, first.digest, first)));
    await world.pullImage(`${path}/${repository}`, second.digest, second);
    const manifests = world.asked(repository).filter((request) => request.includes('manifest'));
    assert.deepEqual(manifests, ['GET manifest latest', `GET manifest ${first.digest}`, `GET manifest ${second.digest}`]);
    const { body } = await world.app.request('GET', `${API}content/container/manifests/?digest=${image.digest}`);
    const listed = await world.app.request(
      'GET',
      `${API}content/container/manifests/?digest__in=${first.digest},${second.digest}`,
    );
    assert.deepEqual(
      [...body.results[0].listed_manifests].sort(),
      listed.body.results.map((row: { pulp_href: string }) => row.pulp_href).sort(),
    );
    assert.deepEqual(listed.body.results.map((row: { architecture: string }) => row.architecture).sort(), ['amd64', 'arm64']);
  });

  it('lets nobody else in: a digest that it does not list is unknown', async () => {
    const { path } = await world.cache();
    const repository = `up/${world.name()}`;
    const image = multi(repository);
    world.upstream.put(repository, image, 'latest');
    await world.pullImage(`${path}/${repository}`, 'latest', image);
    const foreign = world.image();
    const { status, code } = await world.pull(`${path}/${repository}/manifests/${foreign.image.digest}`);
    assert.deepEqual([status, code], [404, 'MANIFEST_UNKNOWN']);
  });
});

describe('below a cache', () => {
  it('names that were not pulled have no tags, no blobs and no referrers; asking makes nothing', async () => {
    const { path } = await world.cache();
    const { repository, image } = world.image();
    const digest = image.blobs[0]?.digest;
    const tags = await world.pull(`${path}/${repository}/tags/list`);
    assert.deepEqual([tags.status, JSON.parse(tags.bytes.toString()).tags], [200, []]);
    assert.deepEqual((await world.pull(`${path}/${repository}/blobs/${digest}`)).code, 'BLOB_UNKNOWN');
    const referrers = await world.pull(`${path}/${repository}/referrers/${image.digest}`);
    assert.deepEqual(JSON.parse(referrers.bytes.toString()).manifests, []);
    assert.deepEqual(await world.madeBelow(path), []);
    assert.deepEqual(world.asked(repository), []);
  });

  it('only repositories that the remote lets through are there', async () => {
    const { path } = await world.cache({ remote: { includes: ['up/*', 'exact'], excludes: ['*/secret*'] } });
    const image = imageOf({ labels: { path } });
    for (const repository of ['up/open', 'up/secret-one', 'exact', 'other/one']) world.upstream.put(repository, image, 'v1');
    for (const [repository, status] of [
      ['up/open', 200],
      ['up/secret-one', 404],
      ['exact', 200],
      ['other/one', 404],
    ] as const) {
      const answer = await world.pull(`${path}/${repository}/manifests/v1`);
      assert.deepEqual([repository, answer.status], [repository, status]);
      if (status === 404) assert.equal(answer.code, 'NAME_UNKNOWN');
    }
    assert.equal((await world.madeBelow(path)).length, 6);
  });

  it('what is excluded later is served as far as it is cached', async () => {
    const { path, remote } = await world.cache();
    const { repository, image } = world.image('v1');
    world.upstream.put(repository, image, 'v2');
    await world.pullImage(`${path}/${repository}`, 'v1', image);
    await world.change('PATCH', remote, { excludes: [repository] });
    await world.pullImage(`${path}/${repository}`, 'v1', image);
    assert.deepEqual((await world.pull(`${path}/${repository}/manifests/v2`)).code, 'MANIFEST_UNKNOWN');
  });

  it('nobody else has a base path, and no other cache', async () => {
    const { path, remote } = await world.cache();
    for (const base_path of [path, `${path}/own`]) {
      const answer = await world.app.request('POST', DISTRIBUTIONS, { name: world.name(), base_path });
      assert.deepEqual([answer.status, Object.keys(answer.body)], [400, ['base_path']]);
      const cache = await world.app.request('POST', CACHES, { name: world.name(), base_path, remote });
      assert.deepEqual([cache.status, Object.keys(cache.body)], [400, ['base_path']]);
    }
  });

  it('a repository of somebody else that has the name is left alone', async () => {
    const { path } = await world.cache();
    const { repository } = world.image();
    const name = `${path}/${repository}`;
    const made = await world.app.request('POST', REPOSITORIES, { name });
    const answer = await world.pull(`${name}/manifests/latest`);
    assert.deepEqual([answer.status, answer.code], [403, 'DENIED']);
    assert.match(answer.bytes.toString(), /has to be renamed first/);
    assert.deepEqual(await world.madeBelow(path), [`repositories ${name}`]);
    await world.change('PATCH', made.body.pulp_href, { name: world.name() });
    assert.equal((await world.pull(`${name}/manifests/latest`)).status, 200);
  });
});

describe('a cache', () => {
  it('that is deleted takes along what it has made, and can be made again', async () => {
    const { path, href, remote } = await world.cache();
    const { repository, image } = world.image();
    await world.pullImage(`${path}/${repository}`, 'latest', image);
    await world.change('DELETE', href);
    assert.deepEqual(await world.madeBelow(path), []);
    assert.deepEqual((await world.pull(`${path}/${repository}/manifests/latest`)).code, 'NAME_UNKNOWN');
    await world.change('POST', CACHES, { name: path, base_path: path, remote });
    await world.pullImage(`${path}/${repository}`, 'latest', image);
  });

  it('that is deleted leaves the remote of what somebody else has, too', async () => {
    const { path, href } = await world.cache();
    const { repository, image } = world.image();
    const name = `${path}/${repository}`;
    assert.equal((await world.pull(`${name}/manifests/latest`)).status, 200);
    const own = world.name();
    const mirror = (await world.app.request('POST', REPOSITORIES, { name: own })).body.pulp_href;
    const remote = { name: own, url: world.upstream.url, upstream_name: repository, policy: 'on_demand' };
    const other = (await world.app.request('POST', `${API}remotes/container/container/`, remote)).body.pulp_href;
    await world.change('POST', `${mirror}sync/`, { remote: other });
    await world.change('POST', DISTRIBUTIONS, { name: own, base_path: own, repository: mirror });
    await world.change('DELETE', href);
    assert.deepEqual(await world.madeBelow(path), [`remotes ${name}`]);
    await world.change('DELETE', other);
    await world.pullImage(own, 'latest', image);
  });

  it('that has lost its remote serves what is cached', async () => {
    const { path, remote } = await world.cache();
    const { repository, image } = world.image('v1');
    world.upstream.put(repository, image, 'v2');
    await world.pullImage(`${path}/${repository}`, 'v1', image);
    await world.change('DELETE', remote);
    await world.pullImage(`${path}/${repository}`, 'v1', image);
    assert.equal((await world.pull(`${path}/${repository}/manifests/v2`)).status, 404);
    assert.equal((await world.pull(`${path}/up/other/manifests/v1`)).code, 'NAME_UNKNOWN');
  });

  it('stays where it is', async () => {
    const { path, href, remote } = await world.cache();
    const moved = await world.app.request('PATCH', href, { base_path: `${path}-2` });
    assert.deepEqual([moved.status, moved.body], [400, { base_path: ['This value cannot be updated.'] }]);
    const same = await world.app.request('PUT', href, { name: path, base_path: path, remote });
    assert.equal(same.status, 200, JSON.stringify(same.body));
  });
});

describe('a blob that is pulled', () => {
  it('that breaks off breaks the connection, and nothing of it is stored', async () => {
    const { path } = await world.cache();
    const repository = `up/${world.name()}`;
    const image = imageOf({ layers: [largeLayer(repository, 3_000_000)] });
    world.upstream.put(repository, image, 'latest');
    const layer = image.blobs.find(({ size }) => size > 1_000_000)?.digest;
    assert.equal((await world.pull(`${path}/${repository}/manifests/latest`)).status, 200);
    world.upstream.fault({ kind: 'blob', reference: layer ?? '', fault: FAULTS.cutOff(1_000_000, true) });
    await assert.rejects(world.pull(`${path}/${repository}/blobs/${layer}`));
    world.upstream.clearFaults();
    const stored = `${API}artifacts/?sha256=${layer?.slice('sha256:'.length)}`;
    assert.equal((await world.app.request('GET', stored)).body.count, 0);
  });
});
