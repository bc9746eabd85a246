import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { imageOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { type EmbeddedPostgres, removePostgres, startPostgres } from '../../src/embedded/postgres.ts';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { type RedisServer, startRedis } from '../queue/redis-server.ts';
import { missing } from '../support/missing.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { type Mirror, startMirror } from './mirror.ts';

const log = pino({ level: 'fatal' });

const images = (name: string) => {
  const shared = layerOf({ 'etc/shared': name });
  return { v1: imageOf({ layers: [shared, largeLayer(name, 3_000_000)] }), v2: imageOf({ layers: [shared] }) };
};

/** A sync that is in the middle of a layer until `open`. */
async function heldSync(mirror: Mirror, name: string) {
  const until = gate();
  const content = images(name);
  for (const [tag, image] of Object.entries(content)) mirror.upstream.put(name, image, tag);
  const reference = content.v1.blobs[2]?.digest ?? '';
  const fault = mirror.upstream.fault({ repository: name, reference, fault: FAULTS.held(until.passed, 2_000_000) });
  const [repository, remote] = await Promise.all([mirror.repository(), mirror.remote(name)]);
  const task = await mirror.begin(repository, remote);
  await eventually('the sync is held', () => fault.hits > 0);
  return { repository, remote, task, content, open: until.open };
}

type HeldSync = Awaited<ReturnType<typeof heldSync>>;

/** A further sync gives the right version, whatever came of the first; all of it is served, each byte right. */
async function assertGoesOn(mirror: Mirror, { repository, remote, content }: HeldSync): Promise<void> {
  await mirror.synced(repository, remote);
  assert.deepEqual(await mirror.versions(repository), [0, 1]);
  await mirror.pullAll(repository, content);
  assert.deepEqual(await mirror.temporaryFiles(), []);
}

describe('PostgreSQL', () => {
  const folder = mkdtempSync(join(tmpdir(), 'deckle-bad-luck-'));
  let server: EmbeddedPostgres;
  let mirror: Mirror;
  before(async () => {
    server = await startPostgres({ folder, log, durable: false });
    mirror = await startMirror({ DATABASE_URL: server.url, WORKERS: '1', PULP_WORKER_TTL: '10' });
  });
  after(async () => {
    await mirror?.stop();
    await server?.stop();
    removePostgres(folder);
  });

  const away = (): Promise<unknown> =>
    eventually('requests are answered 503', async () => {
      const { status } = await mirror.installation.request('GET', '/pulp/api/v3/tasks/');
      return status === 503;
    });

  for (const [how, bytes] of [
    ['stopped', 'afterwards'],
    ['stopped', 'meanwhile'],
    ['killed', 'afterwards'],
    ['killed', 'meanwhile'],
  ] as const) {
    test(`is ${how} during a sync whose bytes come ${bytes}, and started`, async () => {
      const sync = await heldSync(mirror, `${how}-${bytes}`);
      if (how === 'killed') process.kill(server.pid, 'SIGKILL');
      else await server.stop();
      await away();
      if (bytes === 'meanwhile') sync.open();
      server = await startPostgres({ folder, log, durable: false, port: server.port });
      sync.open();
      const task = await mirror.ended(sync.task);
      assert.equal(task.state, 'completed', task.error?.description);
      await assertGoesOn(mirror, sync);
    });
  }
});

describe('Redis', { skip: missing('redis-server') }, () => {
  let redis: RedisServer;
  let mirror: Mirror;
  before(async () => {
    redis = await startRedis();
    mirror = await startMirror({ REDIS_URL: redis.url, WORKERS: '1' });
  });
  after(async () => {
    await mirror?.stop();
    await redis?.remove();
  });

  test('is stopped and started during a sync: it goes on, and so does one that is asked for meanwhile', async () => {
    const sync = await heldSync(mirror, 'redis');
    await redis.stop();
    mirror.upstream.put('meanwhile', images('meanwhile').v2, 'v2');
    const repository = await mirror.repository();
    const meanwhile = await mirror.begin(repository, await mirror.remote('meanwhile'));
    assert.equal((await mirror.task(meanwhile)).state, 'waiting');
    sync.open();
    const { state, error } = await mirror.ended(sync.task);
    assert.equal(state, 'completed', error?.description);
    await mirror.pullAll(sync.repository, sync.content);
    await redis.start();
    assert.equal((await mirror.ended(meanwhile)).state, 'completed');
    await mirror.pullAll(repository, { v2: images('meanwhile').v2 });
    await assertGoesOn(mirror, sync);
  });
});
