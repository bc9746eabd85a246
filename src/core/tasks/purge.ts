import { z } from 'zod';
import { type Sql, sql } from '../../db/sql.ts';
import type { Caller } from '../../kit/api.ts';
import { defineTask, type Progress, type TaskContext } from '../../kit/define-task.ts';
import { FINAL_STATES } from './task-state.ts';

const AT_ONCE = 1_000;

/** What goes with a task, by the names of Pulp's models. */
const COUNTED = ['core.Task', 'core.ProgressReport', 'core.CreatedResource', 'core.UserRole'] as const;
type Counts = Readonly<Record<(typeof COUNTED)[number], number>>;

/** Which tasks `m` a user may delete; undefined: all. One who is gone by now may delete none. */
async function deletable(userId: number | null, { services }: TaskContext): Promise<Sql | undefined> {
  if (userId === null) return undefined;
  const [user] = await services.db.query<Caller>(
    sql`select id, username, is_superuser from app_user where id = ${userId}::int and is_active`,
  );
  return user ? services.access.whereHolds(user, 'core.delete_task', 'core.task') : sql`false`;
}

/** The tasks `m` that are to go. */
async function selection({ finished_before, states, user_id }: Args, context: TaskContext): Promise<Sql> {
  const scope = await deletable(user_id, context);
  return sql`m.domain_id = ${context.task.domain_id}::uuid and m.state = any(${states}::text[])
    and m.finished_at < ${finished_before}::timestamptz and ${scope ?? sql`true`}`;
}

const removal = (selected: Sql): Sql => sql`
  with chosen as materialized (
    select m.id from task m where ${selected} order by m.finished_at limit ${AT_ONCE} for update skip locked
  ),
  roles as (
    select count(*)::int as count from role_assignment where object_type = 'core.task' and object_id in (select id from chosen)
  ),
  gone as (
    delete from task where id in (select id from chosen)
    returning jsonb_array_length(progress_reports) as reports, cardinality(created_resources) as created
  )
  select count(*)::int as "core.Task", coalesce(sum(reports), 0)::int as "core.ProgressReport",
    coalesce(sum(created), 0)::int as "core.CreatedResource",
    (select count from roles) as "core.UserRole"
  from gone`;

const argsSchema = z.object({
  finished_before: z.iso.datetime({ offset: true }),
  states: z.array(z.enum(FINAL_STATES)),
  /** Only what this user may delete; null: everything. */
  user_id: z.int().nullable(),
});
type Args = z.output<typeof argsSchema>;

/**
 * Removes the domain's tasks that ended before a moment, in these states; the task that purges does not remove itself. Batch by
 * batch, so that a cancel is heeded and no transaction is long. Reports how many rows of which kind went, as Pulp does (spec:
 * tasks, progress reports).
 */
export const purgeTasks = defineTask({
  name: 'pulpcore.app.tasks.purge.purge',
  args: argsSchema,
  rerun: true,
  async run(args, context) {
    const { db } = context.services;
    const selected = await selection(args, context);
    const [expected] = await db.query<{ count: number }>(sql`select count(*) as count from task m where ${selected}`);
    const total = context.progress('purge.tasks.total', 'Purged task-related-objects total');
    const reports = new Map<string, Progress>();
    const report = (model: string, count?: number): Progress => {
      const known = reports.get(model);
      if (known) return known;
      const opened = context.progress(`purge.tasks.key.${model}`, `Purged task-objects of type ${model}`, count);
      reports.set(model, opened);
      return opened;
    };
    report('core.Task', expected?.count ?? 0);
    const errors = context.progress('purge.tasks.error', 'Tasks failed to purge', 0);
    const purged: Record<string, number> = {};
    for (let last = AT_ONCE; last === AT_ONCE; ) {
      context.signal.throwIfAborted();
      const [counts] = await db.query<Counts>(removal(selected));
      if (!counts) throw new Error('a statement that counts gave no row');
      for (const model of COUNTED) {
        if (counts[model] === 0) continue;
        report(model).increment(counts[model]);
        total.increment(counts[model]);
        purged[model] = (purged[model] ?? 0) + counts[model];
      }
      last = counts['core.Task'];
    }
    // As far as others removed some at the same time, less has gone than was expected.
    for (const [model, one] of reports) one.setTotal(purged[model] ?? 0);
    total.setTotal(Object.values(purged).reduce((sum, count) => sum + count, 0));
    for (const one of [total, ...reports.values(), errors]) one.complete();
    return null;
  },
});
