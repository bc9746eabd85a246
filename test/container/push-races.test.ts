import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import type { ImageContent } from '../../src/demo/image.ts';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { simpleImage } from '../support/images.ts';
import { assertRefused, bytesOf, digestOf, type RegistryUser, versionsOf } from './push-rig.ts';
import { type PushWorld, startPushWorld } from './push-world.ts';

const API = '/pulp/api/v3/';
/** So often is cleaned up while pushes go on. */
const CLEANUPS = 5;

let world: PushWorld;
let user: RegistryUser;
before(async () => {
  world = await startPushWorld();
  user = world.admin;
});
afterEach(() => assert.deepEqual(world.app.faults(), []));
after(() => world?.stop());

const versions = (name: string) => versionsOf(world.app, name);
const href = async (kind: 'repositories' | 'distributions', name: string): Promise<string> =>
  (await world.find(kind, name)) as string;

/** The image can be pulled by its tag, every byte right. */
async function assertPulled(name: string, tag: string, image: ImageContent): Promise<void> {
  const got = await user.ask('GET', name, `manifests/${tag}`);
  assert.equal(got.status, 200, `${name}:${tag}`);
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), image.bytes);
  for (const blob of image.blobs) {
    const bytes = Buffer.from(await (await user.ask('GET', name, `blobs/${blob.digest}`)).arrayBuffer());
    assert.equal(digestOf(bytes), blob.digest);
  }
}

describe('at once,', () => {
  it('100 pushes of other tags to one repository all succeed, each by a version of its own', async () => {
    const images = Array.from({ length: 100 }, (_, n) => simpleImage(`many ${n}`));
    await user.token('repository:races/many:pull,push,delete');
    await Promise.all(images.map((image, n) => user.image('races/many', `tag-${n}`, image)));
    assert.deepEqual(
      await versions('races/many'),
      Array.from({ length: 101 }, (_, n) => n),
    );
    const { tags } = (await (await user.ask('GET', 'races/many', 'tags/list?n=1000')).json()) as { tags: string[] };
    assert.equal(tags.length, 100);
    for (const n of [0, 42, 99]) await assertPulled('races/many', `tag-${n}`, images[n] as ImageContent);
  });

  it('the same tag gets one image after the other, none half', async () => {
    const images = Array.from({ length: 10 }, (_, n) => simpleImage(`same tag ${n}`));
    await Promise.all(images.map((image) => user.image('races/same', 'latest', image)));
    assert.deepEqual(
      await versions('races/same'),
      Array.from({ length: 11 }, (_, n) => n),
    );
    const digest = (await user.ask('HEAD', 'races/same', 'manifests/latest')).headers.get('docker-content-digest');
    await assertPulled('races/same', 'latest', images.find((image) => image.digest === digest) as ImageContent);
  });

  it('the same layers come to 10 new repositories', async () => {
    const layers = Array.from({ length: 6 }, (_, n) => layerOf({ [`etc/${n}`]: 'shared' }));
    const names = Array.from({ length: 10 }, (_, n) => `races/shared-${n}`);
    const images = names.map((_, n) => imageOf({ layers: n % 2 ? layers : layers.toReversed(), labels: { n: String(n) } }));
    await Promise.all(
      names.map(async (name, n) => {
        const image = images[n] as ImageContent;
        await Promise.all(image.blobs.map((blob) => user.blob(name, bytesOf(blob))));
        assert.equal((await user.manifest(name, 'latest', image)).status, 201);
      }),
    );
    for (const [n, name] of names.entries()) await assertPulled(name, 'latest', images[n] as ImageContent);
    const [{ count } = { count: 0 }] = await world.db.query<{ count: number }>(sql`
      select count(*) as count from artifact where sha256 = any(${layers.map(({ digest }) => digest.slice(7))}::text[])`);
    assert.equal(count, layers.length);
  });

  it('ten first pushes to one name make one repository and one distribution', async () => {
    const image = simpleImage('first');
    await Promise.all(Array.from({ length: 10 }, (_, n) => user.image('races-first/app', `tag-${n}`, image)));
    for (const table of ['repository', 'distribution'] as const) {
      const query =
        table === 'repository'
          ? sql`select 1 from repository where name = 'races-first/app'`
          : sql`select 1 from distribution where base_path = 'races-first/app'`;
      assert.equal((await world.db.query(query)).length, 1, table);
    }
    assert.equal((await versions('races-first/app'))?.length, 11);
  });

  it('first pushes, some of which come to nothing, leave the others alone', async () => {
    for (let round = 0; round < 10; round += 1) {
      const name = `races-vain/app-${round}`;
      const image = simpleImage(`vain ${round}`);
      const vain = async (n: number) => {
        if (n % 2)
          await assertRefused(
            await user.ask('POST', name, `blobs/uploads/?digest=${digestOf(randomBytes(16))}`, { body: 'x' }),
            400,
            'DIGEST_INVALID',
          );
        else assert.equal((await user.ask('DELETE', name, await user.begin(name))).status, 204);
      };
      await Promise.all([user.image(name, 'latest', image), ...Array.from({ length: 6 }, (_, n) => vain(n))]);
      await assertPulled(name, 'latest', image);
    }
  });
});

