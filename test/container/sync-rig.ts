import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { v7 } from 'uuid';
import { readConfig } from '../../src/config.ts';
import { bootstrap } from '../../src/core/bootstrap.ts';
import { dispatch } from '../../src/core/tasks/dispatch.ts';
import { openTaskEnds } from '../../src/core/tasks/wait.ts';
import { startWorker } from '../../src/core/tasks/worker.ts';
import { openDatabase } from '../../src/db/database.ts';
import { insertRow } from '../../src/db/rows.ts';
import { sql } from '../../src/db/sql.ts';
import { catalogOf } from '../../src/kit/catalog.ts';
import { prnOf } from '../../src/kit/names.ts';
import type { Services } from '../../src/kit/services.ts';
import { synchronize } from '../../src/plugins/container/tasks/sync.ts';
import { plugins } from '../../src/plugins.ts';
import { openServices } from '../../src/services.ts';
import { createDatabase } from '../support/postgres.ts';

const ENDED_WITHIN_MS = 60_000;

export interface Report {
  readonly code: string;
  readonly message: string;
  readonly state: string;
  readonly total: number | null;
  readonly done: number;
}

/** A sync task that has ended. */
export interface EndedSync {
  readonly id: string;
  readonly state: string;
  readonly error: { readonly description: string; readonly error_code?: string } | null;
  readonly result: VersionResult | null;
  readonly progress_reports: readonly Report[];
  readonly created_resources: readonly string[];
}

type Summary = Readonly<Record<string, { readonly count: number; readonly href: string }>>;

export interface VersionResult {
  readonly pulp_href: string;
  readonly number: number;
  readonly base_version: string | null;
  readonly content_summary: { readonly added: Summary; readonly removed: Summary; readonly present: Summary };
}

export interface RemoteRow {
  readonly url: string;
  readonly upstream_name?: string;
  readonly policy?: string;
  readonly includes?: readonly string[];
  readonly excludes?: readonly string[];
  readonly sigstore?: string;
  readonly max_retries?: number;
  readonly download_concurrency?: number;
  readonly sock_read_timeout?: number;
  readonly username?: string;
  readonly password?: string;
}

/** A worker process's own parts, as `deckle worker` composes them, on a database and storage of their own. */
export interface SyncRig {
  readonly services: Services;
  repository(columns?: Record<string, unknown>): Promise<string>;
  remote(row: RemoteRow): Promise<string>;
  /** Writes the task and answers its id. */
  start(repositoryId: string, remoteId: string, options?: { mirror?: boolean; signed_only?: boolean }): Promise<string>;
  ended(taskId: string): Promise<EndedSync>;
  /** Runs a sync to its end. */
  sync(repositoryId: string, remoteId: string, options?: { mirror?: boolean; signed_only?: boolean }): Promise<EndedSync>;
  /** Names and digests of the tags of the latest version. */
  tags(repositoryId: string): Promise<Record<string, string>>;
  close(): Promise<void>;
}

let named = 0;

/** Starts PostgreSQL, storage, queue and a worker. `env` goes to the configuration. */
export async function startSyncRig(env: Record<string, string> = {}): Promise<SyncRig> {
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const database = await createDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'deckle-sync-'));
  const config = readConfig({
    DATABASE_URL: database.url,
    DATA_DIR: folder,
    DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8',
    ...env,
  });
  const setup = openDatabase(database.url, { max: 1, log });
  await bootstrap(setup, catalogOf(plugins), () => 'password');
  await setup.close();
  const services = await openServices(config, log);
  const worker = await startWorker(services);
  const ends = await openTaskEnds(services);
  const { db, domain, secrets } = services;

  const rig: SyncRig = {
    services,
    async repository(columns = {}) {
      const id = v7();
      named += 1;
      await insertRow(db, 'repository', {
        id,
        domain_id: domain.id,
        pulp_type: 'container.container',
        name: `repository ${named}`,
        ...columns,
      });
      await insertRow(db, 'container_repository', { id });
      await insertRow(db, 'repository_version', { id: v7(), repository_id: id, number: 0 });
      return id;
    },
    async remote({ upstream_name = 'app', includes, excludes, sigstore, username, password, ...columns }) {
      const id = v7();
      named += 1;
      const sealed = Object.entries({ username, password }).flatMap(([column, text]) =>
        text === undefined ? [] : [[column, secrets.seal(text, `remote:${column}:${id}`)]],
      );
      await insertRow(db, 'remote', {
        ...{ id, domain_id: domain.id, pulp_type: 'container.container', name: `remote ${named}`, max_retries: 0 },
        ...columns,
        ...Object.fromEntries(sealed),
      });
      const detail = { includes: includes ?? null, excludes: excludes ?? null, sigstore: sigstore ?? null };
      await insertRow(db, 'container_remote', { id, upstream_name, ...detail });
      return id;
    },
    async start(repository_id, remote_id, { mirror = false, signed_only = false } = {}) {
      const { id } = await dispatch(
        services,
        synchronize,
        { repository_id, remote_id, mirror, signed_only },
        {
          exclusive: [prnOf('container', 'ContainerRepository', repository_id)],
          shared: [prnOf('container', 'ContainerRemote', remote_id)],
          domain_id: domain.id,
          user_id: null,
          correlation_id: 'test',
        },
      );
      return id;
    },
    async ended(taskId) {
      const state = await ends.wait(taskId, ENDED_WITHIN_MS);
      if (!state) throw new Error(`task ${taskId} has not ended`);
      const [row] = await db.query<EndedSync>(sql`
        select id, state, error, result, progress_reports, created_resources from task where id = ${taskId}::uuid`);
      return row as EndedSync;
    },
    sync: async (repositoryId, remoteId, options) => rig.ended(await rig.start(repositoryId, remoteId, options)),
    async tags(repositoryId) {
      const rows = await db.query<{ name: string; digest: string }>(sql`
        select t.name, m.digest from repository_content rc join container_tag t on t.id = rc.content_id
        join container_manifest m on m.id = t.tagged_manifest_id
        where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null order by t.name`);
      return Object.fromEntries(rows.map(({ name, digest }) => [name, digest]));
    },
    async close() {
      await ends.close();
      await worker.stop();
      await services.close();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return rig;
}

const countsOf = (summary: Summary): Record<string, number> =>
  Object.fromEntries(Object.entries(summary).map(([type, { count }]) => [type.replace('container.', ''), count]));

/** What the new version has added, removed or holds: `{ blob: 5, manifest: 2, tag: 2 }`. Fails where the task made none. */
export function change(task: EndedSync, part: 'added' | 'removed' | 'present'): Record<string, number> {
  if (task.state !== 'completed') throw new Error(`the sync ended as ${task.state}: ${task.error?.description}`);
  if (!task.result) throw new Error('the sync made no version');
  return countsOf(task.result.content_summary[part]);
}

/** `<code> <state> <done>/<total>` of each report, sorted. */
export const reports = ({ progress_reports }: EndedSync): string[] =>
  progress_reports.map(({ code, state, total, done }) => `${code} ${state} ${done}/${total ?? '-'}`).sort();
