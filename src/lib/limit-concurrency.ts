/** Runs `run` when a slot is free, first come first served; rejects with the signal's reason if it is aborted while it waits. */
export type Limiter = <T>(run: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

/** A limiter of `limit` slots (1 or more). An abort does not end a run that has begun: that is for the run itself. */
export function limitConcurrency(limit: number): Limiter {
  let free = limit;
  const waiting = new Set<() => void>();

  const release = (): void => {
    const [next] = waiting;
    if (next) {
      waiting.delete(next);
      next();
    } else free += 1;
  };
  const acquire = (signal?: AbortSignal): Promise<void> | undefined => {
    signal?.throwIfAborted();
    if (free > 0) {
      free -= 1;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal?.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = (): void => {
        waiting.delete(start);
        reject(signal?.reason);
      };
      waiting.add(start);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  };

  return async (run, signal) => {
    await acquire(signal);
    try {
      return await run();
    } finally {
      release();
    }
  };
}
