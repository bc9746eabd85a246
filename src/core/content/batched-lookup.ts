/** Answers many single questions by few queries: what is asked during one turn of the event loop, or while a query runs, goes into the next one. */
export type BatchedLookup<Key, Value> = (key: Key) => Promise<Value | undefined>;

const MAX_KEYS = 5_000;

/** `find` answers the values of those keys that have one. Its error goes to all who wait for that query. */
export function batchedLookup<Key, Value>(
  find: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>,
): BatchedLookup<Key, Value> {
  let waiting: { key: Key; resolve: (value: Value | undefined) => void; reject: (error: unknown) => void }[] = [];
  let running = false;

  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MAX_KEYS);
      waiting = waiting.slice(MAX_KEYS);
      try {
        const found = await find([...new Set(batch.map((each) => each.key))]);
        for (const { key, resolve } of batch) resolve(found.get(key));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
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
