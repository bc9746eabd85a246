import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { TaskCanceled, TaskSuperseded } from './abort-cause.ts';

/**
 * Where a task that is safe to run twice is no longer run again. Claims and take-overs raise the fence: by then some five workers
 * have died of it, and with each the other tasks that it had in hand.
 */
export const LAST_FENCE = 10;

/**
 * For transactions that publish what a task made: throws where the task is no longer this worker's, or is being canceled.
 * Holds the task's row until the transaction ends, so that neither happens before its commit.
 */
export async function assertFence(tx: Queryable, task: { readonly id: string; readonly fence: number }): Promise<void> {
  const [row] = await tx.query<{ state: string }>(
    sql`select state from task where id = ${task.id}::uuid and fence = ${task.fence} for update`,
  );
  if (row?.state === 'canceling') throw new TaskCanceled();
  if (row?.state !== 'running') throw new TaskSuperseded();
}
