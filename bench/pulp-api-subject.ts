import { z } from 'zod';
import { type Credentials, RestClient } from '../src/demo/rest-client.ts';
import { type ProcessGroup, UsageMeter } from './process-usage.ts';
import type { Mirrored } from './subject.ts';
import type { Expected } from './workload.ts';

const created = z.object({ pulp_href: z.string() });
const repositoryShape = z.object({ latest_version_href: z.string() });
const versionShape = z.object({ content_summary: z.object({ present: z.record(z.string(), z.object({ count: z.number() })) }) });
const statusShape = z.object({ versions: z.array(z.object({ component: z.string(), version: z.string() })) });

/** What is mirrored: how it is called in the API, and where its upstream is. */
export interface MirrorKind {
  /** `container/container` */
  readonly endpoint: string;
  readonly repository: Readonly<Record<string, unknown>>;
  remote(upstreamUrl: string, upstreamRepository: string): Readonly<Record<string, unknown>>;
  /** From the counts of a version by content type. */
  held(count: (type: string) => number): Partial<Expected>;
}

export const CONTAINER: MirrorKind = {
  endpoint: 'container/container',
  repository: {},
  remote: (url, upstream_name) => ({ url, upstream_name }),
  held: (count) => ({
    tags: count('container.tag'),
    manifests: count('container.manifest'),
    blobs: count('container.blob'),
  }),
};

export const OSTREE: MirrorKind = {
  endpoint: 'ostree/ostree',
  // Static deltas are not what is measured.
  repository: { compute_delta: false },
  remote: (url, repository) => ({ url: `${url}${repository}/` }),
  held: (count) => ({ refs: count('ostree.refs'), objects: count('ostree.object') }),
};

/** The part that Deckle and Pulp have in common: one REST API. */
export class PulpApiMirror {
  readonly client: RestClient;
  readonly #origin: string;
  readonly #upstreamUrl: string;
  readonly #group: ProcessGroup;
  readonly #pollMs: number;
  readonly #kind: MirrorKind;
  readonly #repositories = new Map<string, { repository: string; remote: string }>();

  constructor(options: {
    origin: string;
    upstreamUrl: string;
    credentials: Credentials;
    group: ProcessGroup;
    pollMs: number;
    kind: MirrorKind;
  }) {
    this.client = new RestClient(options.origin, options.credentials);
    this.#origin = options.origin;
    this.#upstreamUrl = options.upstreamUrl;
    this.#group = options.group;
    this.#pollMs = options.pollMs;
    this.#kind = options.kind;
  }

  /** Versions that `/status/` names. */
  async versions(): Promise<Record<string, string>> {
    const response = await fetch(`${this.#origin}/pulp/api/v3/status/`);
    const status = statusShape.parse(await response.json());
    return Object.fromEntries(status.versions.map(({ component, version }) => [component, version]));
  }

  /** Syncs into the repository `name`, which is made at its first use, outside of the measured time. */
  async mirror(upstreamRepository: string, name: string): Promise<Mirrored> {
    const { repository, remote } = await this.resourcesFor(upstreamRepository, name);
    const meter = new UsageMeter(this.#group);
    const started = performance.now();
    const task = await this.client.dispatch(`${repository}sync/`, { remote });
    await this.client.finished(task, this.#pollMs);
    const seconds = (performance.now() - started) / 1000;
    return { seconds, usage: meter.stop(), held: await this.held(repository) };
  }

  /** Hrefs of a repository and its remote, made at the first call. */
  async resourcesFor(upstreamRepository: string, name: string): Promise<{ repository: string; remote: string }> {
    const known = this.#repositories.get(name);
    if (known !== undefined) return known;
    const { endpoint } = this.#kind;
    const settings = this.#kind.remote(this.#upstreamUrl, upstreamRepository);
    const remote = await this.client.post(
      `/pulp/api/v3/remotes/${endpoint}/`,
      { name, policy: 'immediate', ...settings },
      created,
    );
    const body = { name, ...this.#kind.repository };
    const repository = await this.client.post(`/pulp/api/v3/repositories/${endpoint}/`, body, created);
    const made = { repository: repository.pulp_href, remote: remote.pulp_href };
    this.#repositories.set(name, made);
    return made;
  }

  /** Removes the repositories and remotes made here, for a server that goes on living. */
  async removeAll(): Promise<void> {
    for (const { repository, remote } of this.#repositories.values()) {
      for (const href of [repository, remote]) {
        const task = await this.client.delete(href);
        if (task !== null) await this.client.finished(task, this.#pollMs);
      }
    }
    this.#repositories.clear();
  }

  /** Units that the latest version of a repository holds. */
  async held(repository: string): Promise<Partial<Expected>> {
    const { latest_version_href } = await this.client.get(repository, repositoryShape);
    const { present } = (await this.client.get(latest_version_href, versionShape)).content_summary;
    return this.#kind.held((type) => present[type]?.count ?? 0);
  }
}
