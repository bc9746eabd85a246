import assert from 'node:assert/strict';
import test from 'node:test';
import { turns } from '../../src/lib/turns.ts';

/** Ends when it is told to. */
function heldRun(events: string[], name: string) {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const run = async () => {
    events.push(`${name} begins`);
    await ended;
    events.push(`${name} ends`);
    return name;
  };
  return { run, end };
}

test('what has the same key runs in the order in which it came, other keys do not wait', async () => {
  const take = turns(1);
  const events: string[] = [];
  const [first, second, third, other] = ['first', 'second', 'third', 'other'].map((name) => heldRun(events, name));
  assert.ok(first && second && third && other);
  const runs = [take('a', first.run), take('a', second.run), take('a', third.run), take('b', other.run)];
  for (const held of [third, other, second, first]) held.end();
  assert.deepEqual(await Promise.all(runs), ['first', 'second', 'third', 'other']);
  const ofA = events.filter((event) => !event.startsWith('other'));
  assert.deepEqual(ofA, ['first begins', 'first ends', 'second begins', 'second ends', 'third begins', 'third ends']);
  assert.ok(events.indexOf('other begins') < events.indexOf('first ends'));
});

test('as many of one key run at once as are let', async () => {
  const take = turns(2);
  const events: string[] = [];
  const [first, second, third] = ['first', 'second', 'third'].map((name) => heldRun(events, name));
  assert.ok(first && second && third);
  const runs = [first, second, third].map(({ run }) => take('a', run));
  second.end();
  await runs[1];
  third.end();
  await runs[2];
  assert.deepEqual(events, ['first begins', 'second begins', 'second ends', 'third begins', 'third ends']);
  first.end();
  await runs[0];
});

test('an error is for the one whose run it was', async () => {
  const take = turns(1);
  const failing = take('a', () => Promise.reject(new Error('mine')));
  const next = take('a', async () => 'next');
  await assert.rejects(failing, /mine/);
  assert.equal(await next, 'next');
  assert.equal(await take('a', async () => 'later'), 'later');
});
