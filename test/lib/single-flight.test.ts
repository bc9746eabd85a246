import assert from 'node:assert/strict';
import test from 'node:test';
import { singleFlight } from '../../src/lib/single-flight.ts';

test('callers of one key share one run, other keys have their own', async () => {
  const fly = singleFlight<string, string>();
  const runs: string[] = [];
  const run = (key: string) => async () => {
    runs.push(key);
    await new Promise(setImmediate);
    return key.toUpperCase();
  };
  assert.deepEqual(await Promise.all([fly('a', run('a')), fly('a', run('a')), fly('b', run('b')), fly('a', run('a'))]), [
    'A',
    'A',
    'B',
    'A',
  ]);
  assert.deepEqual(runs, ['a', 'b']);
});

test('a result is forgotten', async () => {
  const fly = singleFlight<string, number>();
  let count = 0;
  const run = async () => ++count;
  assert.equal(await fly('a', run), 1);
  assert.equal(await fly('a', run), 2);
});

test('a result is kept where that was asked for', async () => {
  const fly = singleFlight<string, number>({ keep: true });
  let count = 0;
  const run = async () => ++count;
  assert.equal(await fly('a', run), 1);
  assert.equal(await fly('a', run), 1);
});

for (const keep of [false, true]) {
  test(`an error goes to all who share the run and is forgotten (keep: ${keep})`, async () => {
    const fly = singleFlight<string, string>({ keep });
    const error = new Error('upstream is gone');
    const failing = () => fly('a', () => Promise.reject(error));
    const outcomes = await Promise.allSettled([failing(), failing()]);
    assert.deepEqual(outcomes, [
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
    assert.equal(await fly('a', async () => 'again'), 'again');
  });
}

test('a run that throws at once is an error like any other', async () => {
  const fly = singleFlight<string, string>({ keep: true });
  await assert.rejects(
    fly('a', () => {
      throw new Error('at once');
    }),
    /at once/,
  );
  assert.equal(await fly('a', async () => 'again'), 'again');
});
