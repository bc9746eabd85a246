import assert from 'node:assert/strict';
import test from 'node:test';
import { forEachConcurrent, mapConcurrent } from '../../src/lib/concurrent-map.ts';

const turn = () => new Promise(setImmediate);
const turns = async (count: number) => {
  for (let at = 0; at < count; at += 1) await turn();
};

/** Counts what was asked of it, and knows whether it was told to stop. */
function counted(length: number): { asked: number; returned: boolean; items: AsyncIterable<number> } {
  const state = {
    asked: 0,
    returned: false,
    items: {
      async *[Symbol.asyncIterator]() {
        try {
          while (state.asked < length) {
            await turn();
            yield state.asked++;
          }
        } finally {
          state.returned = true;
        }
      },
    },
  };
  return state;
}

async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const result of results) all.push(result);
  return all;
}

test('maps every item, with as many runs at once as allowed', async () => {
  let running = 0;
  let most = 0;
  const results = mapConcurrent(
    counted(50).items,
    async (item) => {
      running += 1;
      most = Math.max(most, running);
      await turns(5);
      running -= 1;
      return item * 2;
    },
    { limit: 4, ordered: true },
  );
  assert.deepEqual(
    await collect(results),
    Array.from({ length: 50 }, (_, item) => item * 2),
  );
  assert.equal(most, 4);
});

test('takes an array too, an empty one as well', async () => {
  assert.deepEqual(await collect(mapConcurrent([1, 2, 3], async (item) => item + 1, { limit: 2, ordered: true })), [2, 3, 4]);
  assert.deepEqual(await collect(mapConcurrent([], async () => assert.fail('no item'), { limit: 2 })), []);
});

test('keeps the order of the source, or gives what is ready first', async () => {
  const run = async (item: number) => {
    await turns(item);
    return item;
  };
  assert.deepEqual(await collect(mapConcurrent([20, 1, 8], run, { limit: 3, ordered: true })), [20, 1, 8]);
  assert.deepEqual(await collect(mapConcurrent([20, 1, 8], run, { limit: 3 })), [1, 8, 20]);
});

test('a result may be undefined', async () => {
  assert.deepEqual(await collect(mapConcurrent([1, 2], async () => undefined, { limit: 1 })), [undefined, undefined]);
});

test('asks the source for no more than fits while nobody reads', async () => {
  const source = counted(1000);
  const results = mapConcurrent(source.items, async (item) => item, { limit: 5 });
  assert.equal((await results.next()).value, 0);
  await turns(50);
  assert.ok(source.asked <= 6, `${source.asked} items were taken for 1 that was read`);
  await results.return();
  assert.equal(source.returned, true);
});

test('the error of a run ends everything: the other runs are told and waited for, the source is closed', async () => {
  const source = counted(1000);
  let ended = 0;
  const run = async (item: number, signal: AbortSignal) => {
    if (item === 3) throw new Error('bad item');
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    await turns(3);
    ended += 1;
  };
  await assert.rejects(collect(mapConcurrent(source.items, run, { limit: 4 })), /bad item/);
  assert.equal(ended, 3);
  assert.equal(source.returned, true);
});

test('the error of the source ends everything', async () => {
  async function* broken(): AsyncGenerator<number> {
    yield 1;
    throw new Error('page 2 is not there');
  }
  const results = mapConcurrent(broken(), async (item) => turns(3).then(() => item), { limit: 4 });
  await assert.rejects(collect(results), /page 2 is not there/);
});

test('an abort ends it with its reason', async () => {
  const controller = new AbortController();
  const source = counted(1000);
  const results = mapConcurrent(
    source.items,
    (item, signal) =>
      new Promise<number>((resolve) => {
        if (item === 0) resolve(item);
        else signal.addEventListener('abort', () => resolve(item));
      }),
    { limit: 4, signal: controller.signal },
  );
  assert.equal((await results.next()).value, 0);
  const next = results.next();
  controller.abort(new Error('canceled'));
  await assert.rejects(next, /canceled/);
  assert.equal(source.returned, true);
});

test('begins nothing when it was aborted before', async () => {
  const source = counted(1);
  const results = mapConcurrent(source.items, async (item) => item, {
    limit: 1,
    signal: AbortSignal.abort(new Error('canceled')),
  });
  await assert.rejects(collect(results), /canceled/);
  assert.equal(source.asked, 0);
});

test('works on each item where nobody wants results, and ends with the last run, or with the first error', async () => {
  const done: number[] = [];
  const run = async (item: number) => {
    await turns(10 - item);
    if (item === 9) throw new Error('bad item');
    done.push(item);
  };
  await forEachConcurrent([1, 2, 3], run, { limit: 2 });
  assert.deepEqual(done.toSorted(), [1, 2, 3]);
  await assert.rejects(forEachConcurrent([9], run, { limit: 2 }), /bad item/);
});
