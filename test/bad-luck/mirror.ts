import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageContent } from '../../src/demo/image.ts';
import { sha256Digest } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { createInstallation, type DeckleProcess, type Installation } from '../support/deckle-process.ts';
import { createDatabase } from '../support/postgres.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';

const API = '/pulp/api/v3/';
const FINAL = new Set(['completed', 'failed', 'canceled', 'skipped']);
const AUTHORIZATION = `Basic ${btoa('admin:password')}`;

/** What the tests read of a task. */
export interface Task {
  readonly pulp_href: string;
  readonly state: string;
  readonly unblocked_at: string | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly error: { readonly description: string; readonly error_code?: string } | null;
  readonly created_resources: readonly string[];
  readonly progress_reports: readonly { readonly code: string; readonly state: string; readonly done: number }[];
}

/** A Deckle of real processes (`deckle start`), spoken to over HTTP alone, and an upstream that may misbehave. */
export interface Mirror {
  readonly upstream: Upstream;
  readonly installation: Installation;
  /** `deckle start`, as it was started last. */
  deckle: DeckleProcess;
  /** Makes something, `path` being that of its list below the API, and answers its href. */
  create(path: string, body: object): Promise<string>;
  /** Makes a repository and answers its href. */
  repository(): Promise<string>;
  /** Makes a remote for a repository of the upstream and answers its href; without retries unless it says so. */
  remote(upstream_name: string, settings?: object): Promise<string>;
  /** Asks for a sync and answers the href of its task. */
  begin(repository: string, remote: string): Promise<string>;
  task(href: string): Promise<Task>;
  /** The task at its end. */
  ended(href: string, milliseconds?: number): Promise<Task>;
  /** Syncs to the end. */
  sync(repository: string, remote: string): Promise<Task>;
  /** As `sync`, where nothing is in the way. */
  synced(repository: string, remote: string): Promise<Task>;
  /** Numbers of the versions of a repository. */
  versions(repository: string): Promise<number[]>;
  /** The base path at which a repository is served; distributed once. */
  distribute(kind: 'container/container' | 'ostree/ostree', repository: string): Promise<string>;
  /** Pulls the latest version, whole, as clients do, and checks each byte by its digest, and the tags against `expected`. */
  pullAll(repository: string, expected: Readonly<Record<string, ImageContent>>): Promise<void>;
  /** How many of these blobs are stored. */
  stored(digests: readonly string[]): Promise<number>;
  /** Unfinished files. */
  temporaryFiles(): Promise<string[]>;
  stop(): Promise<void>;
}

let named = 0;
const newName = (): string => {
  named += 1;
  return `bad-luck-${named}`;
};

/** Everything that belongs to an image, itself included. */
function digestsOf({ digest, blobs, children }: ImageContent): string[] {
  return [digest, ...blobs.map((blob) => blob.digest), ...children.flatMap(digestsOf)];
}

/**
 * Starts a Deckle on the PostgreSQL of the tests, or on the one of `settings`, and its upstream. Serves the registry with Basic
 * authentication; counts a silent worker as gone after three seconds.
 */
