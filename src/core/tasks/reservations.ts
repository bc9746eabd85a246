import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import { prnOf } from '../../kit/names.ts';
import type { Services } from '../../kit/services.ts';
import type { WakeUp } from '../../queue/queue.ts';

/** What a task holds while it is unfinished, by PRN; two lists of the same length. */
export interface Reservations {
  readonly resources: readonly string[];
  readonly exclusive: readonly boolean[];
}

/** Each resource once; what is wanted both ways is wanted exclusively. */
export function reservationsOf(exclusive: readonly string[] = [], shared: readonly string[] = []): Reservations {
  const owned = [...new Set(exclusive)];
  const read = [...new Set(shared)].filter((resource) => !owned.includes(resource));
  return {
    resources: [...owned, ...read],
    exclusive: [...owned.map(() => true), ...read.map(() => false)],
  };
}

/** The wire's `reserved_resources_record`: the domain is always in it, and never contended (spec: tasks, object). */
export const reservationRecord = ({ resources, exclusive }: Reservations, domainId: string): string[] => [
  ...resources.map((resource, index) => (exclusive[index] ? resource : `shared:${resource}`)),
  `shared:${prnOf('core', 'Domain', domainId)}`,
];

/** Keeps our advisory locks apart from those of others in the same database. */
const LOCK_SEED = 24817;

/**
 * Takes one advisory lock a resource until the transaction ends, in the order of their keys, so that no two transactions
 * wait for each other in a circle. Whoever adds or removes a reservation holds these first: an exclusive one shuts everybody
 * else out, shared ones only the exclusive. Hence a statement that follows sees every earlier conflicting reservation,
 * and what it adds gets a higher number than they have.
 */
const lock = (wanted: Sql): Sql => sql`
  select case when k.exclusive then pg_advisory_xact_lock(k.key) else pg_advisory_xact_lock_shared(k.key) end
  from (
    select hashtextextended(w.resource, ${LOCK_SEED}::bigint) as key, bool_or(w.exclusive) as exclusive
    from (${wanted}) w group by 1 order by 1
  ) k`;

/** The reservations as rows `(resource, exclusive)`. */
export const asRows = ({ resources, exclusive }: Reservations): Sql =>
  sql`select * from unnest(${resources}::text[], ${exclusive}::bool[]) as wanted(resource, exclusive)`;

export async function lockReservations(tx: Queryable, reservations: Reservations): Promise<void> {
  await tx.query(lock(asRows(reservations)));
}

export async function lockReservationsOf(tx: Queryable, ...taskIds: readonly string[]): Promise<void> {
  await tx.query(lock(sql`select resource, exclusive from task_reservation where task_id = any(${taskIds}::uuid[])`));
}

/**
 * Condition over a task `t`: an earlier unfinished task holds what `t` needs. Asks for the first number in the resource's
 * queue, which an index answers at once; `exists` would make the planner hope for an early hit in a scan of the whole table.
 */
const blocked: Sql = sql`coalesce((
  select bool_or(mine.seq > case when mine.exclusive
    then (select min(seq) from task_reservation o where o.resource = mine.resource)
    else (select min(seq) from task_reservation o where o.resource = mine.resource and o.exclusive) end)
  from task_reservation mine where mine.task_id = t.id), false)`;

/** The ids of all tasks that are blocked, in one pass over all reservations: for whoever looks at every task. */
export const allBlocked: Sql = sql`
  select distinct mine.task_id
  from task_reservation mine
  join (
    select resource, min(seq) as first, min(seq) filter (where exclusive) as first_exclusive from task_reservation group by resource
  ) queue using (resource)
  where mine.seq > case when mine.exclusive then queue.first else queue.first_exclusive end`;

/** A reservation that is gone. */
export interface Freed {
  readonly resource: string;
  readonly exclusive: boolean;
}

/**
 * Only what stands first in a resource's queue can have become runnable: its first exclusive task, and, where an exclusive
 * reservation went, the shared ones before that. So the cost does not follow the queue's length. The first exclusive task is
 * looked at even while shared ones are before it: those may be ending at this moment, in transactions that this one cannot see.
 */
const successors = (freed: Sql): Sql => sql`
  with freed as (${freed}),
  front as (
    select freed.resource, freed.exclusive as freed_exclusively, coalesce(first.seq, 9223372036854775807) as seq, first.task_id
    from freed left join lateral (
      select seq, task_id from task_reservation r where r.resource = freed.resource and r.exclusive order by seq limit 1
    ) first on true
  ),
  candidate as (
    select task_id from front
    union
    select r.task_id from front join task_reservation r on r.resource = front.resource and not r.exclusive and r.seq < front.seq
    where front.freed_exclusively
  )
  select t.id from task t where t.id in (select task_id from candidate) and t.state = 'waiting' and t.unblocked_at is null
  order by t.seq for update`;

/**
 * Unblocks the tasks that can run now that these reservations are gone; to be called in the transaction that removed them.
 * Answers whom to wake after its commit. The rows are locked first and looked at by a second statement, so that of two
 * transactions that each remove one of a task's two blockers the later one sees that both are gone.
 */
export async function unblockSuccessors(tx: Queryable, freed: readonly Freed[]): Promise<WakeUp[]> {
  if (freed.length === 0) return [];
  const rows = asRows({
    resources: freed.map(({ resource }) => resource),
    exclusive: freed.map(({ exclusive }) => exclusive),
  });
  const candidates = await tx.query<{ id: string }>(successors(rows));
  if (candidates.length === 0) return [];
  return tx.query<WakeUp>(sql`
    update task t set unblocked_at = clock_timestamp(), pulp_last_updated = clock_timestamp()
    where t.id = any(${candidates.map(({ id }) => id)}::uuid[]) and t.state = 'waiting' and t.unblocked_at is null and not ${blocked}
    returning t.id, t.fence`);
}

/** Calls workers for runnable tasks. A queue that is away is logged and left to the sweeper. */
export async function wake(services: Pick<Services, 'queue' | 'log'>, wakeUps: readonly WakeUp[]): Promise<void> {
  try {
    await services.queue.enqueue(wakeUps);
  } catch (error) {
    services.log.warn(
      { err: error, tasks: wakeUps.map(({ id }) => id) },
      'task queue did not take runnable tasks; the sweeper sends them again within seconds of its return',
    );
  }
}
