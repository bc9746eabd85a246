import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { v7 } from 'uuid';
import type { z } from 'zod';
import { readConfig } from '../../../src/config.ts';
import { openAccess } from '../../../src/core/access/access.ts';
import { dispatch } from '../../../src/core/tasks/dispatch.ts';
import { task } from '../../../src/core/tasks/resource.ts';
import { openTaskEnds } from '../../../src/core/tasks/wait.ts';
import { openDatabase } from '../../../src/db/database.ts';
import { sql } from '../../../src/db/sql.ts';
import { catalogOf } from '../../../src/kit/catalog.ts';
import { definePlugin } from '../../../src/kit/define-plugin.ts';
import type { TaskDefinition } from '../../../src/kit/define-task.ts';
import type { Services } from '../../../src/kit/services.ts';
import { secretBox } from '../../../src/lib/secret-box.ts';
import { openQueue } from '../../../src/queue/bullmq.ts';
import { filesystemStorage } from '../../../src/storage/filesystem.ts';
import { testTasks } from './test-tasks.ts';

/** What every process of a test has to agree on. */
export interface RigUrls {
  readonly database: string;
  readonly redis?: string;
  /** Seconds; small, so that a vanished worker is noticed soon. */
  readonly ttl: number;
  /** Base64, of the secret box. */
  readonly key: string;
  readonly connections?: number;
}

export const rigUrls = (database: string, rest: Partial<RigUrls> = {}): RigUrls => ({
  database,
  ttl: 2,
  key: randomBytes(32).toString('base64'),
  ...rest,
});

const testPlugin = definePlugin({
  component: 'test',
  compatibleWith: '1.2.3',
  package: 'test',
  module: 'test',
  resources: [task],
  tasks: testTasks,
});

/** A task's row, as far as the tests look at it. */
export interface TaskRow {
  readonly id: string;
  readonly seq: number;
  readonly state: string;
  readonly unblocked_at: string | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly error: Record<string, unknown> | null;
  readonly result: unknown;
  readonly worker_id: string | null;
  readonly fence: number;
  readonly progress_reports: readonly Record<string, unknown>[];
  readonly created_resources: readonly string[];
  readonly created_resource_prns: readonly string[];
  readonly reserved_resources_record: readonly string[];
}

export interface Rig {
  readonly services: Services;
  dispatch<Args extends z.ZodType>(
    definition: TaskDefinition<Args>,
    args: z.input<Args>,
    locks?: { exclusive?: readonly string[]; shared?: readonly string[] },
  ): Promise<string>;
  row(id: string): Promise<TaskRow>;
  /** The row of a task that has ended; fails when it has not after so many milliseconds. */
  ended(id: string, milliseconds?: number): Promise<TaskRow>;
  close(): Promise<void>;
}

/** Services on real parts, with the test's tasks in the catalog. */
export async function openRig(urls: RigUrls): Promise<Rig> {
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const folder = mkdtempSync(join(tmpdir(), 'deckle-tasks-'));
  const db = openDatabase(urls.database, { max: urls.connections ?? 10, log });
  await db.execute(sql`insert into domain (id, name) values (${v7()}::uuid, 'default') on conflict (name) do nothing`);
  await db.execute(sql`create table if not exists test_heard (task_id uuid, verdict text)`);
  const [domain] = await db.query<{ id: string; name: string }>(sql`select id, name from domain`);
  if (!domain) throw new Error('no domain');
  const storage = await filesystemStorage({ root: folder, log });
  const queue = await openQueue({ redis: urls.redis, database: urls.database }, log);
  const catalog = catalogOf([testPlugin]);
  const access = await openAccess({ db, domain, catalog });
  const services: Services = {
    config: readConfig({ PULP_WORKER_TTL: String(urls.ttl) }),
    db,
    storage,
    queue,
    secrets: secretBox([Buffer.from(urls.key, 'base64')]),
    log,
    clock: () => new Date(),
    domain,
    catalog,
    access,
  };
  const ends = await openTaskEnds(services);
  const row = async (id: string): Promise<TaskRow> => {
    const [task] = await db.query<TaskRow>(sql`select * from task where id = ${id}::uuid`);
    if (!task) throw new Error(`no task ${id}`);
    return task;
  };
  return {
    services,
    async dispatch(definition, args, locks = {}) {
      const options = { ...locks, domain_id: domain.id, user_id: null, correlation_id: 'test' };
      return (await dispatch(services, definition, args, options)).id;
    },
    row,
    async ended(id, milliseconds = 20_000) {
      const state = await ends.wait(id, milliseconds);
      const task = await row(id);
      if (!state) throw new Error(`task ${id} has not ended after ${milliseconds} ms: ${JSON.stringify(task)}`);
      return task;
    },
    async close() {
      await ends.close();
      await queue.close();
      await storage.close();
      await access.close();
      await db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
