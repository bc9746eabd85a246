import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import type { WakeUp } from '../../queue/queue.ts';
import { expireAudit } from '../audit/audit-retention.ts';
import { compactRowCounts } from '../compact-row-counts.ts';
import { type Repeated, startRepeating } from '../repeat.ts';
import { removeEndedSessions } from '../users/sessions.ts';
import { DONE_CHANNEL } from './channels.ts';
import type { ClaimedTask } from './claimed-task.ts';
import { LAST_FENCE } from './fence.ts';
import { allBlocked, wake } from './reservations.ts';
import { dispatchDue } from './schedules.ts';
import { WORKER_MISSING } from './task-error.ts';
import { FINAL_STATES } from './task-state.ts';

const PERIOD_MS = 4_000;
/** How long a runnable task may wait before its wake-up counts as lost; sending it again while it waits is harmless. */
const LOST_AFTER_SECONDS = 5;
const WAKE_AT_ONCE = 500;
const PURGE_AT_ONCE = 1_000;
/** For how many times its time-to-live a worker that is gone is still listed as missing. */
const LISTED_LIVES = 20;
/** Advisory lock of the one process that sweeps. */
const SWEEP_LOCK = 2481701;

/** What one sweep did. */
export interface Sweep {
  /** Tasks of vanished workers that run again. */
  readonly rerun: number;
  /** Tasks of vanished workers that were ended. */
  readonly given_up: number;
  readonly unblocked: number;
  readonly called_again: number;
  readonly purged: number;
  /** Tasks of schedules that were due. */
  readonly dispatched: number;
}

/** `progress_reports` with its open reports closed. */
const closedReports = (fate: Sql): Sql => sql`(
  select coalesce(jsonb_agg(case when report->>'state' = 'running' then report || jsonb_build_object('state', ${fate}) else report end
    order by place), '[]')
  from jsonb_array_elements(progress_reports) with ordinality as open(report, place))`;

/**
 * Tasks that nobody runs any more. A server that has just come back has not heard from its workers yet, so it judges none of
 * them in the first time-to-live after its start.
 */
const abandoned = (ttl: number): Sql => sql`
  select t.id, t.name, t.state, t.fence from task t
  where t.state in ('running', 'canceling')
    and t.started_at < clock_timestamp() - make_interval(secs => ${ttl}::float8)
    and pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => ${ttl}::float8)
    and not exists (
      select from worker w where w.id = t.worker_id and w.last_heartbeat > clock_timestamp() - make_interval(secs => ${ttl}::float8))
  for update of t skip locked`;

async function takeOver(tx: Queryable, { catalog, config, log }: Services): Promise<{ rerun: number; given_up: number }> {
  const tasks = await tx.query<Pick<ClaimedTask, 'id' | 'name' | 'fence'> & { state: string }>(abandoned(config.PULP_WORKER_TTL));
  if (tasks.length === 0) return { rerun: 0, given_up: 0 };
  const mayRunAgain = ({ name, fence }: (typeof tasks)[number]) => catalog.task(name)?.rerun && fence < LAST_FENCE;
  const again = tasks.filter((task) => task.state === 'running' && mayRunAgain(task)).map(({ id }) => id);
  const over = tasks.map(({ id }) => id).filter((id) => !again.includes(id));
  // The fence rises here already: the worker that was given up, if it lives, can neither publish nor end the task.
  await tx.execute(sql`
    update task set state = 'waiting', started_at = null, worker_id = null, unblocked_at = clock_timestamp(), fence = fence + 1,
      progress_reports = '[]', created_resources = '{}', created_resource_prns = '{}', pulp_last_updated = clock_timestamp()
    where id = any(${again}::uuid[])`);
  await tx.query(sql`
    with ended as (
      update task set state = case state when 'canceling' then 'canceled' else 'failed' end, finished_at = clock_timestamp(),
        fence = fence + 1, error = case state when 'running' then ${JSON.stringify(WORKER_MISSING)}::jsonb end,
        progress_reports = ${closedReports(sql`case state when 'canceling' then 'canceled' else 'failed' end`)},
        pulp_last_updated = clock_timestamp()
      where id = any(${over}::uuid[]) returning id
    )
    select pg_notify(${DONE_CHANNEL}, id::text)::text from ended`);
  log.warn({ rerun: again, given_up: over }, 'workers have gone missing; their tasks were handed on or ended');
  return { rerun: again.length, given_up: over.length };
}

