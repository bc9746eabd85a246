import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import type { Logger } from 'pino';
import { type Claim, Claims, type ForeignClaim } from './claims.ts';
import { namedDatabaseError } from './database-away.ts';
import { PrismaClient } from './generated/client.ts';
import { Listener } from './listener.ts';
import type { Sql } from './sql.ts';
import { statementName } from './statement-name.ts';

export interface QueryOptions {
  /** Plan it for just these values: where the best way depends on whose they are. Default: the database may keep a plan for all values. */
  readonly planAnew?: boolean;
}

/** Something that runs SQL: the pool, or the transaction in hand. */
export interface Queryable {
  /** The rows, with timestamps as ISO text in microseconds (`2026-11-20T23:08:53.638279Z`) and bigints as numbers. */
  query<Row>(statement: Sql, options?: QueryOptions): Promise<Row[]>;
  /** The number of rows that the statement touched. */
  execute(statement: Sql): Promise<number>;
}

/** The database: Prisma for ordinary rows, `query` and `transaction` for lists, bulk and set-based work. */
export interface Database extends Queryable {
  readonly prisma: PrismaClient;
  /** Runs `work` in one transaction; whatever it throws rolls all of it back. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /**
   * Calls `handler` for each NOTIFY on the channel, reconnecting when the server was away. Answers how to stop. What is sent
   * while the connection is away is lost: `onGap` says that it went, and again that it is back.
   */
  listen(channel: string, handler: (payload: string) => void, onGap?: () => void): Promise<() => Promise<void>>;
  /**
   * Whether what was notified has been heard here. What is kept in memory until a notification comes may be answered only while
   * this is so.
   */
  upToDate(): boolean;
  /**
   * Resolves when no process answers any more from before what was committed until now: all have heard the notifications, or know
   * that they may have missed some. To be awaited after the commit and before anybody is told of the change. Takes as long as the
   * slowest process takes to answer, two seconds at most; never rejects.
   */
  seenEverywhere(): Promise<void>;
  /**
   * Claims `key` for this process, as what it alone does for all that share the database, where nobody else has claimed it. A foreign claim
   * counts as over when `signal` aborts. Saves work; whatever has to be right needs a lock of a transaction.
   */
  claim(key: string, signal: AbortSignal): Promise<Claim | ForeignClaim>;
  close(): Promise<void>;
}

const TIMESTAMPTZ = 1184;
const INT8 = 20;

/** `2026-11-20 23:08:53.6+00` (PostgreSQL, UTC session) -> `2026-11-20T23:08:53.600000Z` */
const isoTimestamp = (text: string): string => {
  const [seconds = '', fraction = ''] = text.slice(0, -3).split('.');
  return `${seconds.replace(' ', 'T')}.${fraction.padEnd(6, '0')}Z`;
};

const safeInteger = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} does not fit a number`);
  return value;
};

const parsers = new Map<number, (text: string) => unknown>([
  [TIMESTAMPTZ, isoTimestamp],
  [INT8, safeInteger],
]);
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && parsers.get(oid)) || pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** What `step` answers; where PostgreSQL is away, its error says so. */
async function named<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw namedDatabaseError(error);
  }
}

const runner = (target: pg.Pool | pg.PoolClient): Queryable => {
  const run = (statement: Sql, { planAnew = false }: QueryOptions = {}) => {
    const text = statement.text;
    const name = planAnew ? undefined : statementName(text);
    return named(() => target.query({ text, values: statement.values, types, ...(name ? { name } : {}) }));
  };
  return {
    query: async <Row>(statement: Sql, options?: QueryOptions) => (await run(statement, options)).rows as Row[],
    execute: async (statement) => (await run(statement)).rowCount ?? 0,
  };
};

async function inTransaction<T>(pool: pg.Pool, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const client = await named(() => pool.connect());
  let broken = false;
  // A connection that dies in mid-transaction must not take the process with it; the statement in hand reports it.
  const onError = () => {
    broken = true;
  };
  client.on('error', onError);
  try {
    // It goes with the first statement, and fails where that does: as the connection is lost.
    const begun = named(() => client.query('begin'));
    begun.catch(() => undefined);
    const result = await work(runner(client));
    await begun;
    await named(() => client.query('commit'));
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {
      broken = true;
    });
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

export interface DatabaseOptions {
  /** Bounds the connections of this process, beside the one on which it listens. */
  readonly max: number;
  readonly log: Logger;
  /** Whether `seenEverywhere` of other processes waits for this one: it should where requests are answered. Default: yes. */
  readonly awaited?: boolean;
}

/**
 * Connects lazily to `url`. Prisma shares the pool.
 * A server that is away makes single statements fail, with DatabaseAwayError; the next one connects again.
 */
export function openDatabase(url: string, options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    options: '-c timezone=UTC',
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    // What is sent before the answers to what was sent earlier have come is not held back.
    pipeline: true,
  });
  pool.on('error', (error) => options.log.warn({ err: error }, 'idle database connection lost'));
  const listener = new Listener(url, { log: options.log, awaited: options.awaited ?? true });
  const claims = new Claims(listener, options.log);
  // Made when it is first asked for: 10 MB that most workers never need.
  let prisma: PrismaClient | undefined;
  return {
    ...runner(pool),
    get prisma() {
      prisma ??= new PrismaClient({ adapter: new PrismaPg(pool) });
      return prisma;
    },
    transaction: (work) => inTransaction(pool, work),
    listen: (channel, handler, onGap = () => undefined) => listener.listen(channel, handler, onGap),
    upToDate: () => listener.upToDate(),
    seenEverywhere: () => listener.seenEverywhere(),
    claim: (key, signal) => claims.claim(key, signal),
    close: async () => {
      await listener.close();
      await prisma?.$disconnect();
      await pool.end();
    },
  };
}
