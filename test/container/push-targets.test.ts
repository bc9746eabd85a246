import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { simpleImage } from '../support/images.ts';
import { assertRefused, codeOf, digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryServer, type RegistryWorld, startRegistryServer, startRegistryWorld } from './registry-world.ts';

const MIRRORED = simpleImage('mirrored');
const PUSHED = simpleImage('pushed');

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
});
afterEach(() => assert.deepEqual(world.faults(), []));
after(() => world?.stop());

/** What each request that changes something is answered. */
async function refusals(name: string, by = user): Promise<void> {
  const digest = digestOf(randomBytes(16));
  for (const [method, path] of [
    ['POST', 'blobs/uploads/'],
    ['POST', `blobs/uploads/?digest=${digest}`],
    ['POST', `blobs/uploads/?mount=${digest}&from=${name}`],
    ['PATCH', `/v2/${name}/blobs/uploads/01890000-0000-7000-8000-000000000000`],
    ['PUT', 'manifests/latest'],
    ['PUT', `manifests/${MIRRORED.digest}`],
    ['DELETE', 'manifests/v1'],
    ['DELETE', `manifests/${MIRRORED.digest}`],
    ['DELETE', `blobs/${MIRRORED.blobs[0]?.digest}`],
  ] as const) {
    const body = method === 'PUT' ? { body: 'x' } : {};
    await assertRefused(await by.ask(method, name, path, body), 403, 'DENIED', `${method} ${path}`);
  }
}

describe('a repository that mirrors another registry', () => {
  for (const [how, columns] of [
    ['by a sync', sql`mirrored = true`],
    ['by pulling through', sql`origin = 'pull-through'`],
  ] as const) {
    it(`${how} takes no pushes, and says why; where they are let, it does`, async () => {
      const name = `mirrors/${how.replaceAll(' ', '-')}`;
      const repository = await world.repository(name);
      await world.publish(repository, { v1: MIRRORED });
      await world.distribution(name, { repository_id: repository });
      await world.services.db.execute(sql`update container_repository set ${columns} where id = ${repository}::uuid`);
      await refusals(name);
      const told = await user.ask('POST', name, 'blobs/uploads/');
      assert.match(await told.text(), /mirrors content from another registry/);
      assert.deepEqual(await versionsOf(world.server, name), [0, 1]);
      assert.equal((await user.ask('GET', name, 'manifests/v1')).status, 200);

      const { config: _, ...base } = world.services;
      const lenient: RegistryServer = await startRegistryServer(base, {
        DATA_DIR: world.services.config.DATA_DIR,
        DECKLE_PUSH_TO_MIRRORS: 'true',
      });
      try {
        await new RegistryUser(lenient).image(name, 'pushed', PUSHED);
      } finally {
        await lenient.stop();
      }
      assert.deepEqual(await versionsOf(world.server, name), [0, 1, 2]);
    });
  }
});

describe('a distribution', () => {
  it('that serves one version for good takes no pushes', async () => {
    const repository = await world.repository('targets/pinned');
    const version = await world.publish(repository, { v1: MIRRORED });
    await world.distribution('targets/pinned', { repository_version_id: version });
    await refusals('targets/pinned');
    assert.deepEqual(await versionsOf(world.server, 'targets/pinned'), [0, 1]);
  });

  it('without a repository gets one by the first push; what is asked of what is not there is not found', async () => {
    await world.distribution('targets/bare', {});
    for (const [method, path] of [
      ['PUT', 'manifests/latest'],
      ['DELETE', 'manifests/latest'],
      ['DELETE', `blobs/${digestOf(randomBytes(16))}`],
      ['GET', '/v2/targets/bare/blobs/uploads/01890000-0000-7000-8000-000000000000'],
    ] as const) {
      const response = await user.ask(method, 'targets/bare', path, method === 'PUT' ? { body: 'x' } : {});
      assert.equal(response.status, 404);
      assert.equal(await codeOf(response), 'NAME_UNKNOWN');
    }
    await user.image('targets/bare', 'latest', PUSHED);
    assert.deepEqual(await versionsOf(world.server, 'targets/bare'), [0, 1]);
    const distributions = await world.services.db.query(sql`select name from distribution where base_path = 'targets/bare'`);
    assert.deepEqual(distributions, [{ name: 'targets/bare' }]);
  });

  it('of another name and repository is pushed to by its base path', async () => {
    const repository = await world.repository('targets-named-otherwise');
    await world.distribution('targets/otherwise', { repository_id: repository });
    await user.image('targets/otherwise', 'latest', PUSHED);
    assert.deepEqual(await versionsOf(world.server, 'targets-named-otherwise'), [0, 1]);
    assert.equal(await versionsOf(world.server, 'targets/otherwise'), undefined);
  });
});

describe('a repository that nothing serves', () => {
  it('is used, if the user may change it and it mirrors nothing', async () => {
    const repository = await world.repository('targets/unserved');
    await user.image('targets/unserved', 'latest', PUSHED);
    assert.deepEqual(await versionsOf(world.server, 'targets/unserved'), [0, 1]);
    const served = await world.services.db.query(sql`select name from distribution where repository_id = ${repository}::uuid`);
    assert.deepEqual(served, [{ name: 'targets/unserved' }]);

    const mirror = await world.repository('targets/unserved-mirror');
    await world.services.db.execute(sql`update container_repository set mirrored = true where id = ${mirror}::uuid`);
    await assertRefused(await user.ask('POST', 'targets/unserved-mirror', 'blobs/uploads/'), 403, 'DENIED');
    assert.deepEqual(
      await world.services.db.query(sql`select 1 from distribution where base_path = 'targets/unserved-mirror'`),
      [],
    );
  });
});
