import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';

/** Work that is done again and again in this process. */
export interface Repeated {
  /** No further turn begins; resolves when the one at work has ended. */
  stop(): Promise<void>;
}

/**
 * Does `work` about every `period_ms`, not at once and not in step with other processes, until stopped. Of failures in a row the
 * first is logged, as `failed`.
 */
export function startRepeating(
  log: Logger,
  { period_ms, failed }: { readonly period_ms: number; readonly failed: string },
  work: () => Promise<void>,
): Repeated {
  const stopped = new AbortController();
  let failing = false;
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await delay(period_ms * (0.5 + Math.random()), undefined, { signal: stopped.signal }).catch(() => undefined);
      if (stopped.signal.aborted) return;
      try {
        await work();
        failing = false;
      } catch (error) {
        if (!failing) log.warn({ err: error }, failed);
        failing = true;
      }
    }
  };
  const done = loop();
  return {
    async stop() {
      stopped.abort();
      await done;
    },
  };
}
