import type { Database, Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { WakeUp } from '../../queue/queue.ts';
import { DONE_CHANNEL } from './channels.ts';
import type { ProgressBook, TaskRecord } from './progress-book.ts';
import { type Freed, lockReservationsOf, unblockSuccessors } from './reservations.ts';
import type { TaskErrorObject } from './task-error.ts';
import type { FinalState } from './task-state.ts';

interface Claim {
  readonly id: string;
  readonly fence: number;
}

/** How a run came out. */
export type Ending =
  | { readonly state: 'completed'; readonly result: unknown }
  | { readonly state: 'failed'; readonly error: TaskErrorObject }
  | { readonly state: 'canceled' };

/** A task that has ended: in what state, and whom to wake. */
export interface Ended {
  readonly state: FinalState;
  readonly wakeUps: readonly WakeUp[];
}

const asJson = (value: unknown): string | null => (value === null || value === undefined ? null : JSON.stringify(value));

/** Stores progress while the task runs. False: the task is no longer this claim's. */
export async function writeRecord(db: Queryable, { id, fence }: Claim, record: TaskRecord): Promise<boolean> {
  const touched = await db.execute(sql`
    update task set progress_reports = ${JSON.stringify(record.progress_reports)}::jsonb,
      created_resources = ${record.created_resources}::text[], created_resource_prns = ${record.created_resource_prns}::text[],
      pulp_last_updated = clock_timestamp()
    where id = ${id}::uuid and fence = ${fence} and state in ('running', 'canceling')`);
  return touched > 0;
}

/**
 * Ends a task, in one transaction: its state, what it leaves, its reservations, and the tasks that can run now. A task that
 * is being canceled ends as canceled, however its run came out. Undefined: the task is no longer this claim's.
 */
export function endTask(
  db: Database,
  { id, fence }: Claim,
  ending: Ending,
  book: Pick<ProgressBook, 'record'>,
): Promise<Ended | undefined> {
  const record = book.record(ending.state);
  const reports = JSON.stringify(record.progress_reports);
  const canceledReports = JSON.stringify(book.record('canceled').progress_reports);
  const result = ending.state === 'completed' ? asJson(ending.result) : null;
  const error = ending.state === 'failed' ? asJson(ending.error) : null;
  return db.transaction(async (tx) => {
    await lockReservationsOf(tx, id);
    const [ended] = await tx.query<{ state: FinalState; freed: Freed[] | null }>(sql`
      with mine as (
        select id, state = 'canceling' as canceling from task
        where id = ${id}::uuid and fence = ${fence} and state in ('running', 'canceling') for update
      ),
      ended as (
        update task t set state = case when canceling then 'canceled' else ${ending.state} end,
          finished_at = clock_timestamp(), pulp_last_updated = clock_timestamp(),
          error = case when canceling then null else ${error}::jsonb end,
          result = case when canceling then null else ${result}::jsonb end,
          progress_reports = case when canceling then ${canceledReports}::jsonb else ${reports}::jsonb end,
          created_resources = ${record.created_resources}::text[], created_resource_prns = ${record.created_resource_prns}::text[]
        from mine where t.id = mine.id returning t.id, t.state
      ),
      freed as (delete from task_reservation where task_id in (select id from ended) returning resource, exclusive)
      select state, (select json_agg(freed) from freed) as freed, pg_notify(${DONE_CHANNEL}, id::text)::text as told from ended`);
    return ended && { state: ended.state, wakeUps: await unblockSuccessors(tx, ended.freed ?? []) };
  });
}

/**
 * Gives a running task back, for another worker to run from the start; it keeps its reservations and so its place.
 * Undefined: it is no longer this claim's, or is being canceled.
 */
export async function releaseTask(db: Queryable, { id, fence }: Claim): Promise<WakeUp | undefined> {
  const [wakeUp] = await db.query<WakeUp>(sql`
    update task set state = 'waiting', started_at = null, worker_id = null, unblocked_at = clock_timestamp(),
      pulp_last_updated = clock_timestamp(), progress_reports = '[]', created_resources = '{}', created_resource_prns = '{}'
    where id = ${id}::uuid and fence = ${fence} and state = 'running'
    returning id, fence`);
  return wakeUp;
}
