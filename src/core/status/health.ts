import { checkMigrated, MigrationError } from '../../db/migrate.ts';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { withDeadline } from '../../lib/deadline.ts';
import { StorageFullError } from '../../storage/storage.ts';

/** How long a part may take to answer before it counts as away. */
const ANSWER_MS = 2_000;
/** Anyone may ask: a state is looked up at most once in so long. */
const KEPT_MS = 1_000;

/** The parts that a server needs, and what is wrong with each: undefined where nothing is. */
export interface Readiness {
  readonly database: string | undefined;
  readonly migrations: string | undefined;
  readonly queue: string | undefined;
  readonly storage: string | undefined;
}

/** What the database tells of tasks, workers and servers. */
export interface Backlog {
  /** Tasks that wait for a worker or for what others hold. */
  readonly waiting: number;
  readonly running: number;
  /** For how many seconds the first of the tasks that can run has waited for a worker; null where there is none. */
  readonly oldest_runnable_seconds: number | null;
  readonly missing_workers: number;
  readonly missing_servers: number;
}

/** How a server is: what it needs, what is to be done, and how fast the database answers. */
export interface Health {
  readonly readiness: Readiness;
  /** Milliseconds; null where the database does not answer. */
  readonly database_latency: number | null;
  readonly backlog: Backlog | null;
}

type Outcome<T> = { readonly value: T } | { readonly problem: string };

/** Runs a check within the time limit. `say` words its error for whoever asks, the error itself is logged. */
async function outcomeOf<T>(
  { log }: Services,
  part: keyof Readiness,
  check: () => Promise<T>,
  say: (error: unknown) => string = () => `does not answer within ${ANSWER_MS / 1000} s, or refuses`,
): Promise<Outcome<T>> {
  try {
    return { value: await withDeadline(check(), ANSWER_MS, `the ${part} did not answer within ${ANSWER_MS / 1000} s`) };
  } catch (error) {
    log.warn({ err: error, part }, 'a part that this server needs is not in order');
    return { problem: say(error) };
  }
}

const problemOf = (outcome: Outcome<unknown>): string | undefined => ('problem' in outcome ? outcome.problem : undefined);

async function latency({ db }: Services): Promise<number> {
  const began = performance.now();
  await db.query(sql`select 1`);
  return performance.now() - began;
}

async function backlogOf({ db, config }: Services): Promise<Backlog> {
  const [row] = await db.query<Backlog>(sql`
    with missing as (select app_type from worker where last_heartbeat < now() - make_interval(secs => ${config.PULP_WORKER_TTL}))
    select count(*) filter (where state = 'waiting')::int as waiting,
      count(*) filter (where state in ('running', 'canceling'))::int as running,
      extract(epoch from clock_timestamp() - min(unblocked_at) filter (where state = 'waiting'))::float8 as oldest_runnable_seconds,
      (select count(*)::int from missing where app_type = 'worker') as missing_workers,
      (select count(*)::int from missing where app_type = 'api') as missing_servers
    from task where state in ('waiting', 'running', 'canceling')`);
  if (!row) throw new Error('a statement that counts gave no row');
  return row;
}

/** Writes a file that is never committed. */
async function writeProbe({ storage }: Services): Promise<void> {
  const file = await storage.create();
  try {
    await file.write(Buffer.from('probe'));
  } finally {
    await file.abort();
  }
}

async function look(services: Services): Promise<Health> {
  const [database, migrations, queue, storage, backlog] = await Promise.all([
    outcomeOf(services, 'database', () => latency(services)),
    outcomeOf(
      services,
      'migrations',
      () => checkMigrated(services.db),
      (error) => (error instanceof MigrationError ? error.message : 'cannot be read: the database does not answer'),
    ),
    outcomeOf(services, 'queue', async () => {
      if ((await services.queue.connected()) === false) throw new Error('the task queue does not answer');
    }),
    outcomeOf(
      services,
      'storage',
      () => writeProbe(services),
      (error) => (error instanceof StorageFullError ? 'no space left' : 'cannot be written'),
    ),
    outcomeOf(services, 'database', () => backlogOf(services)),
  ]);
  return {
    readiness: {
      database: problemOf(database),
      migrations: problemOf(migrations),
      // Without Redis the queue is in the database.
      queue: problemOf(queue) ?? (services.config.REDIS_URL ? undefined : problemOf(database)),
      storage: problemOf(storage),
    },
    database_latency: 'value' in database ? database.value : null,
    backlog: 'value' in backlog ? backlog.value : null,
  };
}

const looks = new WeakMap<Services, { readonly at: number; readonly health: Promise<Health> }>();

/** How this process's services are, as of a second ago at most. */
export function healthOf(services: Services): Promise<Health> {
  const known = looks.get(services);
  if (known && performance.now() - known.at < KEPT_MS) return known.health;
  const health = look(services);
  looks.set(services, { at: performance.now(), health });
  return health;
}

/** Whether nothing is wrong. */
export const isReady = (readiness: Readiness): boolean => Object.values(readiness).every((problem) => problem === undefined);
