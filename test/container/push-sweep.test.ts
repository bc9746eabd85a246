import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { sweepPushes } from '../../src/plugins/container/push/sweep.ts';
import { PUSHED_PARTS, pushedPartKey } from '../../src/storage/layout.ts';
import { simpleImage } from '../support/images.ts';
import { assertRefused, bytesOf, digestOf, type RegistryUser, versionsOf } from './push-rig.ts';
import { type PushWorld, startPushWorld } from './push-world.ts';

const HOURS = 5;

let world: PushWorld;
let user: RegistryUser;
before(async () => {
  world = await startPushWorld({ DECKLE_UPLOAD_EXPIRY_HOURS: String(HOURS) });
  user = world.admin;
});
afterEach(() => assert.deepEqual(world.app.faults(), []));
after(() => world?.stop());

const sweep = () => sweepPushes(world.app.services);

/** So many minutes pass for what pushes have left. */
async function age(minutes: number): Promise<void> {
  const by = sql`make_interval(mins => ${minutes}::int)`;
  const { db } = world;
  await db.execute(sql`update container_upload set pulp_last_updated = pulp_last_updated - ${by}`);
  await db.execute(sql`update container_pending_content set pulp_created = pulp_created - ${by}`);
  // Rows that one transaction has made have the same time, and keep it.
  for (const table of ['repository', 'distribution', 'container_namespace'] as const) {
    const statement = {
      repository: sql`update repository set pulp_created = pulp_created - ${by}`,
      distribution: sql`update distribution set pulp_created = pulp_created - ${by}`,
      container_namespace: sql`update container_namespace set pulp_created = pulp_created - ${by}`,
    };
    await db.execute(statement[table]);
  }
}
const NEARLY = HOURS * 60 - 5;
const REST = 10;

async function parts(): Promise<string[]> {
  const found: string[] = [];
  for await (const keys of world.app.services.storage.list(PUSHED_PARTS)) found.push(...keys);
  return found;
}

const there = async (name: string): Promise<object> => ({
  repository: (await world.find('repositories', name)) !== undefined,
  distribution: (await world.find('distributions', name)) !== undefined,
  namespace: (await world.find('namespaces', name.split('/')[0] as string)) !== undefined,
});
const ALL = { repository: true, distribution: true, namespace: true };
const NOTHING = { repository: false, distribution: false, namespace: false };

