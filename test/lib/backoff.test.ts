import assert from 'node:assert/strict';
import test from 'node:test';
import { backoffMs, delay } from '../../src/lib/backoff.ts';

test('doubles from retry to retry up to the maximum, with the upper half left to chance', () => {
  const options = { baseMs: 100, maximumMs: 1000 };
  const bounds = [1, 2, 3, 4, 5, 60, 2000].map((retry) => [
    backoffMs(retry, { ...options, random: () => 0 }),
    backoffMs(retry, { ...options, random: () => 1 }),
  ]);
  assert.deepEqual(bounds, [
    [50, 100],
    [100, 200],
    [200, 400],
    [400, 800],
    [500, 1000],
    [500, 1000],
    [500, 1000],
  ]);
});

test('a delay ends after its time', async () => {
  const started = performance.now();
  await delay(30);
  // Timers of Node may come up to a millisecond early.
  assert.ok(performance.now() - started >= 29);
});

test('a delay ends at once when it is aborted, with the reason', async () => {
  const controller = new AbortController();
  const waiting = delay(3_600_000, controller.signal);
  controller.abort(new Error('canceled'));
  await assert.rejects(waiting, /canceled/);
  await assert.rejects(delay(3_600_000, controller.signal), /canceled/);
});
