import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { cancelTask } from '../../../src/core/tasks/cancel.ts';
import { startWorker } from '../../../src/core/tasks/worker.ts';
import { migrate } from '../../../src/db/migrate.ts';
import { removePostgres, startPostgres } from '../../../src/embedded/postgres.ts';
import { eventually } from '../../queue/eventually.ts';
import { startRedis } from '../../queue/redis-server.ts';
import { missing } from '../../support/missing.ts';
import { createDatabase } from '../../support/postgres.ts';
import { openRig, type Rig, type RigUrls, rigUrls } from './rig.ts';
import { echo, endless, outlives } from './test-tasks.ts';

/** Runs what it is given when the test has ended, the last first: `t.after` runs the first first. */
function closing(t: TestContext): (close: () => Promise<void>) => void {
  const closers: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
  });
  return (close) => void closers.push(close);
}

/** A rig whose worker starts when it is told to; both are closed when the test has ended. */
async function openIdleRig(atEnd: ReturnType<typeof closing>, urls: RigUrls): Promise<{ rig: Rig; work: () => Promise<void> }> {
  const rig = await openRig(urls);
  atEnd(() => rig.close());
  return {
    rig,
    async work() {
      const worker = await startWorker(rig.services);
      atEnd(() => worker.stop());
    },
  };
}

async function startRig(atEnd: ReturnType<typeof closing>, urls: RigUrls): Promise<{ rig: Rig }> {
  const { rig, work } = await openIdleRig(atEnd, urls);
  await work();
  return { rig };
}

const running = (rig: Rig, id: string) => eventually('the task runs', async () => (await rig.row(id)).state === 'running');

for (const how of ['stopped', 'killed']) {
  test(`PostgreSQL is ${how} and started: tasks go on, and what ended meanwhile is recorded`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'deckle-outage-'));
    const log = pino({ level: 'fatal' });
    let server = await startPostgres({ folder, log, durable: false });
    const atEnd = closing(t);
    atEnd(async () => {
      await server.stop();
      removePostgres(folder);
    });
    await migrate(server.url, log);
    // Longer than the outage: the worker is not given up meanwhile.
    const { rig } = await startRig(atEnd, rigUrls(server.url, { ttl: 15 }));
    const held = await rig.dispatch(endless, {}, { exclusive: ['prn:test.resource:a'] });
    const ends = await rig.dispatch(outlives, {}, { exclusive: ['prn:test.resource:b'] });
    const next = await rig.dispatch(echo, { text: 'next' }, { exclusive: ['prn:test.resource:b'] });
    await running(rig, held);
    await running(rig, ends);

    if (how === 'killed') process.kill(server.pid, 'SIGKILL');
    else await server.stop();
    // A killed PostgreSQL leaves its sessions, which end when they notice.
    await eventually('dispatch says that the database is away', () =>
      rig.dispatch(echo, { text: 'now or never' }).then(
        () => false,
        () => true,
      ),
    );
    server = await startPostgres({ folder, log, durable: false, port: server.port });

    const ended = await eventually('the end is recorded', async () => {
      const row = await rig.row(ends).catch(() => undefined);
      return row?.state === 'completed' && row;
    });
    assert.deepEqual(ended.result, { outlived: true });
    assert.equal((await rig.ended(next)).state, 'completed', 'its successor runs');
    assert.equal((await rig.row(held)).state, 'running', 'the other one was not disturbed');
    assert.equal((await rig.ended(await rig.dispatch(echo, { text: 'new' }))).state, 'completed', 'new tasks run');
    assert.equal(await cancelTask(rig.services, held), 'canceling');
    assert.equal((await rig.ended(held, 5_000)).state, 'canceled', 'cancels are heard again');
  });
}

describe('Redis is stopped and started', { skip: missing('redis-server') }, () => {
  test('tasks run that were dispatched before, meanwhile and after', async (t) => {
    const atEnd = closing(t);
    const redis = await startRedis();
    atEnd(() => redis.remove());
    const database = await createDatabase();
    atEnd(() => database.drop());
    const { rig } = await startRig(atEnd, rigUrls(database.url, { redis: redis.url, ttl: 15 }));
    const before = await rig.dispatch(echo, { text: 'before' });
    assert.equal((await rig.ended(before)).state, 'completed');
    const held = await rig.dispatch(endless, {}, { exclusive: ['prn:test.resource:a'] });
    const blocked = await rig.dispatch(echo, { text: 'blocked' }, { exclusive: ['prn:test.resource:a'] });
    await running(rig, held);

    await redis.stop();
    const start = performance.now();
    const meanwhile = await rig.dispatch(echo, { text: 'meanwhile' });
    assert.ok(performance.now() - start < 3_000, 'the request does not wait for Redis');
    assert.ok((await rig.row(meanwhile)).unblocked_at);
    await cancelTask(rig.services, held);
    assert.equal((await rig.ended(held, 2_000)).state, 'canceled', 'cancel needs no Redis');
    await redis.start();

    assert.equal((await rig.ended(meanwhile, 30_000)).state, 'completed');
    assert.equal((await rig.ended(blocked, 30_000)).state, 'completed');
    assert.equal((await rig.ended(await rig.dispatch(echo, { text: 'after' }))).state, 'completed');
  });

  test('the jobs that it forgot are sent again', async (t) => {
    const atEnd = closing(t);
    const redis = await startRedis();
    atEnd(() => redis.remove());
    const database = await createDatabase();
    atEnd(() => database.drop());
    const { rig, work } = await openIdleRig(atEnd, rigUrls(database.url, { redis: redis.url }));
    const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => rig.dispatch(echo, { text: `${i}` })));
    await redis.stop();
    await redis.start();
    await work();
    for (const id of ids) assert.equal((await rig.ended(id, 30_000)).state, 'completed');
  });
});