/** Unblocks what nothing stands in the way of, whoever should have done so. Without the locks: what it misses it finds next time. */
async function unblock(tx: Queryable): Promise<number> {
  await tx.execute(sql`
    delete from task_reservation r using task t where t.id = r.task_id and t.state = any(${FINAL_STATES}::text[])`);
  return tx.execute(sql`
    update task set unblocked_at = clock_timestamp(), pulp_last_updated = clock_timestamp()
    where id in (
      select t.id from task t left join (${allBlocked}) blocked on blocked.task_id = t.id
      where t.state = 'waiting' and t.unblocked_at is null and blocked.task_id is null
      for update of t skip locked)`);
}

/** Runnable tasks that no worker has taken for a while, and those that this sweep made runnable. */
const lost: Sql = sql`
  select id, fence from task
  where state = 'waiting' and unblocked_at is not null
    and (unblocked_at < clock_timestamp() - make_interval(secs => ${LOST_AFTER_SECONDS}) or unblocked_at >= transaction_timestamp())
  order by seq limit ${WAKE_AT_ONCE}`;

async function purge(tx: Queryable, { config }: Services): Promise<number> {
  await tx.execute(sql`
    delete from worker where last_heartbeat < clock_timestamp() - make_interval(secs => ${config.PULP_WORKER_TTL * LISTED_LIVES}::float8)`);
  await removeEndedSessions(tx);
  await expireAudit(tx, config.DECKLE_AUDIT_RETENTION_DAYS);
  await compactRowCounts(tx);
  if (config.DECKLE_TASK_RETENTION_DAYS === 0) return 0;
  return tx.execute(sql`
    delete from task where id in (
      select id from task where state = any(${FINAL_STATES}::text[])
        and finished_at < clock_timestamp() - make_interval(days => ${config.DECKLE_TASK_RETENTION_DAYS}::int)
      limit ${PURGE_AT_ONCE} for update skip locked)`);
}

/**
 * One sweep, unless another process is at it: then undefined. Without `judgeWorkers` nobody's heartbeat is looked at, for
 * who has lost the database himself cannot tell whether the others' silence is theirs.
 */
export async function sweepTasks(services: Services, judgeWorkers = true): Promise<Sweep | undefined> {
  const swept = await services.db.transaction(async (tx) => {
    const [lock] = await tx.query<{ mine: boolean }>(sql`select pg_try_advisory_xact_lock(${SWEEP_LOCK}::bigint) as mine`);
    if (!lock?.mine) return undefined;
    const { rerun, given_up } = judgeWorkers ? await takeOver(tx, services) : { rerun: 0, given_up: 0 };
    const unblocked = await unblock(tx);
    const wakeUps = await tx.query<WakeUp>(lost);
    return { rerun, given_up, unblocked, wakeUps, purged: await purge(tx, services) };
  });
  if (!swept) return undefined;
  const { wakeUps, ...counts } = swept;
  await wake(services, wakeUps);
  return { ...counts, called_again: wakeUps.length, dispatched: await dispatchDue(services) };
}

/**
 * Sweeps every few seconds, in one of all processes at a time. What it finds in order it leaves alone, so it may run in as
 * many processes as there are.
 */
export function startSweeper(services: Services): Repeated {
  let failedAt = Number.NEGATIVE_INFINITY;
  return startRepeating(services.log, { period_ms: PERIOD_MS, failed: 'sweep of the tasks failed; trying again' }, async () => {
    try {
      await sweepTasks(services, performance.now() - failedAt > services.config.PULP_WORKER_TTL * 1000);
    } catch (error) {
      failedAt = performance.now();
      throw error;
    }
  });
}
