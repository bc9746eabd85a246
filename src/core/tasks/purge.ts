import { z } from 'zod';
import { sql } from '../../db/sql.ts';
import { defineTask } from '../../kit/define-task.ts';
import { FINAL_STATES } from './task-state.ts';

const AT_ONCE = 1_000;

/**
 * Removes the domain's tasks that ended before a moment, in these states; the task that purges does not remove itself.
 * Batch by batch, so that a cancel is heeded and no transaction is long.
 */
export const purgeTasks = defineTask({
  name: 'pulpcore.app.tasks.purge.purge',
  args: z.object({ finished_before: z.iso.datetime({ offset: true }), states: z.array(z.enum(FINAL_STATES)).min(1) }),
  rerun: true,
  async run({ finished_before, states }, context) {
    const { db } = context.services;
    const total = context.progress('purge.tasks.total', 'Purged task-related-objects total');
    const tasks = context.progress('purge.tasks.key.core.Task', 'Purged task-objects of type core.Task');
    const errors = context.progress('purge.tasks.error', 'Tasks failed to purge');
    for (let purged = AT_ONCE; purged === AT_ONCE; ) {
      context.signal.throwIfAborted();
      purged = await db.execute(sql`
        delete from task where id in (
          select id from task
          where domain_id = ${context.task.domain_id}::uuid and state = any(${states}::text[]) and finished_at < ${finished_before}::timestamptz
          order by finished_at limit ${AT_ONCE} for update skip locked)`);
      tasks.increment(purged);
      total.increment(purged);
    }
    for (const report of [total, tasks, errors]) report.complete();
    return null;
  },
});
