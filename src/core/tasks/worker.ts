import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { type Repeated, startRepeating } from '../repeat.ts';
import { startUploadSweeper } from '../uploads/sweep-uploads.ts';
import { TaskCanceled, TaskSuperseded, WorkerShutdown } from './abort-cause.ts';
import { CANCEL_CHANNEL } from './channels.ts';
import { claimTask } from './claimed-task.ts';
import { startHeartbeat } from './heartbeat.ts';
import { runTask, type TaskRun } from './run-task.ts';
import { keepSchedules } from './schedules.ts';
import { startSweeper } from './sweeper.ts';

/** How long tasks that cannot be run again may go on when the worker is stopped; then they are aborted. */
const STOP_GRACE_MS = 3_000;
/** By when a stopped worker is gone, whatever its tasks do. Docker kills after 10 s. */
const STOP_LIMIT_MS = 8_500;

/** A worker at work in this process. */
export interface TaskWorker {
  /**
   * Takes no more tasks and ends those at work: what is safe to run twice goes to another worker, the rest gets a few
   * seconds and then fails. Afterwards the services can be closed.
   */
  stop(): Promise<void>;
}

/** The runs at work in this process, by task. */
type Runs = Map<string, TaskRun>;

/** Aborts what was canceled or taken away, as the rows say: covers notifications that were missed. */
async function compareWithRows({ db }: Services, runs: Runs): Promise<void> {
  if (runs.size === 0) return;
  // Only these: of a run that begins while the rows are on their way they tell nothing.
  const compared = [...runs];
  const rows = await db.query<{ id: string; state: string; fence: number }>(
    sql`select id, state, fence from task where id = any(${compared.map(([id]) => id)}::uuid[])`,
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const [id, run] of compared) {
    const row = byId.get(id);
    if (row?.fence === run.fence && row.state === 'canceling') run.abort(new TaskCanceled());
    else if (row?.fence !== run.fence || row.state !== 'running') run.abort(new TaskSuperseded());
  }
}

async function stopRuns(runs: Runs, stopConsuming: () => Promise<void>): Promise<void> {
  const consumed = stopConsuming();
  const ended = Promise.all([...runs.values()].map(({ done }) => done));
  for (const run of runs.values()) if (run.rerun) run.abort(new WorkerShutdown());
  await Promise.race([ended, delay(STOP_GRACE_MS, undefined, { ref: false })]);
  for (const run of runs.values()) run.abort(new WorkerShutdown());
  await Promise.race([ended, delay(STOP_LIMIT_MS - STOP_GRACE_MS, undefined, { ref: false })]);
  for (const run of runs.values()) run.abandon();
  await consumed;
}

/** Sweeps for each plugin every minute or so. */
const startPluginSweepers = (services: Services): Repeated[] =>
  services.catalog.plugins.flatMap(({ component, sweep }) => {
    const failed = `sweep of the plugin ${component} failed; trying again`;
    return sweep ? [startRepeating(services.log, { period_ms: 60_000, failed }, () => sweep(services))] : [];
  });

/**
 * Starts to run tasks in this process, DECKLE_TASKS_PER_WORKER at once, until stopped. PostgreSQL must be there at the start;
 * when it or Redis goes away later, the worker carries on by itself once they are back.
 */
export async function startWorker(services: Services, options: { readonly name?: string } = {}): Promise<TaskWorker> {
  const { db, queue, catalog, config, log } = services;
  const runs: Runs = new Map();
  let stopping = false;
  const heartbeat = await startHeartbeat(services, 'worker', {
    name: options.name,
    atWork: () => [...runs.keys()],
    onBeat: () => compareWithRows(services, runs),
  });

  /** One wake-up. That it was late, or for a task that another worker has, is nothing special. */
  const handle = async (taskId: string): Promise<void> => {
    if (stopping) return;
    const task = await claimTask(db, taskId, heartbeat.id);
    if (!task) return;
    // It was given up and comes back to the same worker: what is left of the earlier run has lost it.
    runs.get(taskId)?.abort(new TaskSuperseded());
    const run = runTask(services, catalog.task(task.name), task);
    runs.set(taskId, run);
    await run.done;
    if (runs.get(taskId) === run) runs.delete(taskId);
  };
  const stopListening = await db.listen(CANCEL_CHANNEL, (taskId) => runs.get(taskId)?.abort(new TaskCanceled()));
  await keepSchedules(services);
  const sweepers = [startSweeper(services), startUploadSweeper(services), ...startPluginSweepers(services)];
  const stopConsuming = await queue.consume(async (taskId) => {
    try {
      await handle(taskId);
    } catch (error) {
      log.warn({ err: error, task: taskId }, 'task could not be claimed; the sweeper calls for it again');
    }
  }, config.DECKLE_TASKS_PER_WORKER);
  log.info({ worker: heartbeat.id, tasks: config.DECKLE_TASKS_PER_WORKER }, 'worker runs tasks');

  return {
    async stop() {
      stopping = true;
      await Promise.all(sweepers.map((sweeper) => sweeper.stop()));
      await stopRuns(runs, stopConsuming);
      await stopListening();
      await heartbeat.stop();
    },
  };
}
