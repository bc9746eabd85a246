import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';
import { type FixtureKind, type OstreeFixture, ostreeFixture } from '../../support/ostree-fixtures.ts';
import { OstreeUpstream, type OstreeUpstreamOptions } from '../../support/upstream-ostree.ts';

type Body = Answer['body'];
type Counts = Record<string, number>;

/** A Deckle, upstreams and a folder for repositories, all of which end together. */
export interface SyncWorld {
  readonly app: TestApp;
  readonly folder: string;
  /** Makes a repository with the real `ostree` and serves it. */
  upstream(
    kind: FixtureKind,
    options?: OstreeUpstreamOptions & { readonly seed?: number },
  ): Promise<{ fixture: OstreeFixture; upstream: OstreeUpstream }>;
  /** Serves a folder. */
  serve(folder: string, options?: OstreeUpstreamOptions): Promise<OstreeUpstream>;
  /** Makes a remote; answers its href. */
  remote(url: string, fields?: object): Promise<string>;
  /** Makes a repository; answers its href. */
  repository(fields?: object): Promise<string>;
  /** The task of a sync, at its end. */
  sync(repository: string, remote: string, fields?: object): Promise<Body>;
  /** Serves the repository's latest version; answers its URL. */
  distribute(repository: string): Promise<string>;
  /** All units of a kind of endpoint (`refs`, `objects`, …) that a version holds. */
  units(endpoint: string, version: string): Promise<Body[]>;
  stop(): Promise<void>;
}

let named = 0;
const name = (): string => {
  named += 1;
  return `sync-${named}`;
};

export async function startSyncWorld(env: Readonly<Record<string, string>> = {}): Promise<SyncWorld> {
  const app = await startApp({ env: { DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8', ...env } });
  const folder = await mkdtemp(join(tmpdir(), 'deckle-ostree-'));
  const upstreams: OstreeUpstream[] = [];
  const made = async (path: string, body: object): Promise<string> => {
    const answer = await app.request('POST', `/pulp/api/v3/${path}/ostree/ostree/`, body);
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body.pulp_href;
  };
  const world: SyncWorld = {
    app,
    folder,
    async upstream(kind, options) {
      const fixture = await ostreeFixture(kind, join(folder, name()), options?.seed);
      return { fixture, upstream: await world.serve(fixture.path, options) };
    },
    async serve(path, options) {
      const upstream = await OstreeUpstream.start(path, options);
      upstreams.push(upstream);
      return upstream;
    },
    remote: (url, fields = {}) => made('remotes', { name: name(), url, max_retries: 0, ...fields }),
    repository: (fields = {}) => made('repositories', { name: name(), compute_delta: false, ...fields }),
    sync: (repository, remote, fields = {}) => app.run(`${repository}sync/`, { remote, ...fields }),
    async distribute(repository) {
      const base_path = name();
      const task = await app.run('/pulp/api/v3/distributions/ostree/ostree/', { name: base_path, base_path, repository });
      if (task.state !== 'completed') throw new Error(JSON.stringify(task.error));
      return `${app.url}/pulp/content/${base_path}/`;
    },
    async units(endpoint, version) {
      const units: Body[] = [];
      let next: string | null = `/pulp/api/v3/content/ostree/${endpoint}/?limit=1000&repository_version=${version}`;
      while (next) {
        const { body }: Answer = await app.request('GET', next);
        units.push(...body.results);
        next = body.next;
      }
      return units;
    },
    async stop() {
      await Promise.all(upstreams.map((upstream) => upstream.stop()));
      await app.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return world;
}

/** What the new version has added, removed or holds: `{ object: 5, commit: 1 }`. Fails where the task made none. */
export function change(task: Body, part: 'added' | 'removed' | 'present'): Counts {
  if (task.state !== 'completed') throw new Error(`the sync ended as ${task.state}: ${task.error?.description}`);
  if (!task.result?.content_summary) throw new Error('the sync made no version');
  const counts = Object.entries(task.result.content_summary[part] as Record<string, { count: number }>);
  return Object.fromEntries(counts.map(([type, { count }]) => [type.replace('ostree.', ''), count]));
}

/** `<code> <state> <done>/<total>` of each report, sorted. */
export const reports = ({ progress_reports }: Body): string[] =>
  (progress_reports as { code: string; state: string; done: number; total: number | null }[])
    .map(({ code, state, total, done }) => `${code} ${state} ${done}/${total ?? '-'}`)
    .sort();
