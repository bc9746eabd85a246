import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { type Repeated, startRepeating } from '../repeat.ts';
import { removeChunks } from './chunk-files.ts';

const PERIOD_MS = 60_000;
/** By when the file of a chunk that was announced is in its place, or nobody is at it any more. */
const ABANDONED_AFTER_SECONDS = 3_600;
const AT_ONCE = 1_000;

/**
 * Removes uploads that have expired, except those whose commit waits or runs, what is left of committed ones, and the files of
 * chunks that no upload has. Answers how many uploads went. Several processes may do so at once.
 */
export async function sweepUploads(services: Services): Promise<number> {
  const { db, config, log } = services;
  const expired = await db.query<{ completed: boolean }>(sql`
    delete from upload where id in (
      select u.id from upload u
      where u.pulp_last_updated < clock_timestamp() - make_interval(hours => ${config.DECKLE_UPLOAD_EXPIRY_HOURS}::int)
        and not exists (select from task_reservation r where r.resource = 'prn:core.upload:' || u.id)
      for update of u skip locked)
    returning completed is not null as completed`);
  const open = expired.filter(({ completed }) => !completed).length;
  if (open > 0) log.info({ uploads: open }, 'uploads that were not committed in time were removed');
  for (let found = AT_ONCE; found === AT_ONCE; ) {
    const abandoned = await db.query<{ id: string }>(sql`
      select id from upload_chunk
      where upload_id is null and pulp_created < clock_timestamp() - make_interval(secs => ${ABANDONED_AFTER_SECONDS})
      limit ${AT_ONCE}`);
    found = abandoned.length;
    await removeChunks(
      services,
      abandoned.map(({ id }) => id),
    );
  }
  return open;
}

/** Sweeps every minute or so. */
export const startUploadSweeper = (services: Services): Repeated =>
  startRepeating(services.log, { period_ms: PERIOD_MS, failed: 'sweep of the uploads failed; trying again' }, async () => {
    await sweepUploads(services);
  });
