import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseAwayError } from '../../db/database-away.ts';

// Deadlock and serialization.
const CONFLICTS = /^(40P01|40001)$/;

/**
 * Whether a statement failed because PostgreSQL was away, starting, full or in a deadlock: the same may succeed later. Also when
 * an error that says where it happened was put around it.
 */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return error instanceof DatabaseAwayError || CONFLICTS.test(code) || isDatabaseAway(error.cause);
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Runs `work` until the database is there for it, with growing pauses; other errors, and the last one when `signal` is
 * aborted, are thrown. `onPause` hears of each failure.
 */
export async function untilDatabaseIsBack<T>(
  work: () => Promise<T>,
  options: { readonly signal?: AbortSignal; readonly onPause: (error: unknown, milliseconds: number) => void },
): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseAway(error) || options.signal?.aborted) throw error;
      options.onPause(error, pause);
      await delay(pause, undefined, options.signal ? { signal: options.signal } : {}).catch(() => {
        throw error;
      });
    }
  }
}
