import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { type ClientTimes, UpstreamClients } from '../../../src/core/remotes/upstream-clients.ts';
import { eventually } from '../../queue/eventually.ts';

/** Clients that say what becomes of them. */
function clientsOf(times: ClientTimes) {
  const open: string[] = [];
  let count = 0;
  const clients = new UpstreamClients(
    async (remoteId) => {
      count += 1;
      const name = `${remoteId} ${count}`;
      open.push(name);
      return {
        name,
        close: async () => {
          open.splice(open.indexOf(name), 1);
        },
      };
    },
    pino({ level: 'silent' }),
    times,
  );
  /** Begins a stream; answers which client has, and how to end it. */
  const begin = async (remoteId: string): Promise<{ by: string; end: () => Promise<void> }> => {
    let by = '';
    const { body } = await clients.stream(remoteId, async ({ name }) => {
      by = name;
      return { size: 4, body: Readable.from([Buffer.from('body')]) };
    });
    const end = async () => {
      const closed = new Promise((done) => body.once('close', done));
      body.resume();
      await closed;
    };
    return { by, end };
  };
  const fail = (remoteId: string) =>
    clients.stream(remoteId, async () => {
      throw new Error('refused');
    });
  return { clients, open, begin, fail };
}

const LONG = 60_000;

test('fetches of one remote share a client, at once and one after the other', async () => {
  const { clients, open, begin } = clientsOf({ idle: LONG, age: LONG });
  const [one, two] = [await begin('a'), await begin('a')];
  assert.equal(one.by, two.by);
  await one.end();
  await two.end();
  const three = await begin('a');
  assert.equal(three.by, one.by);
  assert.notEqual((await begin('b')).by, one.by);
  assert.equal(open.length, 2);
  await clients.close();
  assert.deepEqual(open, []);
});

test('a client that nobody uses is closed in time', async () => {
  const { clients, open, begin } = clientsOf({ idle: 1, age: LONG });
  const held = await begin('a');
  await delay(20);
  assert.equal(open.length, 1);
  await held.end();
  await eventually('the client to be closed', () => open.length === 0);
  assert.notEqual((await begin('a')).by, held.by);
  await clients.close();
});

test('an old client serves those that have it, and no others', async () => {
  const { clients, open, begin } = clientsOf({ idle: LONG, age: 0 });
  const [one, two] = [await begin('a'), await begin('a')];
  assert.notEqual(one.by, two.by);
  assert.deepEqual(open, [one.by, two.by]);
  await one.end();
  await eventually('the old client to be closed', () => open.length === 1);
  await two.end();
  const three = await begin('a');
  await eventually('the idle one to be closed', () => open.length === 1);
  assert.deepEqual(open, [three.by]);
  await clients.close();
  assert.deepEqual(open, []);
});

test('after a failure a new client sees the remote as it is then', async () => {
  const { clients, open, begin, fail } = clientsOf({ idle: LONG, age: LONG });
  const running = await begin('a');
  await assert.rejects(fail('a'), /refused/);
  assert.deepEqual(open, [running.by]);
  const next = await begin('a');
  assert.notEqual(next.by, running.by);
  await running.end();
  await eventually('the one that failed to be closed', () => open.length === 1);
  await clients.close();
});
