import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { multiPlatformOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { API, CACHES, type PullThroughWorld, startPullThroughWorld } from './pull-through-world.ts';

const CONSUMER = 'container.containerpullthroughdistribution_consumer';

/** Each with tokens, and with Basic credentials at every request. */
for (const basic of [false, true]) {
  describe(`with ${basic ? 'Basic authentication' : 'tokens'}`, () => {
    let world: PullThroughWorld;
    before(async () => {
      world = await startPullThroughWorld(basic ? { PULP_TOKEN_AUTH_DISABLED: 'true' } : {});
    });
    after(() => world?.stop());

    const give = async (object: string, role: string, user: string): Promise<void> => {
      const { status, body } = await world.app.request('POST', `${object}add_role/`, { role, users: [user] });
      assert.equal(status, 201, JSON.stringify(body));
    };
    const status = async (path: string, user: string | null): Promise<number> => (await world.pull(path, { user })).status;
    /** Who has no right: a token says no more than that; a user is told that it is this. */
    const refused = (user: string | null): number => (basic && user !== null ? 403 : 401);

    it('a public cache brings nothing for nobody, nor without the right; everybody pulls what it has', async () => {
      const { path, href } = await world.cache();
      const [reader, other] = [await world.user(), await world.user()];
      await give(href, CONSUMER, reader.name);
      const { repository, image } = world.image('v1');
      world.upstream.put(repository, image, 'v2');
      const name = `${path}/${repository}`;
      for (const user of [null, other.login]) assert.equal(await status(`${name}/manifests/v1`, user), refused(user));
      assert.deepEqual(world.asked(repository), []);
      await world.pullImage(name, 'v1', image, reader.login);
      for (const user of [null, other.login]) {
        await world.pullImage(name, 'v1', image, user);
        assert.equal(await status(`${name}/manifests/v2`, user), 404);
      }
      await world.pullImage(name, 'v2', image, reader.login);
      assert.equal(await status(`${name}/manifests/v2`, null), 200);
    });

    it('what a cached index lists is for everybody who may pull that', async () => {
      const { path } = await world.cache();
      const repository = `up/${world.name()}`;
      const image = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
        layers: [layerOf({ 'etc/arch': `${repository} ${architecture}` })],
      }));
      world.upstream.put(repository, image, 'latest');
      await world.pullImage(`${path}/${repository}`, 'latest', image);
      for (const child of image.children) await world.pullImage(`${path}/${repository}`, child.digest, child, null);
    });

    it('a private cache is for those who have the right', async () => {
      const { path, href } = await world.cache({ distribution: { private: true } });
      const [reader, other] = [await world.user(), await world.user()];
      await give(href, CONSUMER, reader.name);
      const { repository, image } = world.image();
      const name = `${path}/${repository}`;
      for (let time = 0; time < 2; time += 1) {
        await world.pullImage(name, 'latest', image, reader.login);
        for (const user of [null, other.login]) assert.equal(await status(`${name}/manifests/latest`, user), refused(user));
      }
      const { body } = await world.app.request('GET', `${API}distributions/container/container/?name=${name}`);
      assert.equal(body.results[0].private, true);
    });

    it('the content guard of a cache is asked before a first pull, and guards what it makes', async () => {
      const guard = await world.app.request('POST', `${API}contentguards/core/header/`, {
        name: world.name(),
        header_name: 'x-door',
        header_value: 'open',
      });
      const { path } = await world.cache({ distribution: { content_guard: guard.body.pulp_href } });
      const { repository } = world.image();
      const answer = await world.pull(`${path}/${repository}/manifests/latest`);
      assert.deepEqual([answer.status, answer.code], [403, 'DENIED']);
      assert.deepEqual(world.asked(repository), []);
      assert.deepEqual(await world.madeBelow(path), []);
    });

    it('nobody pushes to what was pulled through without being refused', async () => {
      const { path } = await world.cache();
      const { repository, image } = world.image();
      const name = `${path}/${repository}`;
      await world.pullImage(name, 'latest', image);
      const { body } = await world.app.request('GET', `${API}repositories/container/container/?name=${name}`);
      const { pulp_href } = body.results[0];
      const version = (await world.app.request('GET', pulp_href)).body.latest_version_href;
      assert.ok((await world.pull(`${name}/manifests/pushed`, { method: 'PUT' })).status >= 400);
      assert.equal((await world.app.request('GET', pulp_href)).body.latest_version_href, version);
    });
  });
}

