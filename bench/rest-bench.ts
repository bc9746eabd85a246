import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Credentials, RestClient } from '../src/demo/rest-client.ts';
import { generateLoad, type LoadBounds, type LoadRequest } from './load-generator.ts';
import { brief, spreadOf, table } from './measurement.ts';
import { type ProcessGroup, UsageMeter } from './process-usage.ts';
import type { PulpApiMirror } from './pulp-api-subject.ts';

/** A server whose REST API is measured. */
export interface RestTarget {
  name: string;
  origin: string;
  api: PulpApiMirror;
  group: ProcessGroup;
  /** Whether it lives on after the bench: then what was made is removed from it. */
  lasting: boolean;
  /** Ways to say who one is, each measured by itself. */
  credentials: readonly { name: string; use: Credentials }[];
}

/** Requests a second of one operation. */
export interface RestMeasurement {
  work: string;
  subject: string;
  round: number;
  requestsPerSecond: number;
  requests: number;
  medianLatency: number;
  p99Latency: number;
  /** Milliseconds of CPU of the server's processes for each request. */
  cpuMillisecondsPerRequest: number;
}

const created = z.object({ pulp_href: z.string() });
const listed = z.object({ count: z.number() });
const repositoryShape = z.object({ latest_version_href: z.string() });
const REPOSITORIES = 100;
const REPOSITORY_PATH = '/pulp/api/v3/repositories/container/container/';

/** Requests a second at 16 clients, operation by operation, target after target within each round. */
export async function runRestBench(
  targets: readonly RestTarget[],
  upstreamRepository: string,
  options: { rounds: number; seconds: number; onMeasured: (measurement: RestMeasurement) => void },
): Promise<RestMeasurement[]> {
  const measurements: RestMeasurement[] = [];
  const prepared = [];
  for (const target of targets) prepared.push({ target, scene: await Scene.prepare(target, upstreamRepository) });
  try {
    for (let round = 1; round <= options.rounds; round++) {
      for (const work of WORKS) {
        for (const { target, scene } of prepared) {
          for (const credentials of target.credentials) {
            // New repositories stay: many more than the other server has would be another work from then on.
            const bounds = { clients: 16, seconds: options.seconds, requests: work === 'repository POST' ? 1_000 : 100_000 };
            const measurement = await measure(target, scene.request(work, credentials.use), credentials.name, {
              work,
              round,
              bounds,
            });
            measurements.push(measurement);
            options.onMeasured(measurement);
          }
        }
      }
    }
  } finally {
    for (const { target, scene } of prepared) if (target.lasting) await scene.remove();
  }
  return measurements;
}

const WORKS = ['task GET', 'repository GET', 'page of 100 repositories', 'page of 100 content units', 'repository POST'] as const;
type Work = (typeof WORKS)[number];

async function measure(
  target: RestTarget,
  request: LoadRequest,
  credentials: string,
  { work, round, bounds }: { work: Work; round: number; bounds: LoadBounds },
): Promise<RestMeasurement> {
  await generateLoad(request, { ...bounds, seconds: Math.min(1, bounds.seconds), requests: Math.min(500, bounds.requests) });
  const meter = new UsageMeter(target.group);
  const load = await generateLoad(request, bounds);
  const { cpuSeconds } = meter.stop();
  const { requestsPerSecond, requests, medianLatency, p99Latency } = load;
  const cpuMillisecondsPerRequest = (cpuSeconds * 1000) / requests;
  return {
    work,
    subject: `${target.name} (${credentials})`,
    round,
    requestsPerSecond,
    requests,
    medianLatency,
    p99Latency,
    cpuMillisecondsPerRequest,
  };
}

/** What a server holds while its API is measured. */
class Scene {
  readonly #target: RestTarget;
  readonly #hrefs: Record<Exclude<Work, 'repository POST'>, string>;
  readonly #prefix: string;

