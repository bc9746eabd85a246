import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { imageOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { completed, type Mirror, startUpkeepWorld, type UpkeepWorld } from './upkeep-world.ts';

const API = '/pulp/api/v3/';
const PASSWORD = 'Kiesel-7-Wolke';
const NOT_ALLOWED = { detail: 'You do not have permission to perform this action.' };

describe('who may clean up, repair and reclaim', () => {
  let world: UpkeepWorld;
  let mirror: Mirror;
  let version: string;
  before(async () => {
    world = await startUpkeepWorld();
    world.upstream.put('app', imageOf({ layers: [layerOf({ 'etc/motd': 'one' })] }), 'latest');
    mirror = await world.mirror();
    version = completed(await world.sync(mirror, await world.remote())).created_resources[0];
    for (const username of ['nobody', 'viewer', 'owner', 'everywhere']) {
      const { status } = await world.app.request('POST', `${API}users/`, { username, password: PASSWORD });
      assert.equal(status, 201);
    }
    await give('viewer', 'container.containerrepository_viewer', mirror.repository);
    await give('owner', 'container.containerrepository_owner', mirror.repository);
    await give('everywhere', 'container.containerrepository_owner', null);
  });
  after(() => world?.stop());

  async function give(username: string, role: string, content_object: string | null): Promise<void> {
    const [user] = (await world.app.request('GET', `${API}users/?username=${username}`)).body.results;
    const answer = await world.app.request('POST', `${user.pulp_href}roles/`, { role, content_object });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
  }
  const as = (user: string | null, method: string, path: string, body: object = {}) =>
    world.app.request(method, path, body, { user: user === null ? null : `${user}:${PASSWORD}` });

  it('administrators alone remove orphans, repair everything and reclaim space', async () => {
    const operations = [
      ['POST', `${API}orphans/cleanup/`, {}],
      ['DELETE', `${API}orphans/`, {}],
      ['POST', `${API}repair/`, {}],
      ['POST', `${API}repositories/reclaim_space/`, { repo_hrefs: [mirror.repository] }],
    ] as const;
    for (const [method, path, body] of operations) {
      assert.equal((await as(null, method, path, body)).status, 401, path);
      for (const user of ['nobody', 'viewer', 'owner', 'everywhere']) {
        const answer = await as(user, method, path, body);
        assert.deepEqual([answer.status, answer.body], [403, NOT_ALLOWED], `${user} ${path}`);
      }
      completed(await world.app.finished(await world.app.request(method, path, body)));
    }
  });

  it('a version is repaired by who may change its repository', async () => {
    const path = `${version}repair/`;
    assert.equal((await as(null, 'POST', path)).status, 401);
    assert.ok([403, 404].includes((await as('nobody', 'POST', path)).status));
    assert.equal((await as('viewer', 'POST', path)).status, 403);
    for (const user of ['owner', 'everywhere']) {
      const answer = await as(user, 'POST', path);
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      completed(await world.app.finished(answer));
    }
  });
});
