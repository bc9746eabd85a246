import assert from 'node:assert/strict';
import test from 'node:test';
import { readTogether } from '../../src/lib/read-together.ts';

test('keys of one turn are read together, each once; what comes later is read anew', async () => {
  const asked: (readonly string[])[] = [];
  const read = readTogether<string, number>(async (keys) => {
    asked.push(keys);
    return new Map(keys.filter((key) => key !== 'absent').map((key) => [key, key.length + asked.length]));
  });
  assert.deepEqual(await Promise.all(['one', 'three', 'one', 'absent'].map(read)), [4, 6, 4, undefined]);
  assert.equal(await read('one'), 5);
  assert.deepEqual(asked, [['one', 'three', 'absent'], ['one']]);
});

test('what is asked for while a read is under way is not answered by it', async () => {
  let current = 'old';
  let begin = (): void => undefined;
  let go = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  const began = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const read = readTogether<string, string>(async (keys) => {
    const seen = current;
    begin();
    await held;
    return new Map(keys.map((key) => [key, seen]));
  });
  const before = read('key');
  await began;
  current = 'new';
  const after = read('key');
  go();
  assert.deepEqual(await Promise.all([before, after]), ['old', 'new']);
});

test('an error goes to all who asked in that turn, and is forgotten', async () => {
  let fails = true;
  const read = readTogether<string, string>(async (keys) => {
    if (fails) throw new Error('away');
    return new Map(keys.map((key) => [key, key]));
  });
  const results = await Promise.allSettled([read('a'), read('b')]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  fails = false;
  assert.equal(await read('a'), 'a');
});
