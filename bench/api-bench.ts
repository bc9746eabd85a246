import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { z } from 'zod';
import type { Credentials } from '../src/demo/rest-client.ts';
import { RestClient } from '../src/demo/rest-client.ts';
import { removePostgres, startPostgres } from '../src/embedded/postgres.ts';
import { type ApiDataSize, fillDatabase, PREFIX, ROLE_HOLDER, ROLES } from './api-data.ts';
import { DECKLE_CREDENTIALS, type DeckleSubject } from './deckle-subject.ts';
import { generateLoad } from './load-generator.ts';
import { brief, table } from './measurement.ts';
import { type PulpOptions, pulpSession } from './pulp-subject.ts';

/** Latency of one kind of request. */
export interface ApiMeasurement {
  readonly subject: string;
  /** Repositories that the server holds. */
  readonly repositories: number;
  readonly work: string;
  readonly clients: number;
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** A server that has been filled. */
interface Target {
  readonly subject: string;
  readonly repositories: number;
  readonly origin: string;
  readonly admin: Credentials;
  /** Who has roles on ten repositories. */
  readonly holder: Credentials;
  /** Names of repositories are this and six digits. */
  readonly prefix: string;
  readonly task: string;
  /** Href of a version with much content, where the server has one. */
  readonly version?: string;
}

export interface ApiBenchOptions {
  readonly deckle: DeckleSubject;
  readonly pulp: PulpOptions | null;
  readonly workFolder: string;
  readonly sizes: readonly ApiDataSize[];
  /** Of load for each kind of request and number of clients. */
  readonly seconds: number;
  readonly onMeasured: (measurement: ApiMeasurement) => void;
}

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const CLIENTS = [1, 16];
const PULP_REPOSITORIES = 1_000;
/** Requests at once while a server is filled or emptied by its API. */
const AT_ONCE = 8;
/** How long filling a Pulp may take; then it is measured with what it has. */
const FILL_SECONDS = 180;

const listed = z.object({ count: z.number(), results: z.array(z.object({ pulp_href: z.string() })) });
const created = z.object({ pulp_href: z.string() });

/** The lists that are measured: each with its path and who asks. */
function worksOf({ prefix, task, version }: Target): readonly { work: string; path: string; as?: 'holder' }[] {
  const list = (parameters: Record<string, string>, path = REPOSITORIES) => `${path}?${new URLSearchParams(parameters)}`;
  const content = (offset: string) =>
    list({ repository_version: version ?? '', limit: '100', offset }, `${API}content/container/blobs/`);
  return [
    { work: 'task GET', path: task },
    { work: 'page of 100', path: list({ limit: '100' }) },
    { work: 'page of 100 of every type', path: list({ limit: '100' }, `${API}repositories/`) },
    { work: 'page of 100 by name', path: list({ limit: '100', ordering: 'name' }) },
    { work: 'name', path: list({ name: `${prefix}000500` }) },
    { work: 'name__startswith', path: list({ name__startswith: `${prefix}0005`, limit: '100' }) },
    { work: 'name__icontains', path: list({ name__icontains: `${prefix}0005`.toUpperCase(), limit: '100' }) },
    { work: 'pulp_label_select', path: list({ pulp_label_select: 'env=prod,team=team-7', limit: '100' }) },
    { work: 'q', path: list({ q: `name="${prefix}000500" OR pulp_label_select="team=team-9"`, limit: '100' }) },
    { work: `page of who has ${ROLES} roles`, path: list({ limit: '100' }), as: 'holder' },
    ...(version ? [{ work: 'content of a version', path: content('0') }] : []),
    ...(version ? [{ work: 'content of a version, further on', path: content('5000') }] : []),
  ];
}

const headersOf = (origin: string, credentials: Credentials): Record<string, string> =>
  'cookie' in credentials
    ? { cookie: credentials.cookie, referer: `${origin}/` }
    : { authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}` };

async function measure(target: Target, { seconds, onMeasured }: ApiBenchOptions): Promise<ApiMeasurement[]> {
  const measured: ApiMeasurement[] = [];
  for (const { work, path, as } of worksOf(target)) {
    const headers = headersOf(target.origin, as === 'holder' ? target.holder : target.admin);
    const request = { method: 'GET' as const, url: target.origin + path, headers, status: 200 };
    // Statements are prepared and caches filled before it counts.
    await generateLoad(request, { clients: 16, seconds: Math.min(seconds, 0.5), requests: 200 });
    for (const clients of CLIENTS) {
      const load = await generateLoad(request, { clients, seconds, requests: 100_000 });
      const { subject, repositories } = target;
      const { requests, requestsPerSecond, medianLatency: p50, p99Latency: p99 } = load;
      const measurement = { subject, repositories, work, clients, requests, requestsPerSecond, p50, p99 };
      measured.push(measurement);
      onMeasured(measurement);
    }
  }
  return measured;
}

/** Deckle on a PostgreSQL of the bench, filled by SQL. */
async function measureDeckle(size: ApiDataSize, options: ApiBenchOptions): Promise<ApiMeasurement[]> {
  const { deckle, workFolder } = options;
  const round = `api-${size.repositories}`;
  const folder = join(workFolder, `${round}-postgres`);
  const postgres = await startPostgres({ folder, log: pino({ level: 'warn' }) });
  try {
    await deckle.open(round, { DATABASE_URL: postgres.url });
    await fillDatabase(postgres.url, size);
    const client = new RestClient(deckle.origin, DECKLE_CREDENTIALS);
    const first = await client.get(`${REPOSITORIES}?name=${PREFIX}000001`, listed);
    const tasks = await client.get(`${API}tasks/?limit=1`, listed);
    return await measure(
      {
        subject: 'deckle',
        repositories: size.repositories,
        origin: deckle.origin,
        admin: DECKLE_CREDENTIALS,
        holder: ROLE_HOLDER,
        prefix: PREFIX,
        task: hrefOf(tasks),
        version: `${hrefOf(first)}versions/1/`,
      },
      options,
    );
  } finally {
    await deckle.close();
    await postgres.stop();
    removePostgres(folder);
  }
}

function hrefOf({ results: [row] }: z.output<typeof listed>): string {
  if (!row) throw new Error('a list that was filled is empty');
  return row.pulp_href;
}

/** Does something for each item, some at once, until they are done or the time is up. Answers how many were done. */
async function forEach<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
  seconds = Number.POSITIVE_INFINITY,
): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let next = 0;
  const one = async () => {
    while (next < items.length && performance.now() < end) await work(items[next++] as T);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return next;
}

/** A Pulp that runs, filled by its API; what was made is removed afterwards. */
async function measurePulp(pulp: PulpOptions, options: ApiBenchOptions, count: number): Promise<ApiMeasurement[]> {
  const mark = randomBytes(4).toString('hex');
  const prefix = `bench-api-${mark}-`;
  const admin = await pulpSession(pulp);
  const client = new RestClient(pulp.origin, admin);
  const hrefs: string[] = [];
  const holder = { username: `bench-api-${mark}`, password: `bench-Api-${mark}` };
  let user: string | undefined;
  try {
    const names = Array.from({ length: count }, (_, index) => `${prefix}${String(index + 1).padStart(6, '0')}`);
    const fill = async (name: string) => {
      const number = Number(name.slice(-6));
      const pulp_labels = { env: ['dev', 'test', 'prod'][number % 3], team: `team-${number % 1000}` };
      hrefs.push((await client.post(REPOSITORIES, { name, pulp_labels }, created)).pulp_href);
    };
    const made = await forEach(names, fill, FILL_SECONDS);
    user = (await client.post(`${API}users/`, holder, created)).pulp_href;
    for (const content_object of hrefs.slice(0, ROLES))
      await client.post(`${user}roles/`, { role: 'container.containerrepository_viewer', content_object }, created);
    const tasks = await client.get(`${API}tasks/?limit=1`, listed);
    const target = { subject: 'pulp', origin: pulp.origin, repositories: made, admin, holder, prefix, task: hrefOf(tasks) };
    return await measure(target, options);
  } finally {
    if (user) await client.delete(user);
    await forEach(hrefs, async (href) => {
      const task = await client.delete(href);
      if (task !== null) await client.finished(task, 250);
    });
  }
}

/** Latencies of the REST API's lists: Deckle with each number of repositories, and beside it a Pulp with a thousand. */
export async function runApiBench(options: ApiBenchOptions): Promise<ApiMeasurement[]> {
  const measured: ApiMeasurement[] = [];
  for (const size of options.sizes) measured.push(...(await measureDeckle(size, options)));
  const least = Math.min(...options.sizes.map(({ repositories }) => repositories), PULP_REPOSITORIES);
  if (options.pulp) measured.push(...(await measurePulp(options.pulp, options, least)));
  return measured;
}

/** One row for each kind of request and number of clients. `x` compares with Deckle's smallest. */
export function apiReport(measurements: readonly ApiMeasurement[]): string {
  const rows = measurements.map((one) => {
    const base = measurements.find((other) => other.work === one.work && other.clients === one.clients);
    return [
      one.work,
      String(one.clients),
      one.subject,
      one.repositories.toLocaleString('en-US'),
      brief(one.p50),
      brief(one.p99),
      brief(one.requestsPerSecond),
      brief(one.p50 / (base?.p50 ?? Number.NaN)),
    ];
  });
  const order = [...new Set(rows.map(([work]) => work))];
  function rank([work, clients, subject, repositories]: string[]): number {
    const size = Number(repositories?.replaceAll(',', ''));
    return order.indexOf(work) * 1e9 + Number(clients) * 1e7 + (subject === 'pulp' ? 5e6 : 0) + size;
  }
  return table(
    [['operation', 'clients', 'subject', 'repositories', 'p50 ms', 'p99 ms', '/s', 'x']].concat(
      rows.sort((a, b) => rank(a) - rank(b)),
    ),
  );
}
