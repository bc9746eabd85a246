import type { Queryable } from '../db/database.ts';
import { sql } from '../db/sql.ts';
import { type Limiter, limitConcurrency } from '../lib/limit-concurrency.ts';
import { ApiError } from './errors.ts';
import type { Services } from './services.ts';

/** For lists with a pattern made by the user: what a regular expression may cost (security rule 14), and how long it may wait. */
const PATTERN_TIMEOUT_MS = 5000;

/** 429: others with slow filters are before this one. */
class SlowFiltersError extends ApiError {
  override readonly name = 'SlowFiltersError';
  readonly status = 429;
  readonly body = { detail: 'Too many lists with patterns or expressions are asked for at once. Please try again.' };
  override readonly headers = { 'retry-after': String(PATTERN_TIMEOUT_MS / 1000) };
}

const limiters = new WeakMap<object, Limiter>();

/**
 * Runs queries with patterns made by users, with a limit on their time. A third of the connections at most is theirs, so that nobody
 * else waits for them. Throws SlowFiltersError when none of these was free in time, and PostgreSQL's 57014.
 */
export async function runSlowQueries<T>(
  { db, config }: Pick<Services, 'db' | 'config'>,
  run: (target: Pick<Queryable, 'query'>) => Promise<T>,
): Promise<T> {
  const limiter = limiters.get(db) ?? limitConcurrency(Math.max(1, Math.floor(config.DECKLE_DATABASE_CONNECTIONS / 3)));
  limiters.set(db, limiter);
  const patience = AbortSignal.timeout(PATTERN_TIMEOUT_MS);
  const work = () =>
    db.transaction(async (tx) => {
      await tx.query(sql`select set_config('statement_timeout', ${String(PATTERN_TIMEOUT_MS)}, true)`);
      return run(tx);
    });
  try {
    return await limiter(work, patience);
  } catch (error) {
    throw error === patience.reason ? new SlowFiltersError('no connection was free for a slow filter') : error;
  }
}
