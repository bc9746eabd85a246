import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { mapConcurrent } from '../../lib/concurrent-map.ts';
import type { Doomed } from './orphan-artifacts.ts';

/** Files of one transaction. Who stores the same bytes meanwhile waits for it. */
const BATCH = 250;
const FILES_AT_ONCE = 8;

interface DoomedFile {
  readonly sha256: string;
  readonly file: string;
  readonly size: number;
}

type FileServices = Pick<Services, 'db' | 'storage'>;

/**
 * Removes doomed files, those that an earlier run has left included (docs/adr/015). First each is moved to where nobody finds it. Then it
 * goes, unless a task is at work that began before that: it may have met the file in its place, and relied on it. Answers what has gone and
 * what is left for a later run.
 */
export async function removeDoomed(
  services: FileServices,
  domainId: string,
  taskId: string,
  signal: AbortSignal,
): Promise<{ readonly gone: Doomed; readonly left: Doomed }> {
  for (let moved = BATCH; moved === BATCH; ) {
    signal.throwIfAborted();
    moved = await setAsideBatch(services, domainId);
  }
  let [count, bytes] = [0, 0];
  for (let dropped = BATCH; dropped === BATCH; ) {
    signal.throwIfAborted();
    const files = await dropBatch(services, domainId, taskId);
    dropped = files.length;
    count += dropped;
    bytes += files.reduce((sum, { size }) => sum + size, 0);
  }
  const [left] = await services.db.query<Doomed>(sql`
    select count(*) as count, coalesce(sum(size), 0)::bigint as bytes from doomed_file where domain_id = ${domainId}::uuid`);
  return { gone: { count, bytes }, left: left as Doomed };
}

/** Holds the rows while it moves the files: whoever takes one back comes before or after. */
function setAsideBatch({ db, storage }: FileServices, domainId: string): Promise<number> {
  return db.transaction(async (tx) => {
    const files = await tx.query<DoomedFile>(sql`
      select sha256, file, size from doomed_file where domain_id = ${domainId}::uuid and aside_at is null
      order by sha256 limit ${BATCH} for update skip locked`);
    await forEach(files, ({ file }) => storage.setAside(file, 'doomed'));
    // Its time is that of this statement: all have been moved.
    await tx.execute(sql`
      update doomed_file set aside_at = clock_timestamp()
      where domain_id = ${domainId}::uuid and sha256 = any(${files.map(({ sha256 }) => sha256)}::text[])`);
    return files.length;
  });
}

/** A task that this statement does not see begins later, and finds nothing in the file's place. */
function dropBatch({ db, storage }: FileServices, domainId: string, taskId: string): Promise<readonly DoomedFile[]> {
  return db.transaction(async (tx) => {
    const files = await tx.query<DoomedFile>(sql`
      select sha256, file, size from doomed_file
      where domain_id = ${domainId}::uuid and aside_at < coalesce((
        select min(t.pulp_created) from task t where t.state in ('running', 'canceling') and t.id <> ${taskId}::uuid), 'infinity')
      order by sha256 limit ${BATCH} for update skip locked`);
    await forEach(files, async ({ file }) => {
      await storage.dropAside(file, 'doomed');
      await storage.dropAside(file, 'damaged');
    });
    await tx.execute(sql`
      delete from doomed_file where domain_id = ${domainId}::uuid and sha256 = any(${files.map(({ sha256 }) => sha256)}::text[])`);
    return files;
  });
}

async function forEach(files: readonly DoomedFile[], work: (file: DoomedFile) => Promise<void>): Promise<void> {
  for await (const _ of mapConcurrent(files, work, { limit: FILES_AT_ONCE }));
}
