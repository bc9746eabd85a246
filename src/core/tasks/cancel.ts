import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import type { WakeUp } from '../../queue/queue.ts';
import { CANCEL_CHANNEL, DONE_CHANNEL } from './channels.ts';
import { type Freed, lockReservationsOf, unblockSuccessors, wake } from './reservations.ts';
import type { TaskState } from './task-state.ts';

/**
 * Asks for a task's end. One that waits is `canceled` at once; one that runs is `canceling`, and its worker is told, which
 * ends it within seconds; one that has ended stays as it is. Answers the state after that; undefined: there is no such task.
 */
export async function cancelTask(services: Services, id: string): Promise<TaskState | undefined> {
  const { state, wakeUps } = await services.db.transaction(async (tx) => {
    await lockReservationsOf(tx, id);
    const [canceled] = await tx.query<{ freed: Freed[] | null }>(sql`
      with ended as (
        update task set state = 'canceled', finished_at = clock_timestamp(), pulp_last_updated = clock_timestamp()
        where id = ${id}::uuid and state = 'waiting' returning id
      ),
      freed as (delete from task_reservation where task_id in (select id from ended) returning resource, exclusive)
      select (select json_agg(freed) from freed) as freed, pg_notify(${DONE_CHANNEL}, id::text)::text as told from ended`);
    if (canceled) return { state: 'canceled' as const, wakeUps: await unblockSuccessors(tx, canceled.freed ?? []) };
    const none: WakeUp[] = [];
    const [told] = await tx.query(sql`
      with asked as (
        update task set state = 'canceling', pulp_last_updated = clock_timestamp()
        where id = ${id}::uuid and state = 'running' returning id
      )
      select pg_notify(${CANCEL_CHANNEL}, id::text)::text as told from asked`);
    if (told) return { state: 'canceling' as const, wakeUps: none };
    const [task] = await tx.query<{ state: TaskState }>(sql`select state from task where id = ${id}::uuid`);
    return { state: task?.state, wakeUps: none };
  });
  await wake(services, wakeUps);
  return state;
}
