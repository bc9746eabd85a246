import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { openQueue } from '../../src/queue/bullmq.ts';
import { freePort } from '../support/free-port.ts';
import { missing } from '../support/missing.ts';
import { queueConformance } from './conformance.ts';
import { eventually } from './eventually.ts';
import { gate } from './gate.ts';
import { type RedisServer, startRedis } from './redis-server.ts';

const log = pino({ level: 'fatal' });
const UNUSED_DATABASE = 'postgresql://nobody@127.0.0.1:1/none';

describe('on Redis', { skip: missing('redis-server') }, () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis?.remove());
  const open = () => openQueue({ redis: redis.url, database: UNUSED_DATABASE }, log);

  queueConformance(() => ({ open, connected: true }));

  test('comes back by itself after Redis was stopped and started', async () => {
    const queue = await open();
    const heard: string[] = [];
    const stop = await queue.consume(async (id) => void heard.push(id), 2);
    const send = async () => {
      const id = randomUUID();
      await queue.enqueue([{ id, fence: 0 }]);
      return id;
    };
    const before = await send();
    await eventually('the wake-up before', () => heard.includes(before));

    await redis.stop();
    await eventually('away', async () => (await queue.connected()) === false);
    const start = performance.now();
    await assert.rejects(send());
    assert.ok(performance.now() - start < 3_000, 'a request waits for Redis no longer than 3 s');

    await redis.start();
    await eventually('there', () => queue.connected());
    const afterwards = await eventually('a wake-up is taken', () => send().catch(() => undefined));
    await eventually('and heard', () => heard.includes(afterwards));
    await stop();
    await queue.close();
  });

  test('can be stopped while Redis is away', async () => {
    const queue = await open();
    let ended = false;
    const working = gate();
    const stop = await queue.consume(async () => {
      working.open();
      await eventually('Redis is away', async () => !(await queue.connected()));
      ended = true;
    }, 1);
    await queue.enqueue([{ id: randomUUID(), fence: 0 }]);
    await working.passed;
    await redis.stop();
    await stop();
    assert.equal(ended, true);
    await queue.close();
    await redis.start();
  });
});

test('a Redis that was never there delays no start', async () => {
  const queue = await openQueue({ redis: `redis://127.0.0.1:${await freePort()}`, database: UNUSED_DATABASE }, log);
  const stop = await queue.consume(async () => undefined, 1);
  assert.equal(await queue.connected(), false);
  await assert.rejects(queue.enqueue([{ id: randomUUID(), fence: 0 }]), /Redis at 127\.0\.0\.1:\d+ does not answer/);
  await stop();
  await queue.close();
});
