export interface BackoffOptions {
  /** The wait before the first retry, in milliseconds, before jitter. */
  readonly baseMs: number;
  /** No wait is longer, in milliseconds. */
  readonly maximumMs: number;
  /** In [0, 1). */
  readonly random?: () => number;
}

/**
 * Milliseconds to wait before retry number `retry` (1, 2, …): doubled each time, then between half of that and all of it, so
 * that callers who failed together do not come back together.
 */
export function backoffMs(retry: number, { baseMs, maximumMs, random = Math.random }: BackoffOptions): number {
  const ceiling = Math.min(baseMs * 2 ** (retry - 1), maximumMs);
  return ceiling / 2 + (ceiling / 2) * random();
}

/** Resolves after `ms` milliseconds; rejects with the signal's reason when it is aborted first. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const giveUp = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', giveUp);
      resolve();
    }, ms);
    signal?.addEventListener('abort', giveUp, { once: true });
  });
}