describe('a repository that is deleted', () => {
  it('before, between and after the blobs of a push is made again, or is not found', async () => {
    const name = 'races-deleted/app';
    const image = simpleImage('deleted');
    const [first, second] = image.blobs.map(bytesOf) as [Buffer, Buffer];
    await user.blob(name, first);
    const location = await user.begin(name);
    await world.remove(await href('repositories', name));
    await assertRefused(
      await user.ask('PUT', name, `${location}?digest=${digestOf(second)}`, { body: second }),
      404,
      'NAME_UNKNOWN',
    );
    await assertRefused(await user.manifest(name, 'latest', image), 404, 'NAME_UNKNOWN');
    await user.blob(name, second);
    await assertRefused(await user.manifest(name, 'latest', image), 400, 'MANIFEST_BLOB_UNKNOWN');
    await user.blob(name, first);
    assert.equal((await user.manifest(name, 'latest', image)).status, 201);
    await assertPulled(name, 'latest', image);
  });

  it('at any moment of pushes leaves nothing half, and the next push succeeds', async () => {
    const name = 'races-deleted/often';
    const image = simpleImage('deleted often');
    const statuses = new Set<number>();
    const push = async () => {
      for (const blob of image.blobs) {
        const bytes = bytesOf(blob);
        const begun = await user.ask('POST', name, 'blobs/uploads/');
        statuses.add(begun.status);
        if (begun.status !== 202) return;
        statuses.add(
          (await user.ask('PUT', name, `${begun.headers.get('location')}?digest=${blob.digest}`, { body: bytes as never }))
            .status,
        );
      }
      statuses.add((await user.manifest(name, 'latest', image)).status);
    };
    for (let round = 0; round < 15; round += 1) {
      let over = false;
      const pushes = Promise.all(Array.from({ length: 4 }, push)).finally(() => {
        over = true;
      });
      while (!over) {
        for (const kind of ['repositories', 'distributions'] as const) {
          const found = await world.find(kind, name);
          if (found)
            await world.app
              .finished(await world.app.request('DELETE', found))
              .catch((error: Error) => assert.match(error.message, /no task in/));
        }
      }
      await pushes;
    }
    for (const status of statuses) assert.ok([201, 202, 400, 404].includes(status), `${status}`);
    await user.image(name, 'latest', image);
    await assertPulled(name, 'latest', image);
  });
});

