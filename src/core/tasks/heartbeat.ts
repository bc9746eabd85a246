import { hostname } from 'node:os';
import { v7 } from 'uuid';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { setProcessRow } from './process-row.ts';

export type AppType = 'worker' | 'api' | 'content';

/** A process that shows itself in `worker`. */
export interface Heartbeat {
  readonly id: string;
  /** No further beats, and the row is removed: the process has left in order. */
  stop(): Promise<void>;
}

export const heartbeatMs = (config: Services['config']): number => Math.min(config.PULP_WORKER_TTL * 200, 3_000);

/**
 * A task that is this process's by its row, and that nobody in it knows, is given away after so long. A claim that is on its way
 * takes less, and so does a task that runs inside a request.
 */
const UNKNOWN_AFTER_SECONDS = 60;

async function giveAwayUnknown(
  { db, log }: Services,
  { id, name, atWork }: { readonly id: string; readonly name: string; readonly atWork: readonly string[] },
): Promise<void> {
  const tasks = await db.query<{ id: string }>(sql`
    update task set worker_id = null
    where worker_id = ${id}::uuid and state in ('running', 'canceling') and id <> all(${atWork}::uuid[])
      and started_at < clock_timestamp() - make_interval(secs => ${UNKNOWN_AFTER_SECONDS})
    returning id`);
  if (tasks.length === 0) return;
  log.warn({ name, tasks: tasks.map((task) => task.id) }, 'tasks that this process has claimed and does not run are handed on');
}

/**
 * Registers this process and keeps its heartbeat. The first beat must succeed, later ones that fail are made good by the next.
 * `onBeat` runs after each beat that reached the database. `atWork` are the tasks that this process knows it runs: any other that
 * has its name on it was claimed over a connection that broke before the answer, and is left for the sweeper to hand on.
 */
export async function startHeartbeat(
  services: Services,
  appType: AppType,
  options: {
    readonly name?: string | undefined;
    readonly onBeat?: () => Promise<void>;
    readonly atWork: () => readonly string[];
  },
): Promise<Heartbeat> {
  const { db, log } = services;
  const id = v7();
  const name = options.name ?? `${process.pid}@${hostname()}`;
  const versions = JSON.stringify(services.catalog.versions);
  // An insert each time: a row that was removed while this process had lost the database comes back.
  const beat = () =>
    db.execute(sql`
      insert into worker (id, app_type, name, versions, last_heartbeat, pulp_created, pulp_last_updated)
      values (${id}::uuid, ${appType}, ${name}, ${versions}::jsonb, clock_timestamp(), clock_timestamp(), clock_timestamp())
      on conflict (id) do update set last_heartbeat = clock_timestamp(), pulp_last_updated = clock_timestamp()`);
  await beat();
  if (appType !== 'content') setProcessRow(services, id);

  const period = heartbeatMs(services.config);
  let stopped = false;
  let missed = false;
  let timer: NodeJS.Timeout | undefined;
  let beating: Promise<void> = Promise.resolve();
  const next = async (): Promise<void> => {
    try {
      await beat();
      if (missed) log.info({ name }, 'heartbeat is back');
      missed = false;
      await giveAwayUnknown(services, { id, name, atWork: options.atWork() });
      await options.onBeat?.();
    } catch (error) {
      if (!missed) log.warn({ err: error, name }, 'heartbeat does not reach the database; trying again');
      missed = true;
    }
    if (!stopped) schedule();
  };
  const schedule = () => {
    timer = setTimeout(() => {
      beating = next();
    }, period);
  };
  schedule();
  return {
    id,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await beating;
      try {
        await db.execute(sql`delete from worker where id = ${id}::uuid`);
      } catch (error) {
        log.warn({ err: error, name }, 'process not signed off; it counts as missing until its row expires');
      }
    },
  };
}