  private constructor(target: RestTarget, hrefs: Scene['hrefs'], prefix: string) {
    this.#target = target;
    this.#hrefs = hrefs;
    this.#prefix = prefix;
  }

  get hrefs(): Record<Exclude<Work, 'repository POST'>, string> {
    return this.#hrefs;
  }

  static async prepare(target: RestTarget, upstreamRepository: string): Promise<Scene> {
    const prefix = `bench-${randomBytes(4).toString('hex')}`;
    const { client } = target.api;
    const { repository, remote } = await target.api.resourcesFor(upstreamRepository, prefix);
    const task = await client.dispatch(`${repository}sync/`, { remote });
    await client.finished(task, 100);
    const { count } = await client.get(`${REPOSITORY_PATH}?limit=1`, listed);
    for (let number = count; number < REPOSITORIES; number++)
      await client.post(REPOSITORY_PATH, { name: `${prefix}-filler-${number}` }, created);
    const { latest_version_href } = await client.get(repository, repositoryShape);
    const hrefs = {
      'task GET': task,
      'repository GET': repository,
      'page of 100 repositories': `${REPOSITORY_PATH}?limit=100`,
      'page of 100 content units': `/pulp/api/v3/content/container/tags/?repository_version=${latest_version_href}&limit=100`,
    };
    return new Scene(target, hrefs, prefix);
  }

  request(work: Work, credentials: Credentials): LoadRequest {
    const { origin } = this.#target;
    const headers: Record<string, string> =
      'cookie' in credentials
        ? { cookie: credentials.cookie, 'x-csrftoken': credentials.csrfToken, referer: `${origin}/` }
        : { authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}` };
    if (work !== 'repository POST') return { method: 'GET', url: origin + this.#hrefs[work], headers, status: 200 };
    const batch = randomBytes(4).toString('hex');
    let made = 0;
    const body = () => JSON.stringify({ name: `${this.#prefix}-post-${batch}-${made++}` });
    return { method: 'POST', url: origin + REPOSITORY_PATH, headers, body, status: 201 };
  }

  /** Removes what was made, for a server that goes on living. */
  async remove(): Promise<void> {
    await removeRepositories(this.#target.api.client, this.#prefix);
    await this.#target.api.removeAll();
  }
}

async function removeRepositories(client: RestClient, prefix: string): Promise<void> {
  const page = z.object({ results: z.array(z.object({ pulp_href: z.string() })) });
  for (;;) {
    const { results } = await client.get(`${REPOSITORY_PATH}?name__startswith=${prefix}-&limit=100`, page);
    if (results.length === 0) return;
    const tasks = await Promise.all(results.map(({ pulp_href }) => client.delete(pulp_href)));
    for (const task of tasks) if (task !== null) await client.finished(task, 50);
  }
}

/** One table for each operation; `x` is the ratio of medians to the first subject's. */
export function restReport(measurements: readonly RestMeasurement[]): string {
  const works = [...new Set(measurements.map(({ work }) => work))];
  const subjects = [...new Set(measurements.map(({ subject }) => subject))];
  const rows = works.flatMap((work) => {
    const of = (subject: string) => measurements.filter((one) => one.work === work && one.subject === subject);
    const base = spreadOf(of(subjects[0] ?? '').map((one) => one.requestsPerSecond)).median;
    return subjects.map((subject) => {
      const rate = spreadOf(of(subject).map((one) => one.requestsPerSecond));
      const cpu = spreadOf(of(subject).map((one) => one.cpuMillisecondsPerRequest)).median;
      const p99 = spreadOf(of(subject).map((one) => one.p99Latency)).median;
      return [
        work,
        subject,
        brief(rate.min),
        brief(rate.median),
        brief(rate.max),
        brief(base / rate.median),
        brief(cpu),
        brief(p99),
      ];
    });
  });
  return table([['operation', 'subject', 'min/s', 'median/s', 'max/s', 'first is x', 'CPU ms each', 'p99 ms'], ...rows]);
}
