import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { batches } from '../../lib/batches.ts';
import { CANCEL_CHANNEL, DONE_CHANNEL } from './channels.ts';
import { type Freed, lockReservationsOf, unblockSuccessors, wake } from './reservations.ts';
import type { TaskState } from './task-state.ts';

/** Each holds the locks of its tasks' resources: few enough for PostgreSQL's table of locks. */
const AT_ONCE = 200;

/** The waiting ones of these tasks end as canceled; answers what they held. */
async function endWaiting(tx: Queryable, ids: readonly string[]): Promise<readonly Freed[]> {
  const [ended] = await tx.query<{ freed: Freed[] | null }>(sql`
    with mine as (select id from task where id = any(${ids}::uuid[]) and state = 'waiting' order by seq for update),
    ended as (
      update task set state = 'canceled', finished_at = clock_timestamp(), pulp_last_updated = clock_timestamp()
      where id in (select id from mine) returning id
    ),
    freed as (delete from task_reservation where task_id in (select id from ended) returning resource, exclusive),
    told as (select pg_notify(${DONE_CHANNEL}, id::text) from ended)
    select (select json_agg(freed) from freed) as freed, (select count(*) from told) as told`);
  return ended?.freed ?? [];
}

/** The running ones of these tasks are to be ended by their workers. */
const askRunning = (tx: Queryable, ids: readonly string[]): Promise<unknown> =>
  tx.query(sql`
    with mine as (select id from task where id = any(${ids}::uuid[]) and state = 'running' order by seq for update),
    asked as (
      update task set state = 'canceling', pulp_last_updated = clock_timestamp() where id in (select id from mine) returning id
    )
    select pg_notify(${CANCEL_CHANNEL}, id::text)::text as told from asked`);

/**
 * Asks for the end of tasks. One that waits is `canceled` at once; one that runs is `canceling`, and its worker is told, which
 * ends it within seconds; one that has ended stays as it is.
 */
export async function cancelTasks(services: Services, ids: readonly string[]): Promise<void> {
  for (const some of batches(ids, AT_ONCE)) {
    const wakeUps = await services.db.transaction(async (tx) => {
      await lockReservationsOf(tx, ...some);
      const freed = await endWaiting(tx, some);
      await askRunning(tx, some);
      return unblockSuccessors(tx, freed);
    });
    await wake(services, wakeUps);
  }
}

/** Cancels one task. Answers its state after that; undefined: there is no such task. */
export async function cancelTask(services: Services, id: string): Promise<TaskState | undefined> {
  await cancelTasks(services, [id]);
  const [task] = await services.db.query<{ state: TaskState }>(sql`select state from task where id = ${id}::uuid`);
  return task?.state;
}
