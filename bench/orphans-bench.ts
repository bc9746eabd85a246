import { z } from 'zod';
import type { RestClient } from '../src/demo/rest-client.ts';
import { brief, table } from './measurement.ts';
import type { PulpApiMirror } from './pulp-api-subject.ts';
import type { BenchUpstream } from './upstream.ts';

/** A server whose orphan cleanup is measured. */
export interface OrphansTarget {
  readonly name: string;
  readonly origin: string;
  readonly api: PulpApiMirror;
  /** Others use it: only what was made here is removed, by name, and it is not pulled from. */
  readonly shared: boolean;
  /** Repositories of the workload whose content is orphaned, some 5,000 units each. */
  readonly repositories: number;
}

export interface OrphansMeasurement {
  readonly subject: string;
  readonly units: number;
  /** The task's own time. */
  readonly seconds: number;
  readonly unitsPerSecond: number;
  /** Milliseconds of pulls (a manifest by its tag, and a blob) while nothing is cleaned up, and meanwhile. */
  readonly pullsBefore: readonly number[];
  readonly pullsMeanwhile: readonly number[];
}

const API = '/pulp/api/v3/';
const created = z.object({ created_resources: z.array(z.string()) });
const page = z.object({ results: z.array(z.object({ pulp_href: z.string() })), next: z.string().nullable() });
const timed = z.object({
  started_at: z.string(),
  finished_at: z.string(),
  progress_reports: z.array(z.object({ code: z.string(), done: z.number() })),
});
const version = z.object({ latest_version_href: z.string() });

/** Orphans as many units as the target is given, removes them, and pulls meanwhile. */
export async function runOrphansBench(
  target: OrphansTarget,
  upstream: BenchUpstream,
  quick: boolean,
): Promise<OrphansMeasurement> {
  const { client } = target.api;
  const seed = `orphans ${target.name} ${Date.now()}`;
  const puller = target.shared ? undefined : await Puller.prepare(target, upstream, seed, quick);
  const hrefs: string[] = [];
  for (let number = 0; number < target.repositories; number++) {
    const name = `orphans/${target.name}-${number}`;
    await upstream.ask({ call: 'publish', workload: 'tags', seed: `${seed} ${number}`, quick, repositories: [name] });
    const made = `bench-${seed.replaceAll(' ', '-')}-${number}`;
    await target.api.mirror(name, made);
    const { repository } = await target.api.resourcesFor(name, made);
    if (target.shared) hrefs.push(...(await unitsOf(client, (await client.get(repository, version)).latest_version_href)));
    await upstream.ask({ call: 'unpublish' });
  }
  await target.api.removeAll();
  const pullsBefore = (await puller?.pull(100)) ?? [];
  const body = { orphan_protection_time: 0, ...(target.shared ? { content_hrefs: hrefs } : {}) };
  const href = await client.dispatch(`${API}orphans/cleanup/`, body);
  let over = false;
  const cleanup = client.finished(href, 100).finally(() => {
    over = true;
  });
  const pullsMeanwhile = (await puller?.pull(Number.POSITIVE_INFINITY, () => over)) ?? [];
  await cleanup;
  const task = await client.get(href, timed);
  const seconds = (Date.parse(task.finished_at) - Date.parse(task.started_at)) / 1000;
  const units = task.progress_reports.find(({ code }) => code === 'clean-up.content')?.done ?? 0;
  return { subject: target.name, units, seconds, unitsPerSecond: units / seconds, pullsBefore, pullsMeanwhile };
}

/** Hrefs of all units of a version. */
async function unitsOf(client: RestClient, versionHref: string): Promise<string[]> {
  const hrefs: string[] = [];
  for (const endpoint of ['tags', 'manifests', 'blobs']) {
    let next: string | null =
      `${API}content/container/${endpoint}/?repository_version=${versionHref}&limit=1000&fields=pulp_href`;
    while (next !== null) {
      const { pathname, search }: URL = new URL(next, 'http://localhost');
      const answer: z.output<typeof page> = await client.get(pathname + search, page);
      hrefs.push(...answer.results.map(({ pulp_href }) => pulp_href));
      next = answer.next;
    }
  }
  return hrefs;
}

