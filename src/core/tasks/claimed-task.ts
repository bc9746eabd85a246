import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';

/** A task in the hands of the process that is to run it. */
export interface ClaimedTask {
  readonly id: string;
  readonly name: string;
  readonly domain_id: string;
  readonly created_by_id: number | null;
  readonly logging_cid: string;
  readonly fence: number;
  /** Sealed by the secret box for `argsPlace(id)`. */
  readonly args: string;
}

/** Where a task's arguments are stored, for the secret box. */
export const argsPlace = (taskId: string): string => `task:args:${taskId}`;

/**
 * Makes a runnable task this worker's, by compare-and-set: of several that were woken for it one gets it, the others get
 * undefined. The row starts afresh: what a run that was given up has shown is gone.
 */
export async function claimTask(db: Queryable, id: string, workerId: string): Promise<ClaimedTask | undefined> {
  const [task] = await db.query<ClaimedTask>(sql`
    update task set state = 'running', started_at = clock_timestamp(), pulp_last_updated = clock_timestamp(),
      worker_id = ${workerId}::uuid, fence = fence + 1,
      progress_reports = '[]', created_resources = '{}', created_resource_prns = '{}'
    where id = ${id}::uuid and state = 'waiting' and unblocked_at is not null
    returning id, name, domain_id, created_by_id, logging_cid, fence, args`);
  return task;
}
