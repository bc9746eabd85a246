/** Runs what has the same key one after the other, in the order in which it came. */
export type Turns = <T>(key: string, run: () => Promise<T>) => Promise<T>;

/** Made once per kind of work. An error goes to the one whose run it was; the next has its turn all the same. */
export function turns(): Turns {
  const last = new Map<string, Promise<unknown>>();
  return async (key, run) => {
    const before = last.get(key);
    const own = before ? before.then(run, run) : run();
    last.set(key, own);
    try {
      return await own;
    } finally {
      if (last.get(key) === own) last.delete(key);
    }
  };
}