describe('upkeep during pushes', () => {
  it('takes nothing that they rely on: orphan cleanup, repair, deleted versions and a retention', async () => {
    const names = ['races-upkeep/kept', 'races-upkeep/retained'];
    const retained = names[1] as string;
    await user.image(retained, 'base', simpleImage('base'));
    await world.app.finished(await world.app.request('PATCH', await href('repositories', retained), { retain_repo_versions: 1 }));
    let [over, cleanups, last] = [false, 0, -1];
    const pushes = (async () => {
      for (let round = 0; cleanups < CLEANUPS; round += 1) {
        last = round;
        await Promise.all(
          names.map(async (name) => {
            const image = simpleImage(`upkeep ${name} ${round}`);
            for (const blob of image.blobs) await user.blob(name, bytesOf(blob));
            assert.equal((await user.manifest(name, image.digest, image)).status, 201);
            assert.equal((await user.manifest(name, 'latest', image)).status, 201);
            await assertPulled(name, 'latest', image);
          }),
        );
      }
    })().finally(() => {
      over = true;
    });
    const upkeep = (async () => {
      while (!over) {
        const cleanup = await world.app.run(`${API}orphans/cleanup/`, { orphan_protection_time: 0 });
        assert.equal(cleanup.state, 'completed', JSON.stringify(cleanup.error));
        const repair = await world.app.run(`${API}repair/`, { verify_checksums: true });
        assert.equal(repair.state, 'completed', JSON.stringify(repair.error));
        cleanups += 1;
        const repository = await world.find('repositories', names[0] as string);
        if (!repository) continue;
        const { body } = await world.app.request('GET', `${repository}versions/?ordering=number`);
        const [, second] = body.results as { pulp_href: string; number: number }[];
        if (body.count > 3 && second) await world.remove(second.pulp_href);
      }
    })();
    await Promise.all([pushes, upkeep]);
    for (const name of names) await assertPulled(name, 'latest', simpleImage(`upkeep ${name} ${last}`));
    await assertStored();
  });

  it('reclaims nothing that was pushed: nobody can give it again', async () => {
    const image = simpleImage('reclaimed');
    await user.image('races-upkeep/reclaimed', 'latest', image);
    const waiting = randomBytes(500);
    await user.blob('races-upkeep/reclaimed', waiting);
    await world.db.execute(sql`update content set last_seen = now() - interval '1 day'`);
    const { result, state } = await world.app.run(`${API}repositories/reclaim_space/`, { repo_hrefs: ['*'] });
    assert.equal(state, 'completed');
    assert.equal(result.files, 0);
    await assertPulled('races-upkeep/reclaimed', 'latest', image);
    assert.equal((await user.ask('GET', 'races-upkeep/reclaimed', `blobs/${digestOf(waiting)}`)).status, 200);
  });

  it('reclaims nothing that a push waits with, though a remote of another repository has it', async () => {
    const image = simpleImage('reclaimed elsewhere');
    await user.image('races-upkeep/mirror', 'latest', image);
    for (const blob of image.blobs) await user.blob('races-upkeep/waiting', bytesOf(blob));
    const remote = { name: 'reclaim', url: 'http://127.0.0.1:9', upstream_name: 'a/b' };
    const { status, body } = await world.app.request('POST', `${API}remotes/container/container/`, remote);
    assert.equal(status, 201);
    const id = body.pulp_href.split('/').at(-2) as string;
    const digests = image.blobs.map(({ digest }) => digest);
    await world.db.execute(sql`
      insert into remote_content (content_id, remote_id)
      select id, ${id}::uuid from container_blob where digest = any(${digests}::text[])`);
    await world.db.execute(sql`update content set last_seen = now() - interval '1 day'`);
    const repo_hrefs = [await href('repositories', 'races-upkeep/mirror')];
    assert.equal((await world.app.run(`${API}repositories/reclaim_space/`, { repo_hrefs })).state, 'completed');
    assert.equal((await user.manifest('races-upkeep/waiting', 'latest', image)).status, 201);
    await assertPulled('races-upkeep/waiting', 'latest', image);
  });
});

/** Every artifact's file is there, and is what its row says. */
async function assertStored(): Promise<void> {
  const { storage } = world.app.services;
  for (const { sha256, file } of await world.db.query<{ sha256: string; file: string }>(sql`select sha256, file from artifact`)) {
    const hash = createHash('sha256');
    for await (const chunk of await storage.read(file)) hash.update(chunk as Buffer);
    assert.equal(hash.digest('hex'), sha256);
  }
}