export async function startMirror(settings: Readonly<Record<string, string>> = {}): Promise<Mirror> {
  const database = settings.DATABASE_URL === undefined ? await createDatabase() : undefined;
  const upstream = await startUpstream();
  const installation = await createInstallation({
    ...(database ? { DATABASE_URL: database.url } : {}),
    ADMIN_PASSWORD: 'password',
    PULP_TOKEN_AUTH_DISABLED: 'true',
    PULP_WORKER_TTL: '3',
    ...settings,
  });
  const { request } = installation;
  const close = async (): Promise<void> => {
    await installation.remove();
    await upstream.stop();
    await database?.drop();
  };

  const create = async (path: string, body: object): Promise<string> => {
    const answer = await request('POST', `${API}${path}`, body);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return (answer.body as { pulp_href: string }).pulp_href;
  };
  const tasked = async (method: string, path: string, body?: object): Promise<string> => {
    const answer = await request(method, path, body);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    return (answer.body as { task: string }).task;
  };
  /** Where repositories are served. */
  const served = new Map<string, string>();
  const pull = async (path: string): Promise<Buffer> => {
    const response = await fetch(`${installation.url}/v2/${path}`, {
      headers: { authorization: AUTHORIZATION, accept: '*/*' },
    });
    assert.equal(response.status, 200, path);
    return Buffer.from(await response.arrayBuffer());
  };

  const mirror: Mirror = {
    upstream,
    installation,
    deckle: await installation.start().catch(async (error: unknown) => {
      await close();
      throw error;
    }),
    create,
    repository: () => create('repositories/container/container/', { name: newName() }),
    remote: (upstream_name, rest = {}) =>
      create('remotes/container/container/', {
        ...{ name: newName(), url: upstream.url, upstream_name, policy: 'immediate', max_retries: 0 },
        ...rest,
      }),
    begin: (repository, remote) => tasked('POST', `${repository}sync/`, { remote }),
    task: async (href) => (await request('GET', href)).body as Task,
    async ended(href, milliseconds = 60_000) {
      let seen: Task | undefined;
      const look = async () => {
        // A server that has just been killed is back in a moment.
        seen = await mirror.task(href).catch(() => undefined);
        return seen && FINAL.has(seen.state) && seen;
      };
      return eventually(`the end of ${href}`, look, milliseconds).catch((error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify(seen)}\n${mirror.deckle.output()}`);
      });
    },
    sync: async (repository, remote) => mirror.ended(await mirror.begin(repository, remote)),
    async synced(repository, remote) {
      const task = await mirror.sync(repository, remote);
      assert.equal(task.state, 'completed', task.error?.description);
      return task;
    },
    async versions(repository) {
      const { body } = await request('GET', `${repository}versions/?ordering=number`);
      return (body as { results: { number: number }[] }).results.map(({ number }) => number);
    },
    async distribute(kind, repository) {
      const known = served.get(repository);
      if (known !== undefined) return known;
      const path = newName();
      const distribution = { name: path, base_path: path, repository };
      const task = await mirror.ended(await tasked('POST', `${API}distributions/${kind}/`, distribution));
      assert.equal(task.state, 'completed');
      served.set(repository, path);
      return path;
    },
    async pullAll(repository, expected) {
      const path = await mirror.distribute('container/container', repository);
      const { tags } = JSON.parse(String(await pull(`${path}/tags/list`))) as { tags: string[] };
      assert.deepEqual(tags, Object.keys(expected).sort());
      for (const [tag, image] of Object.entries(expected)) {
        assert.equal(sha256Digest(await pull(`${path}/manifests/${tag}`)), image.digest);
        const blobs = new Set([image, ...image.children].flatMap((each) => each.blobs.map(({ digest }) => digest)));
        for (const digest of digestsOf(image)) {
          const bytes = await pull(`${path}/${blobs.has(digest) ? 'blobs' : 'manifests'}/${digest}`);
          assert.equal(sha256Digest(bytes), digest);
        }
      }
    },
    async stored(digests) {
      const { body } = await request('GET', `${API}artifacts/?limit=10000&fields=sha256`);
      const stored = new Set((body as { results: { sha256: string }[] }).results.map(({ sha256 }) => `sha256:${sha256}`));
      return digests.filter((digest) => stored.has(digest)).length;
    },
    async temporaryFiles() {
      const folder = join(installation.env.DATA_DIR ?? installation.dataDir, 'media', 'tmp');
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    },
    async stop() {
      mirror.deckle.kill('SIGTERM');
      await mirror.deckle.exit;
      await close();
    },
  };
  return mirror;
}

/** Requests of one upstream repository, as `GET blob` → how many. */
export function requestsOf({ requests }: Upstream, repository: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const request of requests.log.filter((each) => each.repository === repository)) {
    const key = `${request.method} ${request.kind}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
