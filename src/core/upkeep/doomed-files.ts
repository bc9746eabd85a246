import { BACKUP_LOCK } from '../../db/advisory-locks.ts';
import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { forEachConcurrent } from '../../lib/concurrent-map.ts';
import type { Doomed } from './orphan-artifacts.ts';

/** Files of one transaction. Who stores the same bytes meanwhile waits for it. */
const BATCH = 500;
const FILES_AT_ONCE = 16;

/** As ISO text; nothing was moved before it. */
const BEFORE_EVERYTHING = '0001-01-01T00:00:00.000000Z';

interface DoomedFile {
  readonly sha256: string;
  readonly file: string;
  readonly size: number;
  /** Moved out of its place by an earlier batch. */
  readonly aside_at: string | null;
}

type FileServices = Pick<Services, 'db' | 'storage'>;

/**
 * Removes doomed files, those that an earlier run has left included (docs/adr/015). First each is moved to where nobody finds it. Then it
 * goes, unless a task is at work that began before that, which may have met the file in its place and relied on it, or a backup, which may
 * have met its row. Answers what has gone and what is left for a later run.
 */
export async function removeDoomed(
  services: FileServices,
  domainId: string,
  taskId: string,
  signal: AbortSignal,
): Promise<{ readonly gone: Doomed; readonly left: Doomed }> {
  let [count, bytes] = [0, 0];
  for (let after: string | undefined = ''; after !== undefined; ) {
    signal.throwIfAborted();
    const batch: Batch = await services.db.transaction((tx) =>
      removeBatch(tx, services.storage, domainId, taskId, after as string),
    );
    count += batch.gone.length;
    bytes += batch.gone.reduce((sum, { size }) => sum + size, 0);
    after = batch.last;
  }
  const [left] = await services.db.query<Doomed>(sql`
    select count(*) as count, coalesce(sum(size), 0)::bigint as bytes from doomed_file where domain_id = ${domainId}::uuid`);
  return { gone: { count, bytes }, left: left as Doomed };
}

interface Batch {
  readonly gone: readonly DoomedFile[];
  /** Where the next one begins; undefined where there is none. */
  readonly last: string | undefined;
}

/** Holds the rows while it moves the files: whoever takes one back comes before or after. */
async function removeBatch(
  tx: Queryable,
  storage: Services['storage'],
  domainId: string,
  taskId: string,
  after: string,
): Promise<Batch> {
  const files = await tx.query<DoomedFile>(sql`
    select sha256, file, size, aside_at from doomed_file where domain_id = ${domainId}::uuid and sha256 > ${after}
    order by sha256 limit ${BATCH} for update skip locked`);
  await forEachConcurrent(
    files.filter(({ aside_at }) => aside_at === null),
    ({ file }) => storage.setAside(file, 'doomed'),
    { limit: FILES_AT_ONCE },
  );
  // Only now that all have been moved: a task that this does not see begins later, and finds nothing in their places.
  const [oldest] = await tx.query<{ since: string | null }>(sql`
    select min(pulp_created) as since from task where state in ('running', 'canceling') and id <> ${taskId}::uuid`);
  // A backup that begins later does not see the rows of these files.
  const [backup] = await tx.query<{ running: boolean }>(sql`
    select exists (select from pg_locks where locktype = 'advisory' and objid = ${BACKUP_LOCK}::oid and classid = 0::oid
      and database = (select oid from pg_database where datname = current_database())) as running`);
  const since = backup?.running ? BEFORE_EVERYTHING : (oldest?.since ?? null);
  const [gone, kept] = [files.filter((file) => isNeedless(file, since)), files.filter((file) => !isNeedless(file, since))];
  await forEachConcurrent(gone, ({ file }) => storage.dropAside(file, 'doomed'), { limit: FILES_AT_ONCE });
  await tx.execute(sql`
    delete from doomed_file where domain_id = ${domainId}::uuid and sha256 = any(${gone.map(({ sha256 }) => sha256)}::text[])`);
  await tx.execute(sql`
    update doomed_file set aside_at = clock_timestamp()
    where domain_id = ${domainId}::uuid and aside_at is null and sha256 = any(${kept.map(({ sha256 }) => sha256)}::text[])`);
  return { gone, last: files.at(-1)?.sha256 };
}

/** Whether no task is at work that began before the file was moved; `since` is when the oldest was asked for. Both as ISO text. */
const isNeedless = ({ aside_at }: DoomedFile, since: string | null): boolean =>
  since === null || (aside_at !== null && aside_at < since);
