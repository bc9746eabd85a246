import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { access, readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../../../src/db/database.ts';
import { sql } from '../../../src/db/sql.ts';
import { eventually } from '../../queue/eventually.ts';
import { type Answer, orStop, startApp, type TestApp } from '../../support/app.ts';
import { startUpstream, type Upstream } from '../../support/upstream-registry.ts';

type Body = Answer['body'];

const API = '/pulp/api/v3/';
const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** A repository that is synced and served. */
export interface Mirror {
  readonly repository: string;
  readonly distribution: string;
  readonly basePath: string;
}

/** A Deckle and an upstream registry, and what upkeep's tests do with them. */
export interface UpkeepWorld {
  readonly app: TestApp;
  readonly upstream: Upstream;
  /** Makes a remote of the upstream's repository `app`; answers its href. */
  remote(fields?: object): Promise<string>;
  mirror(fields?: object): Promise<Mirror>;
  sync(mirror: Mirror, remote: string, fields?: object): Promise<Body>;
  /** Deletes the repository and what serves it: its content is in no version any more. */
  forget(mirror: Mirror): Promise<void>;
  cleanup(body?: object): Promise<Body>;
  /** Pulls a tag with all below it and compares every byte with its digest. Answers the digests of blobs. */
  pull(mirror: Mirror, tag: string): Promise<string[]>;
  /** Bytes of a blob, or the status that refuses it. */
  blob(mirror: Mirror, digest: string): Promise<Buffer | number>;
  /** Paths of stored files, relative to the storage. */
  stored(): Promise<string[]>;
  /** Where the bytes of a digest are stored. */
  pathOf(digest: string): string;
  /** How many rows the table has. */
  rows(table: 'content' | 'artifact' | 'doomed_file'): Promise<number>;
  /** Lets a day pass for all that is there. */
  age(): Promise<void>;
  stop(): Promise<void>;
}

let named = 0;
const name = (): string => {
  named += 1;
  return `upkeep-${named}`;
};

export const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The task, which has to be completed. */
export function completed(task: Body): Body {
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  return task;
}

/** `<code> <state> <done>/<total>` of each report, sorted. */
export const reports = ({ progress_reports }: Body): string[] =>
  (progress_reports as { code: string; state: string; done: number; total: number | null }[])
    .map(({ code, state, total, done }) => `${code} ${state} ${done}/${total ?? '-'}`)
    .sort();

export async function startUpkeepWorld(env: Readonly<Record<string, string>> = {}): Promise<UpkeepWorld> {
  const app = await startApp({ env: { DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8', ...env } });
  const upstream = await orStop(app, () => startUpstream());
  const { db, config } = app.services;
  const media = join(config.DATA_DIR, 'media');
  const made = async (path: string, body: object): Promise<string> => {
    const answer = await app.request('POST', `${API}${path}/container/container/`, body);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return answer.body.pulp_href;
  };
  const world: UpkeepWorld = {
    app,
    upstream,
    remote: (fields = {}) =>
      made('remotes', { name: name(), url: upstream.url, upstream_name: 'app', max_retries: 0, ...fields }),
    async mirror(fields = {}) {
      const basePath = name();
      const repository = await made('repositories', { name: basePath, ...fields });
      const distribution = completed(
        await app.run(`${API}distributions/container/container/`, { name: basePath, base_path: basePath, repository }),
      );
      return { repository, distribution: distribution.created_resources[0], basePath };
    },
    sync: async ({ repository }, remote, fields = {}) => app.run(`${repository}sync/`, { remote, ...fields }),
    async forget({ repository, distribution }) {
      completed(await app.finished(await app.request('DELETE', distribution)));
      const gone = await app.request('DELETE', repository);
      if (gone.status !== 404) completed(await app.finished(gone));
    },
    cleanup: async (body = { orphan_protection_time: 0 }) => app.run(`${API}orphans/cleanup/`, body),
    async pull(mirror, tag) {
      const walk = async (reference: string): Promise<string[]> => {
        const { status, bytes } = await get(app, mirror.basePath, `manifests/${reference}`);
        assert.equal(status, 200, `manifest ${reference} of ${mirror.basePath}: ${bytes}`);
        if (reference.includes(':')) assert.equal(digestOf(bytes), reference);
        const { manifests, config, layers } = JSON.parse(bytes.toString());
        if (manifests) {
          const below = await Promise.all(manifests.map((child: { digest: string }) => walk(child.digest)));
          return below.flat() as string[];
        }
        const blobs: string[] = [config, ...layers].map(({ digest }) => digest);
        for (const digest of blobs) {
          const blob = await world.blob(mirror, digest);
          assert.ok(Buffer.isBuffer(blob), `blob ${digest} of ${mirror.basePath}:${tag} was answered with ${blob}`);
          assert.equal(digestOf(blob), digest);
        }
        return blobs;
      };
      return walk(tag);
    },
    async blob({ basePath }, digest) {
      const { status, bytes } = await get(app, basePath, `blobs/${digest}`);
      return status === 200 ? bytes : status;
    },
    stored: () => storedFiles(app),
    pathOf(digest) {
      const hex = digest.slice(digest.indexOf(':') + 1);
      return join(media, 'artifact', hex.slice(0, 2), hex.slice(2));
    },
    async rows(table) {
      const counts = {
        content: sql`select count(*) as count from content`,
        artifact: sql`select count(*) as count from artifact`,
        doomed_file: sql`select count(*) as count from doomed_file`,
      };
      const [row] = await db.query<{ count: number }>(counts[table]);
      return row?.count ?? 0;
    },
    age: () => age(app),
    async stop() {
      await app.stop();
      await upstream.stop();
    },
  };
  return world;
}

/** Paths of stored files. */
async function storedFiles({ services }: TestApp): Promise<string[]> {
  const folder = join(services.config.DATA_DIR, 'media', 'artifact');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Lets a day pass for all that is there. */
export async function age(app: TestApp): Promise<void> {
  const { db } = app.services;
  await db.execute(sql`update content set last_seen = last_seen - interval '1 day'`);
  await db.execute(sql`update artifact set last_seen = last_seen - interval '1 day'`);
  const yesterday = new Date(Date.now() - 24 * 3600 * 1000);
  // Of a file that goes meanwhile nothing is left to be older.
  for (const path of await storedFiles(app)) await utimes(path, yesterday, yesterday).catch(() => undefined);
}

/** Resolves when a statement waits for another transaction in this database. */
export const someoneWaits = (db: Database): Promise<boolean> =>
  eventually('somebody waits for a lock', async () => {
    const waiting = await db.query(sql`
      select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`);
    return waiting.length > 0 || undefined;
  });

/** Whether a file is there. */
export const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function get(app: TestApp, basePath: string, path: string): Promise<{ status: number; bytes: Buffer }> {
  const url = `${app.url}/v2/${basePath}/${path}`;
  const first = await fetch(url, { headers: { accept: ACCEPT } });
  if (first.status !== 401) return { status: first.status, bytes: Buffer.from(await first.arrayBuffer()) };
  await first.arrayBuffer();
  const [, realm, service, scope] =
    /realm="([^"]*)",service="([^"]*)",scope="([^"]*)"/.exec(first.headers.get('www-authenticate') ?? '') ?? [];
  const asked = `${app.url}${new URL(realm as string).pathname}?service=${service}&scope=${scope}`;
  const token = await app.request('GET', asked, undefined, { user: null });
  const response = await fetch(url, { headers: { accept: ACCEPT, authorization: `Bearer ${token.body.token}` } });
  return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) };
}
