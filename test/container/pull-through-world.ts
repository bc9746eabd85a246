import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type ImageContent, imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { type Answer, orStop, startApp, type TestApp } from '../support/app.ts';
import { startUpstream, type Upstream, type UpstreamOptions } from '../support/upstream-registry.ts';

export const API = '/pulp/api/v3/';
export const REMOTES = `${API}remotes/container/pull-through/`;
export const CACHES = `${API}distributions/container/pull-through/`;
const PASSWORD = 'Kiesel-7-Wolke';

/** An answer of the registry, its body as it came. */
export interface Pulled {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** Code of the first error. */
  readonly code: string | undefined;
}

/** `name:password`, or null for nobody. */
type User = string | null;

export interface Cache {
  readonly path: string;
  readonly href: string;
  readonly remote: string;
}

/** A Deckle, and an upstream registry whose repositories its caches pull through. */
export interface PullThroughWorld {
  readonly app: TestApp;
  readonly upstream: Upstream;
  /** A new name. */
  name(): string;
  /** An image that no other test has, put into an upstream repository of its own. */
  image(tag?: string): { readonly repository: string; readonly image: ImageContent };
  /** Makes a cache; `remote` and `distribution` are further fields. */
  cache(options?: { readonly remote?: object; readonly distribution?: object }): Promise<Cache>;
  /** The header that a client sends which pulls from a repository. */
  authorizationOf(repository: string, user: User): Promise<Record<string, string>>;
  /** `path`: below `/v2/`. */
  pull(path: string, options?: { readonly user?: User; readonly method?: string }): Promise<Pulled>;
  /** Pulls what the upstream has, and compares the bytes. */
  pullImage(name: string, reference: string, image: ImageContent, user?: User): Promise<void>;
  user(): Promise<{ readonly name: string; readonly login: string }>;
  /** Names of what there is below a path: remotes, repositories, distributions. */
  madeBelow(path: string): Promise<readonly string[]>;
  /** Requests that the upstream had for one of its repositories, in order: `GET manifest latest`. */
  asked(repository: string): readonly string[];
  /** A change by the REST API, at its end. */
  change(method: string, path: string, body?: object): Promise<Answer['body']>;
  stop(): Promise<void>;
}

export const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Starts both; `env` are further settings, `options` what is special about the upstream. */
export async function startPullThroughWorld(
  env: Readonly<Record<string, string>> = {},
  options: UpstreamOptions = {},
): Promise<PullThroughWorld> {
  const upstream = await startUpstream(options);
  const app = await orStop(upstream, () => startApp({ env }));
  let count = 0;
  const name = (): string => {
    count += 1;
    return `word-${count}`;
  };

  async function authorizationOf(repository: string, user: User): Promise<Record<string, string>> {
    if (env.PULP_TOKEN_AUTH_DISABLED === 'true') return user === null ? {} : { authorization: `Basic ${btoa(user)}` };
    return { authorization: `Bearer ${await tokenFor(repository, user)}` };
  }

  async function tokenFor(repository: string, user: User): Promise<string> {
    const challenge = (await fetch(`${app.url}/v2/`)).headers.get('www-authenticate') ?? '';
    const service = /service="([^"]+)"/.exec(challenge)?.[1] ?? '';
    const query = new URLSearchParams({ service, scope: `repository:${repository}:pull` });
    const { status, body } = await app.request('GET', `/token/?${query}`, undefined, { user });
    assert.equal(status, 200);
    return body.token;
  }

  const world: PullThroughWorld = {
    app,
    upstream,
    name,
    authorizationOf,
    image(tag = 'latest') {
      const repository = `up/${name()}`;
      const image = imageOf({ layers: [layerOf({ 'etc/name': repository })], labels: { name: repository } });
      upstream.put(repository, image, tag);
      return { repository, image };
    },
    async cache({ remote = {}, distribution = {} } = {}) {
      const path = name();
      const settings = { name: path, url: upstream.url, max_retries: 0, ...remote };
      const made = await app.request('POST', REMOTES, settings);
      assert.equal(made.status, 201, JSON.stringify(made.body));
      const href = made.body.pulp_href as string;
      const task = await app.run(CACHES, { name: path, base_path: path, remote: href, ...distribution });
      assert.equal(task.state, 'completed', JSON.stringify(task.error));
      return { path, href: task.created_resources[0], remote: href };
    },
    async pull(path, { user = 'admin:password', method = 'GET' } = {}) {
      const repository = /^(.+)\/(?:manifests|blobs|tags|referrers)\/[^/]+$/.exec(path)?.[1] ?? '';
      const headers = await authorizationOf(repository, user);
      const response = await fetch(`${app.url}/v2/${path}`, { method, headers });
      const bytes = Buffer.from(await response.arrayBuffer());
      const failed = response.status >= 400 && bytes.byteLength > 0;
      const code = failed ? (JSON.parse(bytes.toString()) as { errors: { code: string }[] }).errors[0]?.code : undefined;
      return { status: response.status, headers: response.headers, bytes, code };
    },
    async pullImage(repository, reference, image, user) {
      const options = user === undefined ? {} : { user };
      const manifest = await world.pull(`${repository}/manifests/${reference}`, options);
      assert.equal(manifest.status, 200, manifest.bytes.toString());
      assert.deepEqual(manifest.bytes, image.bytes);
      assert.equal(manifest.headers.get('docker-content-digest'), image.digest);
      assert.equal(manifest.headers.get('content-type'), image.mediaType);
      for (const { digest } of image.blobs) {
        const blob = await world.pull(`${repository}/blobs/${digest}`, options);
        assert.equal(blob.status, 200, blob.bytes.toString());
        assert.equal(sha256(blob.bytes), digest);
      }
    },
    async user() {
      const username = name();
      const made = await app.request('POST', `${API}users/`, { username, password: PASSWORD });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      return { name: username, login: `${username}:${PASSWORD}` };
    },
    async madeBelow(path) {
      const kinds = ['remotes', 'repositories', 'distributions'];
      const lists = await Promise.all(
        kinds.map((kind) => app.request('GET', `${API}${kind}/container/container/?name__startswith=${path}/&limit=1000`)),
      );
      return lists.flatMap(({ body }, index) => body.results.map((row: { name: string }) => `${kinds[index]} ${row.name}`));
    },
    asked: (repository) =>
      upstream.requests.log
        .filter((request) => request.repository === repository)
        .map(({ method, kind, reference }) => `${method} ${kind} ${reference}`),
    async change(method, path, body) {
      const answer = await app.request(method, path, body);
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      const task = await app.finished(answer);
      assert.equal(task.state, 'completed', JSON.stringify(task.error));
      return task;
    },
    async stop() {
      await app.stop();
      await upstream.stop();
    },
  };
  return world;
}
