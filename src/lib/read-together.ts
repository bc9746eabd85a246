/** Reads what belongs to a key; undefined where nothing does. */
export type Reader<Key, Value> = (key: Key) => Promise<Value | undefined>;

/**
 * A reader that asks once for all keys that one turn of the event loop wants. Nothing is kept: what is answered was read after it was asked
 * for. An error goes to all who wanted something in that turn.
 */
export function readTogether<Key, Value>(read: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>): Reader<Key, Value> {
  let next: { readonly keys: Set<Key>; readonly answer: Promise<ReadonlyMap<Key, Value>> } | undefined;
  const begin = () => {
    const keys = new Set<Key>();
    const answer = new Promise<ReadonlyMap<Key, Value>>((resolve, reject) => {
      setImmediate(() => {
        next = undefined;
        read([...keys]).then(resolve, reject);
      });
    });
    return { keys, answer };
  };
  return async (key) => {
    next ??= begin();
    next.keys.add(key);
    return (await next.answer).get(key);
  };
}