describe('rights on caches', () => {
  let world: PullThroughWorld;
  before(async () => {
    world = await startPullThroughWorld();
  });
  after(() => world?.stop());

  it('who owns the namespace makes caches in it, which are then his', async () => {
    const user = await world.user();
    const { remote } = await world.cache();
    const own = { name: user.name, base_path: `${user.name}/cache` };
    const foreign = await world.app.request('POST', CACHES, { ...own, remote }, { user: user.login });
    assert.deepEqual([foreign.status, Object.keys(foreign.body)], [400, ['remote']], 'he does not see the remote');
    const role = { role: 'container.containerpullthroughremote_viewer', users: [user.name] };
    await world.app.request('POST', `${remote}add_role/`, role);
    const made = await world.app.request('POST', CACHES, { ...own, remote }, { user: user.login });
    assert.equal(made.status, 202, JSON.stringify(made.body));
    const { created_resources } = await world.app.finished(made);
    const [href] = created_resources;
    const permissions = await world.app.request('GET', `${href}my_permissions/`, undefined, { user: user.login });
    assert.ok(permissions.body.permissions.includes('container.pull_new_containerdistribution'));
    const { repository, image } = world.image();
    await world.pullImage(`${user.name}/cache/${repository}`, 'latest', image, user.login);
    const elsewhere = await world.app.request('POST', CACHES, { ...own, base_path: 'else', remote }, { user: user.login });
    assert.equal(elsewhere.status, 403);
  });

  it('labels are set by administrators', async () => {
    const { href, remote } = await world.cache();
    for (const object of [href, remote]) {
      const set = await world.app.request('POST', `${object}set_label/`, { key: 'team', value: 'blue' });
      assert.equal(set.status, 201);
      assert.deepEqual((await world.app.request('GET', object)).body.pulp_labels, { team: 'blue' });
      assert.equal((await world.app.request('POST', `${object}unset_label/`, { key: 'team' })).status, 201);
    }
  });

  it('nobody gives a distribution to a cache that he may not change: rights on the cache would be rights on it', async () => {
    const user = await world.user();
    const { href } = await world.cache();
    await world.app.request('POST', `${href}add_role/`, {
      role: 'container.containerpullthroughdistribution_owner',
      users: [user.name],
    });
    const name = world.name();
    const task = await world.change('POST', `${API}distributions/container/container/`, { name, base_path: name, private: true });
    const [secret] = task.created_resources;
    const give = () => world.app.request('PATCH', href, { distributions: [secret] }, { user: user.login });
    assert.equal((await give()).status, 400);
    const role = { role: 'container.containerdistribution_consumer', users: [user.name] };
    await world.app.request('POST', `${secret}add_role/`, role);
    assert.equal((await give()).status, 403);
  });

  it('distributions can be given to a cache, and taken from it', async () => {
    const { path, href } = await world.cache();
    const { repository } = world.image();
    assert.equal((await world.pull(`${path}/${repository}/manifests/latest`)).status, 200);
    const [own] = (await world.app.request('GET', href)).body.distributions;
    const name = world.name();
    const task = await world.change('POST', `${API}distributions/container/container/`, { name, base_path: name });
    const [other] = task.created_resources;
    for (const distributions of [[other], [own, other], []]) {
      await world.change('PATCH', href, { distributions });
      assert.deepEqual((await world.app.request('GET', href)).body.distributions, [...distributions].sort());
    }
  });
});
