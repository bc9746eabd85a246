import { type Limiter, limitConcurrency } from './limit-concurrency.ts';

/** Runs what has the same key a few at a time, in the order in which it came. */
export type Turns = <T>(key: string, run: () => Promise<T>) => Promise<T>;

interface Queue {
  readonly limiter: Limiter;
  /** Runs, and those that wait. */
  count: number;
}

/** Made once per kind of work; `limit` runs at once for each key. An error goes to the one whose run it was. */
export function turns(limit: number): Turns {
  const queues = new Map<string, Queue>();
  return async (key, run) => {
    const queue = queues.get(key) ?? { limiter: limitConcurrency(limit), count: 0 };
    queues.set(key, queue);
    queue.count += 1;
    try {
      return await queue.limiter(run);
    } finally {
      queue.count -= 1;
      if (queue.count === 0) queues.delete(key);
    }
  };
}
