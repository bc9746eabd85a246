import { setTimeout as delay } from 'node:timers/promises';

/**
 * Answers many single questions by few queries: what is asked during one turn of the event loop, while a query runs, or too
 * soon after it began, goes into the next one.
 */
export type BatchedLookup<Key, Value> = (key: Key) => Promise<Value | undefined>;

const MAX_KEYS = 5_000;
/** From one query to the next: a stream of questions costs at most a hundred queries a second, a single question does not wait. */
const INTERVAL_MS = 10;

interface Question<Key, Value> {
  readonly key: Key;
  readonly resolve: (value: Value | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** `find` answers the values of those keys that have one. Its error goes to all who wait for that query. */
export function batchedLookup<Key, Value>(
  find: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>,
): BatchedLookup<Key, Value> {
  let waiting: Question<Key, Value>[] = [];
  let running = false;
  let begun = Number.NEGATIVE_INFINITY;

  const answer = async (batch: readonly Question<Key, Value>[]): Promise<void> => {
    try {
      const found = await find([...new Set(batch.map(({ key }) => key))]);
      for (const { key, resolve } of batch) resolve(found.get(key));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };
  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const wait = begun + INTERVAL_MS - performance.now();
      if (wait > 0) await delay(wait);
      begun = performance.now();
      const batch = waiting.slice(0, MAX_KEYS);
      waiting = waiting.slice(MAX_KEYS);
      await answer(batch);
    }
    running = false;
  };

  return (key) =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject });
      if (running) return;
      running = true;
      setImmediate(run);
    });
}
