import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { withDeadline } from '../../src/lib/deadline.ts';
import type { Queue } from '../../src/queue/queue.ts';
import { eventually } from './eventually.ts';
import { gate } from './gate.ts';

/** What a test needs of the server behind a queue. */
export interface QueueRig {
  open(): Promise<Queue>;
  /** What `connected` answers while the server is there. */
  readonly connected: boolean | undefined;
}

const wakeUp = (fence = 0) => ({ id: randomUUID(), fence });

/** What every implementation of Queue does, whatever is behind it. `rig` is called when the tests run. */
export function queueConformance(rig: () => QueueRig): void {
  describe('a queue', () => {
    test('hands each of many wake-ups to one consumer, once', async () => {
      const [producer, first, second] = await Promise.all([rig().open(), rig().open(), rig().open()]);
      const heard: string[] = [];
      const handler = async (id: string) => void heard.push(id);
      const stops = await Promise.all([first.consume(handler, 4), second.consume(handler, 4)]);
      const sent = Array.from({ length: 200 }, () => wakeUp());
      for (let start = 0; start < sent.length; start += 20) await producer.enqueue(sent.slice(start, start + 20));
      await eventually('all wake-ups are heard', () => heard.length >= sent.length);
      await Promise.all(stops.map((stop) => stop()));
      assert.deepEqual(heard.toSorted(), sent.map(({ id }) => id).toSorted());
      await Promise.all([producer, first, second].map((queue) => queue.close()));
    });

    test('runs no more handlers at once than asked for', async () => {
      const queue = await rig().open();
      let running = 0;
      let most = 0;
      let ended = 0;
      const stop = await queue.consume(async () => {
        running += 1;
        most = Math.max(most, running);
        await setImmediate();
        running -= 1;
        ended += 1;
      }, 3);
      await queue.enqueue(Array.from({ length: 60 }, () => wakeUp()));
      await eventually('all handlers have ended', () => ended === 60);
      await stop();
      assert.ok(most <= 3, `${most} ran at once`);
      await queue.close();
    });

    test('drops a second wake-up of the same claim while the first waits, not one of the next claim', async () => {
      const queue = await rig().open();
      const task = wakeUp();
      const last = wakeUp();
      await queue.enqueue([task]);
      await queue.enqueue([task, { ...task, fence: 1 }, last]);
      const heard: string[] = [];
      const stop = await queue.consume(async (id) => void heard.push(id), 1);
      await eventually('the last wake-up is heard', () => heard.includes(last.id));
      await stop();
      assert.deepEqual(heard, [task.id, task.id, last.id]);
      await queue.close();
    });

    test('hears the next claim of a task whose handler is still at work', async () => {
      const queue = await rig().open();
      const task = wakeUp();
      const heard: string[] = [];
      const held = gate();
      const stop = await queue.consume(async (id) => {
        heard.push(id);
        if (heard.length === 1) await held.passed;
      }, 2);
      await queue.enqueue([task]);
      await eventually('the first is at work', () => heard.length === 1);
      await queue.enqueue([{ ...task, fence: 1 }]);
      await eventually('the second is heard', () => heard.length === 2);
      held.open();
      await stop();
      await queue.close();
    });

    test('goes on after a handler that throws', async () => {
      const queue = await rig().open();
      const heard: string[] = [];
      const stop = await queue.consume(async (id) => {
        heard.push(id);
        if (heard.length === 1) throw new Error('the first one fails');
      }, 1);
      await queue.enqueue([wakeUp(), wakeUp()]);
      await eventually('both are heard', () => heard.length === 2);
      await stop();
      await queue.close();
    });

    test('stop waits for the handlers at work and takes nothing more', async () => {
      const queue = await rig().open();
      const heard: string[] = [];
      const held = gate();
      const stop = await queue.consume(async (id) => {
        heard.push(id);
        await held.passed;
      }, 1);
      const [first, second] = [wakeUp(), wakeUp()];
      await queue.enqueue([first]);
      await eventually('the first is at work', () => heard.length === 1);
      let stopped = false;
      const stopping = stop().then(() => {
        stopped = true;
      });
      await queue.enqueue([second]);
      assert.equal(stopped, false);
      held.open();
      await stopping;
      assert.deepEqual(heard, [first.id]);

      const later: string[] = [];
      const stopLater = await queue.consume(async (id) => void later.push(id), 1);
      await eventually('the next consumer gets the second', () => later.length === 1);
      assert.deepEqual(later, [second.id]);
      await stopLater();
      await queue.close();
    });

    test('can be stopped and closed at any moment of its start', async () => {
      for (let turns = 0; turns < 40; turns += 4) {
        const queue = await rig().open();
        const stop = await queue.consume(async () => undefined, 1);
        for (let turn = 0; turn < turns; turn += 1) await setImmediate();
        await stop();
        // Some time between the two, as in a worker that signs off.
        await (await rig().open()).close();
        await withDeadline(queue.close(), 2_000, `a queue that was stopped ${turns} turns after its start does not close`);
      }
    });

    test('says whether its server answers', async () => {
      const queue = await rig().open();
      const expected = rig().connected;
      await eventually('the answer', async () => (await queue.connected()) === expected);
      await queue.close();
    });
  });
}
