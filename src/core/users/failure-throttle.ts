import { LRUCache } from 'lru-cache';
import { ApiError } from '../../kit/errors.ts';
import { atMost } from '../../lib/cache-limit.ts';

const BURST = 10;
const REFILL_MS = 6_000;
const MAX_BUCKETS = 20_000;

interface Bucket {
  /** Failures still free as of `at`: ten when full, one more every six seconds. */
  tokens: number;
  at: number;
  /** Attempts at work, each of which holds a token until its outcome is known. */
  pending: number;
  waiting: (() => void)[];
}

/** 429 with `Retry-After: <seconds>`: too many wrong logins from this address or for this user. */
export class ThrottledError extends ApiError {
  override readonly name = 'ThrottledError';
  readonly status = 429;
  readonly seconds: number;
  readonly body: { readonly detail: string };
  override readonly headers: { readonly 'retry-after': string };
  constructor(seconds: number) {
    super(`Request was throttled. Expected available in ${seconds} second${seconds === 1 ? '' : 's'}.`);
    this.seconds = seconds;
    this.body = { detail: this.message };
    this.headers = { 'retry-after': String(seconds) };
  }
}

/**
 * Slows down guessing: ten failures a minute for each key (an address, a user name). A token is taken before the attempt
 * and given back when it succeeds, so guesses made at once are counted too; honest attempts beyond ten at once wait for
 * those before them. Nothing is locked for longer than it takes to refill. Counted in this process only.
 */
export class FailureThrottle {
  readonly #clock: () => Date;
  readonly #buckets = new LRUCache<string, Bucket>(atMost(MAX_BUCKETS));

  constructor(clock: () => Date) {
    this.#clock = clock;
  }

  /** Runs `attempt`, whose answer says whether it succeeded, when every key has a failure left. Throws ThrottledError. */
  async guard(keys: readonly string[], attempt: () => Promise<boolean>): Promise<boolean> {
    const buckets = keys.map((key) => this.#bucket(key));
    await this.#reserve(buckets);
    let failed = false;
    try {
      const succeeded = await attempt();
      failed = !succeeded;
      return succeeded;
    } finally {
      for (const bucket of buckets) {
        bucket.pending -= 1;
        if (!failed) bucket.tokens = Math.min(BURST, bucket.tokens + 1);
        for (const wake of bucket.waiting.splice(0)) wake();
      }
    }
  }

  async #reserve(buckets: readonly Bucket[]): Promise<void> {
    for (;;) {
      for (const bucket of buckets) this.#refill(bucket);
      const empty = buckets.filter((bucket) => bucket.tokens < 1);
      const spent = empty.find((bucket) => bucket.pending === 0);
      if (spent) throw new ThrottledError(Math.ceil(((1 - spent.tokens) * REFILL_MS) / 1000));
      const [busy] = empty;
      if (!busy) break;
      await new Promise<void>((wake) => busy.waiting.push(wake));
    }
    for (const bucket of buckets) {
      bucket.tokens -= 1;
      bucket.pending += 1;
    }
  }

  #bucket(key: string): Bucket {
    const known = this.#buckets.get(key);
    if (known) return known;
    const bucket: Bucket = { tokens: BURST, at: this.#clock().getTime(), pending: 0, waiting: [] };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #refill(bucket: Bucket): void {
    const now = this.#clock().getTime();
    bucket.tokens = Math.min(BURST, bucket.tokens + Math.max(0, now - bucket.at) / REFILL_MS);
    bucket.at = now;
  }
}