describe('what pushes leave behind goes in time', () => {
  it('uploads, with their files, and what was made for them', async () => {
    const bytes = randomBytes(200_000);
    const small = await user.begin('sweep-uploads/app');
    await user.ask('PATCH', 'sweep-uploads/app', small, { body: 'x' });
    const large = await user.begin('sweep-uploads/app');
    await user.ask('PATCH', 'sweep-uploads/app', large, { body: bytes });
    await age(NEARLY);
    const kept = await user.begin('sweep-uploads/kept');
    await user.ask('PATCH', 'sweep-uploads/kept', kept, { body: bytes });
    await sweep();
    assert.equal((await user.ask('GET', 'sweep-uploads/app', large)).status, 204);
    assert.equal((await parts()).length, 2);
    await age(REST);
    await sweep();
    for (const location of [small, large])
      await assertRefused(await user.ask('GET', 'sweep-uploads/app', location), 404, 'NAME_UNKNOWN');
    assert.equal((await parts()).length, 1);
    assert.deepEqual(await there('sweep-uploads/app'), { ...NOTHING, namespace: true });
    assert.equal((await user.ask('PUT', 'sweep-uploads/kept', `${kept}?digest=${digestOf(bytes)}`)).status, 201);
    assert.deepEqual(await parts(), []);
  });

  it('blobs that no manifest came for; the namespace too, where nothing else is in it', async () => {
    const digest = await user.blob('sweep-blobs/app', randomBytes(100));
    await age(NEARLY);
    await sweep();
    assert.equal((await user.ask('HEAD', 'sweep-blobs/app', `blobs/${digest}`)).status, 200);
    await age(REST);
    await sweep();
    assert.deepEqual(await there('sweep-blobs/app'), NOTHING);
    await world.app.run('/pulp/api/v3/orphans/cleanup/', { orphan_protection_time: 0 });
    assert.deepEqual(await world.db.query(sql`select 1 from container_blob where digest = ${digest}`), []);
  });

  it('of a repository that has an image, blobs alone', async () => {
    const image = simpleImage('sweep');
    await user.image('sweep-image/app', 'latest', image);
    const digest = await user.blob('sweep-image/app', randomBytes(100));
    await age(NEARLY + REST);
    await sweep();
    assert.deepEqual(await there('sweep-image/app'), ALL);
    assert.equal((await user.ask('HEAD', 'sweep-image/app', `blobs/${digest}`)).status, 404);
    for (const blob of image.blobs) assert.equal((await user.ask('HEAD', 'sweep-image/app', `blobs/${blob.digest}`)).status, 200);
  });

  it('no manifest that was sent by its digest, nor its blobs: it was answered that it is there', async () => {
    const image = simpleImage('sweep by digest');
    const name = 'sweep-digest/app';
    for (const blob of image.blobs) await user.blob(name, bytesOf(blob));
    assert.equal((await user.manifest(name, image.digest, image)).status, 201);
    for (let round = 0; round < 2; round += 1) {
      await age(NEARLY + REST);
      await sweep();
      await world.app.run('/pulp/api/v3/orphans/cleanup/', { orphan_protection_time: 0 });
    }
    const got = await user.ask('GET', name, `manifests/${image.digest}`);
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), image.bytes);
    for (const blob of image.blobs) {
      const bytes = Buffer.from(await (await user.ask('GET', name, `blobs/${blob.digest}`)).arrayBuffer());
      assert.deepEqual(bytes, bytesOf(blob));
    }
    assert.equal((await user.manifest(name, 'latest', image)).status, 201);
    assert.deepEqual(await versionsOf(world.app, name), [0, 1]);
  });

  it('nothing that was made by the REST API', async () => {
    const name = 'sweep-rest/app';
    const repository = await world.app.request('POST', '/pulp/api/v3/repositories/container/container/', { name });
    assert.equal(repository.status, 201);
    await world.app.run('/pulp/api/v3/distributions/container/container/', {
      name,
      base_path: name,
      repository: repository.body.pulp_href,
    });
    await user.begin(name);
    await user.blob(name, randomBytes(100));
    await age(NEARLY + REST);
    await sweep();
    assert.deepEqual(await there(name), ALL);
    assert.equal((await user.ask('DELETE', name, await user.begin(name))).status, 204);
    assert.deepEqual(await there(name), ALL);
    assert.deepEqual(
      await world.db.query(
        sql`select 1 from container_pending_content p join repository r on r.id = p.repository_id where r.name = ${name}`,
      ),
      [],
    );
  });

  it('no distribution and no namespace that were there before the push', async () => {
    const namespace = await world.app.request('POST', '/pulp/api/v3/pulp_container/namespaces/', { name: 'sweep-namespace' });
    assert.equal(namespace.status, 201);
    await world.app.run('/pulp/api/v3/distributions/container/container/', {
      name: 'sweep-namespace/bare',
      base_path: 'sweep-namespace/bare',
    });
    await user.begin('sweep-namespace/bare');
    await user.begin('sweep-namespace/new');
    await age(NEARLY + REST);
    await sweep();
    assert.deepEqual(await there('sweep-namespace/bare'), { ...ALL, repository: false });
    assert.deepEqual(await there('sweep-namespace/new'), { ...NOTHING, namespace: true });
  });

  it('files of uploads that a crash has left, and none that is being written', async () => {
    const { storage, config } = world.app.services;
    const [old, young] = [pushedPartKey(randomUUID()), pushedPartKey(randomUUID())];
    await storage.putSmall([old, young].map((key) => ({ key, body: randomBytes(10) })));
    const location = await user.begin('sweep-files/app');
    await user.ask('PATCH', 'sweep-files/app', location, { body: randomBytes(200_000) });
    const [named] = (await parts()).filter((key) => key !== old && key !== young);
    const hoursAgo = new Date(Date.now() - 2 * 3_600_000);
    for (const key of [old, named as string]) await utimes(join(config.DATA_DIR, 'media', key), hoursAgo, hoursAgo);
    await sweep();
    assert.deepEqual((await parts()).sort(), [named, young].sort());
  });

  it('by several processes at once, once', async () => {
    await user.begin('sweep-twice/app');
    await user.blob('sweep-again/app', randomBytes(10));
    await age(NEARLY + REST);
    await Promise.all([sweep(), sweep(), sweep()]);
    assert.deepEqual(await there('sweep-twice/app'), NOTHING);
    assert.deepEqual(await there('sweep-again/app'), NOTHING);
  });
});
