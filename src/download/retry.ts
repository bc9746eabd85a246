import { backoffMs, delay } from '../lib/backoff.ts';
import { UpstreamError, type UpstreamErrorKind } from './upstream-error.ts';

const LONGEST_WAIT_MS = 300_000;
const BACKOFF = { baseMs: 400, maximumMs: 30_000 };
/** A Retry-After of more seconds than this is taken for a Unix time, which Docker Hub sends (spec: oci, mirroring upstream). */
const UNIX_TIME_FROM = 1_000_000_000;

const TRANSIENT_STATUS = new Set([429, 500, 502, 503, 504]);
const TRANSIENT_KIND: ReadonlySet<UpstreamErrorKind> = new Set([
  'refused',
  'dns',
  'connection',
  'timeout',
  'truncated',
  'size',
  'checksum',
]);

/** Whether asking again may help. */
export const isTransient = (error: UpstreamError): boolean =>
  error.kind === 'status' ? TRANSIENT_STATUS.has(error.status ?? 0) : TRANSIENT_KIND.has(error.kind);

/** `Retry-After` in milliseconds from `now`: seconds, an HTTP date (RFC 9110 10.2.3), or a Unix time; undefined for anything else. */
export function retryAfterMs(text: string, now: number): number | undefined {
  const value = text.trim();
  if (/^\d+(?:\.\d+)?$/.test(value)) {
    const number = Number(value);
    return number > UNIX_TIME_FROM ? Math.max(0, number * 1000 - now) : number * 1000;
  }
  const date = /^[A-Z][a-z]{2,8}[, ]/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

export interface RetryOptions {
  readonly tries: number;
  /** Milliseconds that may pass before another try; an upstream that asks for more is not asked again. Default: five minutes. */
  readonly longestWaitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRetry: (error: UpstreamError, retry: number, waitMs: number) => void;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or has had its tries. Waits as long as Retry-After says, up to the
 * longest wait; without one, exponentially with jitter.
 */
export async function withRetries<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  for (let retry = 1; ; retry += 1) {
    try {
      return await attempt();
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof UpstreamError) || !isTransient(error) || retry >= options.tries) throw error;
      const asked = error.retryAfter === undefined ? undefined : retryAfterMs(error.retryAfter, Date.now());
      if (asked !== undefined && asked > (options.longestWaitMs ?? LONGEST_WAIT_MS)) throw error;
      const waitMs = asked ?? backoffMs(retry, BACKOFF);
      options.onRetry(error, retry, waitMs);
      await delay(waitMs, options.signal);
    }
  }
}

/** Spaces calls so that there are at most `perSecond`; resolves when it is the caller's turn. */
export function rateLimiter(perSecond: number | null): (signal?: AbortSignal) => Promise<void> | undefined {
  if (perSecond === null || perSecond <= 0) return () => undefined;
  const gapMs = 1000 / perSecond;
  let next = 0;
  return (signal) => {
    const now = Date.now();
    const turn = Math.max(now, next);
    next = turn + gapMs;
    return turn === now ? undefined : delay(turn - now, signal);
  };
}