/** A client that pulls what stays. */
class Puller {
  readonly #urls: readonly string[];
  readonly #headers: Record<string, string>;

  private constructor(urls: readonly string[], headers: Record<string, string>) {
    this.#urls = urls;
    this.#headers = headers;
  }

  static async prepare({ origin, api }: OrphansTarget, upstream: BenchUpstream, seed: string, quick: boolean): Promise<Puller> {
    const name = 'orphans/kept';
    await upstream.ask({ call: 'publish', workload: 'tags', seed: `${seed} kept`, quick, repositories: [name] });
    const base_path = 'bench-kept';
    const repository = await api.client.post(
      `${API}repositories/container/container/`,
      { name: base_path },
      z.object({ pulp_href: z.string() }),
    );
    const { remote } = await api.resourcesFor(name, 'bench-kept-remote');
    await api.client.finished(await api.client.dispatch(`${repository.pulp_href}sync/`, { remote }), 50);
    const task = await api.client.dispatch(`${API}distributions/container/container/`, {
      name: base_path,
      base_path,
      repository: repository.pulp_href,
    });
    await api.client.finished(task, 20);
    await api.client.get(task, created);
    const headers = {
      authorization: `Bearer ${await anonymousToken(`${origin}/v2/${base_path}/tags/list`)}`,
      accept: 'application/vnd.oci.image.manifest.v1+json',
    };
    const { tags } = z.object({ tags: z.array(z.string()) }).parse(await json(`${origin}/v2/${base_path}/tags/list`, headers));
    const urls: string[] = [];
    for (const tag of tags.slice(0, 50)) {
      const manifest = `${origin}/v2/${base_path}/manifests/${tag}`;
      const { layers } = z.object({ layers: z.array(z.object({ digest: z.string() })) }).parse(await json(manifest, headers));
      urls.push(manifest, ...layers.map(({ digest }) => `${origin}/v2/${base_path}/blobs/${digest}`));
    }
    return new Puller(urls, headers);
  }

  /** Milliseconds of each request. */
  async pull(count: number, over: () => boolean = () => false): Promise<number[]> {
    const times: number[] = [];
    while (times.length < count && !over()) {
      const started = performance.now();
      const response = await fetch(this.#urls[times.length % this.#urls.length] as string, { headers: this.#headers });
      if (!response.ok) throw new Error(`a pull was answered with ${response.status} while orphans were removed`);
      await response.arrayBuffer();
      times.push(performance.now() - started);
    }
    return times;
  }
}

/** What the realm of the challenge gives to nobody in particular. */
async function anonymousToken(url: string): Promise<string> {
  const refused = await fetch(url);
  const challenge = refused.headers.get('www-authenticate') ?? '';
  const [realm, service, scope] = ['realm', 'service', 'scope'].map(
    (name) => new RegExp(`${name}="([^"]*)"`).exec(challenge)?.[1],
  );
  const answer = z.object({ token: z.string() });
  return answer.parse(await json(`${realm}?service=${service}&scope=${scope}`, {})).token;
}

async function json(url: string, headers: Record<string, string>): Promise<unknown> {
  const response = await fetch(url, { headers });
  if (!response.ok) throw new Error(`GET ${url} was answered with ${response.status}`);
  return response.json();
}

/** Units a second; milliseconds of the median and of the slowest pull. */
export function orphansReport(measurements: readonly OrphansMeasurement[]): string {
  const median = (times: readonly number[]) => brief(times.toSorted((a, b) => a - b)[times.length >> 1] ?? Number.NaN);
  const slowest = (times: readonly number[]) => brief(times.reduce((most, time) => Math.max(most, time), 0));
  return table([
    ['subject', 'units', 's', 'units/s', 'pull ms before', 'slowest', 'pull ms meanwhile', 'slowest'],
    ...measurements.map(({ subject, units, seconds, unitsPerSecond, pullsBefore, pullsMeanwhile }) => [
      subject,
      brief(units),
      brief(seconds),
      brief(unitsPerSecond),
      median(pullsBefore),
      slowest(pullsBefore),
      median(pullsMeanwhile),
      slowest(pullsMeanwhile),
    ]),
  ]);
}
