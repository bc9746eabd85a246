import { v7 } from 'uuid';
import type { z } from 'zod';
import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import type { DispatchOptions, TaskDefinition } from '../../kit/define-task.ts';
import { taskHref } from '../../kit/names.ts';
import type { Services } from '../../kit/services.ts';
import type { WakeUp } from '../../queue/queue.ts';
import { TaskTimedOut } from './abort-cause.ts';
import { argsPlace, type ClaimedTask } from './claimed-task.ts';
import { processRowOf } from './process-row.ts';
import { asRows, lockReservations, type Reservations, reservationRecord, reservationsOf, wake } from './reservations.ts';
import { runTask } from './run-task.ts';

/** How long a task may take inside a request. */
const IMMEDIATE_SECONDS = 5;

interface NewTask extends Omit<ClaimedTask, 'fence'> {
  readonly task_group_id: string | null;
  readonly reservations: Reservations;
  /** Set where the task is to run in this process if it can run at once. */
  readonly immediate: boolean;
  readonly worker_id: string | null;
  /** Names of the roles that who asked for it gets on it. */
  readonly roles: readonly string[];
}

/** Marks who has dispatched a task, whatever other roles on it are given and taken (spec: rbac, creation hooks). */
const DISPATCHER = 'core.task_user_dispatcher';

/**
 * Writes the task with its reservations. Its number comes from the sequence while the locks of its resources are held, so
 * that per resource the numbers are in the order of the commits.
 */
const insertion = (task: NewTask): Sql => sql`
  with wanted as materialized (${asRows(task.reservations)}),
  fate as (
    select not exists (select from wanted w join task_reservation o on o.resource = w.resource and o.exclusive)
      and not exists (select from wanted w join task_reservation o on o.resource = w.resource where w.exclusive) as free
  ),
  made as (
    insert into task (id, domain_id, name, logging_cid, created_by_id, task_group_id, args, reserved_resources_record,
      state, unblocked_at, started_at, worker_id, fence, pulp_created, pulp_last_updated)
    select ${task.id}::uuid, ${task.domain_id}::uuid, ${task.name}, ${task.logging_cid}, ${task.created_by_id}::int, ${task.task_group_id}::uuid, ${task.args},
      ${reservationRecord(task.reservations, task.domain_id)}::text[],
      case when free and ${task.immediate} then 'running' else 'waiting' end,
      case when free then clock_timestamp() end,
      case when free and ${task.immediate} then clock_timestamp() end,
      case when free and ${task.immediate} then ${task.worker_id}::uuid end,
      case when free and ${task.immediate} then 1 else 0 end,
      clock_timestamp(), clock_timestamp()
    from fate
    returning id, seq, unblocked_at
  ),
  held as (
    insert into task_reservation (resource, seq, task_id, exclusive)
    select w.resource, made.seq, made.id, w.exclusive from made, wanted w
  ),
  owned as (
    insert into role_assignment (id, role_id, user_id, object_type, object_id)
    select granted.id, role.id, ${task.created_by_id}::int, 'core.task', made.id
    from made, unnest(${task.roles.map(() => v7())}::uuid[], ${task.roles}::text[]) as granted(id, name) join role using (name)
    where ${task.created_by_id}::int is not null
  )
  select unblocked_at is not null as runnable from made`;

/** Answers whether the task can run at once. With reservations, `tx` is a transaction. */
async function insertTask(tx: Queryable, task: NewTask): Promise<boolean> {
  if (task.reservations.resources.length > 0) await lockReservations(tx, task.reservations);
  const [made] = await tx.query<{ runnable: boolean }>(insertion(task));
  if (!made) throw new Error(`task ${task.id} was not written`);
  return made.runnable;
}

/** The row of a task that is to be. Throws ZodError for arguments that the definition does not take. */
async function newTask<Args extends z.ZodType>(
  services: Services,
  definition: TaskDefinition<Args>,
  args: z.input<Args>,
  options: DispatchOptions,
  tx?: Queryable,
): Promise<NewTask> {
  definition.args.parse(args);
  const id = v7();
  return {
    id,
    name: definition.name,
    domain_id: options.domain_id,
    created_by_id: options.user_id,
    task_group_id: options.task_group_id ?? null,
    logging_cid: options.correlation_id,
    args: services.secrets.seal(JSON.stringify(args ?? null), argsPlace(id)),
    reservations: reservationsOf(options.exclusive, options.shared),
    immediate: definition.immediate ?? false,
    worker_id: processRowOf(services),
    roles: [...(await services.access.rolesOfCreator(services.catalog.resource('tasks'), tx)), DISPATCHER],
  };
}

/** Runs a task in this process, within the limit. */
async function runInPlace(services: Services, definition: TaskDefinition, task: ClaimedTask): Promise<void> {
  const run = runTask(services, definition, task);
  const timer = setTimeout(() => run.abort(new TaskTimedOut(IMMEDIATE_SECONDS)), IMMEDIATE_SECONDS * 1000);
  await run.done;
  clearTimeout(timer);
}

/**
 * Takes a task on: writes it with its reservations in one transaction and wakes a worker if it can run at once. Where the
 * definition says `immediate` and nothing is in its way, the task has ended when this answers. Tasks run in the order of their
 * dispatch, as far as their reservations conflict. Throws ZodError for arguments that the definition does not take; nothing is
 * written then.
 */
export async function dispatch<Args extends z.ZodType>(
  services: Services,
  definition: TaskDefinition<Args>,
  args: z.input<Args>,
  options: DispatchOptions,
): Promise<{ readonly id: string; readonly href: string }> {
  const task = await newTask(services, definition, args, options);
  const { id, immediate } = task;
  const runnable =
    task.reservations.resources.length === 0
      ? await insertTask(services.db, task)
      : await services.db.transaction((tx) => insertTask(tx, task));
  if (runnable && immediate) await runInPlace(services, definition as TaskDefinition, { ...task, fence: 1 });
  else if (runnable) await wake(services, [{ id, fence: 0 }]);
  return { id, href: taskHref(id) };
}

/**
 * Writes a task that a worker is to run, in a transaction with other writes. Answers its id, and whom to wake after the commit.
 * Throws as `dispatch` does.
 */
export async function dispatchWithin<Args extends z.ZodType>(
  tx: Queryable,
  services: Services,
  definition: TaskDefinition<Args>,
  args: z.input<Args>,
  options: DispatchOptions,
): Promise<{ readonly id: string; readonly wakeUps: readonly WakeUp[] }> {
  const task = { ...(await newTask(services, definition, args, options, tx)), immediate: false };
  const runnable = await insertTask(tx, task);
  return { id: task.id, wakeUps: runnable ? [{ id: task.id, fence: 0 }] : [] };
}
