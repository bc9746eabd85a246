import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import type { WakeUp } from '../../queue/queue.ts';
import { ORPHAN_CLEANUP, orphansLock } from '../upkeep/horizon.ts';
import { dispatchWithin } from './dispatch.ts';
import { wake } from './reservations.ts';
import { FINAL_STATES } from './task-state.ts';

/** A task that comes again and again. */
interface Schedule {
  readonly name: string;
  readonly task_name: string;
  /** Seconds. */
  readonly dispatch_interval: number;
}

/** What a scheduled task holds of a domain: as much as one that a client asks for. */
const LOCKS: Readonly<Record<string, (domainId: string) => string>> = { [ORPHAN_CLEANUP]: orphansLock };

/** The schedules that the settings ask for (spec: tasks, endpoints). */
function wantedSchedules({ DECKLE_ORPHAN_CLEANUP, PULP_ORPHAN_PROTECTION_TIME }: Services['config']): readonly Schedule[] {
  if (!DECKLE_ORPHAN_CLEANUP || PULP_ORPHAN_PROTECTION_TIME === 0) return [];
  return [
    {
      name: 'Clean up stale content periodically',
      task_name: ORPHAN_CLEANUP,
      dispatch_interval: PULP_ORPHAN_PROTECTION_TIME * 60,
    },
  ];
}

/**
 * Makes the schedules what the settings say; those that are there keep their next time. A new one runs for the first time after
 * its interval: until then there is nothing that it could find.
 */
export async function keepSchedules({ db, config, domain, clock }: Services): Promise<void> {
  const wanted = wantedSchedules(config);
  await db.transaction(async (tx) => {
    await tx.execute(sql`
      delete from task_schedule where domain_id = ${domain.id}::uuid and name <> all(${wanted.map(({ name }) => name)}::text[])`);
    for (const { name, task_name, dispatch_interval } of wanted) {
      const first = new Date(clock().getTime() + dispatch_interval * 1000).toISOString();
      await tx.execute(sql`
        insert into task_schedule (id, domain_id, name, task_name, dispatch_interval, next_dispatch)
        values (${v7()}::uuid, ${domain.id}::uuid, ${name}, ${task_name}, ${dispatch_interval}::int, ${first}::timestamptz)
        on conflict (domain_id, name) do update
        set task_name = excluded.task_name, dispatch_interval = excluded.dispatch_interval, pulp_last_updated = clock_timestamp()
        where (task_schedule.task_name, task_schedule.dispatch_interval) is distinct from (excluded.task_name, excluded.dispatch_interval)`);
    }
  });
}

interface DueSchedule extends Schedule {
  readonly id: string;
  readonly domain_id: string;
}

/** One that is due, its row locked against other processes; the time after `now` at which it is due again is written. */
const takeDue = (now: string) => sql`
  with due as (
    select s.id from task_schedule s left join task t on t.id = s.last_task_id
    where s.next_dispatch <= ${now}::timestamptz and (t.id is null or t.state = any(${[...FINAL_STATES]}::text[]))
    order by s.next_dispatch limit 1 for update of s skip locked
  )
  update task_schedule s set pulp_last_updated = clock_timestamp(),
    next_dispatch = s.next_dispatch + make_interval(secs => s.dispatch_interval)
      * (floor(extract(epoch from ${now}::timestamptz - s.next_dispatch) / s.dispatch_interval) + 1)::float8
  from due where s.id = due.id
  returning s.id, s.domain_id, s.name, s.task_name, s.dispatch_interval`;

/** Dispatches the next schedule that is due. Answers whom to wake; undefined: none is due. */
function dispatchNext(services: Services): Promise<{ dispatched: number; wakeUps: readonly WakeUp[] } | undefined> {
  const { db, catalog, log, clock } = services;
  return db.transaction(async (tx) => {
    const [due] = await tx.query<DueSchedule>(takeDue(clock().toISOString()));
    if (!due) return undefined;
    const definition = catalog.task(due.task_name);
    if (!definition) {
      log.warn(
        { schedule: due.name, task_name: due.task_name },
        'no plugin declares the task of a schedule; this time it is left out',
      );
      return { dispatched: 0, wakeUps: [] };
    }
    const correlation_id = randomUUID().replaceAll('-', '');
    const lock = LOCKS[due.task_name];
    const { id, wakeUps } = await dispatchWithin(
      tx,
      services,
      definition,
      {},
      { domain_id: due.domain_id, user_id: null, correlation_id, exclusive: lock ? [lock(due.domain_id)] : [] },
    );
    await tx.execute(sql`update task_schedule set last_task_id = ${id}::uuid where id = ${due.id}::uuid`);
    log.info({ schedule: due.name, task: id, cid: correlation_id }, 'scheduled task dispatched');
    return { dispatched: 1, wakeUps };
  });
}

/**
 * Dispatches what is due and whose last task has ended: once, however many processes do so, since a schedule is taken and its
 * task written in one transaction. What was missed while no process ran is made up for by one task. Answers how many.
 */
export async function dispatchDue(services: Services): Promise<number> {
  for (let count = 0; ; ) {
    const next = await dispatchNext(services);
    if (!next) return count;
    count += next.dispatched;
    await wake(services, next.wakeUps);
  }
}
