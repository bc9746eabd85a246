import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { inGroups } from '../../src/lib/in-groups.ts';

/** Work that ends when it is told to. */
function workplace(max: number) {
  const groups: { readonly items: readonly string[]; readonly end: () => void; readonly fail: (error: unknown) => void }[] = [];
  const add = inGroups<string>((items) => new Promise((end, fail) => groups.push({ items, end: () => end(), fail })), max);
  return { groups, add };
}

test('what comes together, or while a group is at work, is one group', async () => {
  const { groups, add } = workplace(10);
  const first = [add('a'), add('b')];
  await turn();
  const second = [add('c'), add('d'), add('e')];
  await turn();
  assert.deepEqual(
    groups.map(({ items }) => items),
    [['a', 'b']],
  );
  groups[0]?.end();
  await Promise.all(first);
  await turn();
  assert.deepEqual(
    groups.map(({ items }) => items),
    [
      ['a', 'b'],
      ['c', 'd', 'e'],
    ],
  );
  groups[1]?.end();
  await Promise.all(second);
});

test('a group has no more items than it may', async () => {
  const { groups, add } = workplace(2);
  const all = ['a', 'b', 'c', 'd', 'e'].map(add);
  for (const [index, items] of [['a', 'b'], ['c', 'd'], ['e']].entries()) {
    await turn();
    assert.deepEqual(groups[index]?.items, items);
    groups[index]?.end();
  }
  await Promise.all(all);
});

test('an error is that of its group alone', async () => {
  const { groups, add } = workplace(1);
  const [wrong, right] = [add('wrong'), add('right')];
  const failing = assert.rejects(wrong, /full/);
  await turn();
  groups[0]?.fail(new Error('full'));
  await failing;
  await turn();
  groups[1]?.end();
  await right;
  const later = add('later');
  await turn();
  groups[2]?.end();
  await later;
});
