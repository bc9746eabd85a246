import assert from 'node:assert/strict';
import test from 'node:test';
import { limitConcurrency } from '../../src/lib/limit-concurrency.ts';

const turn = () => new Promise(setImmediate);

test('runs no more than its slots at once, in the order of the calls', async () => {
  const limited = limitConcurrency(3);
  const started: number[] = [];
  let running = 0;
  let most = 0;
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      limited(async () => {
        started.push(index);
        running += 1;
        most = Math.max(most, running);
        await turn();
        running -= 1;
        return index * 2;
      }),
    ),
  );
  assert.equal(most, 3);
  assert.deepEqual(
    started,
    Array.from({ length: 20 }, (_, index) => index),
  );
  assert.equal(results[19], 38);
});

test('an error gives the slot back', async () => {
  const limited = limitConcurrency(1);
  await assert.rejects(
    limited(() => Promise.reject(new Error('first'))),
    /first/,
  );
  await assert.rejects(
    limited(() => {
      throw new Error('at once');
    }),
    /at once/,
  );
  assert.equal(await limited(async () => 'second'), 'second');
});

test('whoever waits leaves when aborted, and takes no slot along', async () => {
  const limited = limitConcurrency(1);
  const { signal, abort } = aborter();
  let finish = (): void => assert.fail('the first run has not begun');
  const first = limited(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  const second = limited(async () => assert.fail('was aborted before its turn'), signal);
  const third = limited(async () => 'third');
  abort(new Error('canceled'));
  await assert.rejects(second, /canceled/);
  finish();
  await first;
  assert.equal(await third, 'third');
});

test('an aborted caller is refused although a slot is free', async () => {
  const { signal, abort } = aborter();
  abort(new Error('canceled'));
  await assert.rejects(
    limitConcurrency(1)(async () => assert.fail('ran'), signal),
    /canceled/,
  );
});

function aborter(): { signal: AbortSignal; abort: (reason: Error) => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}
