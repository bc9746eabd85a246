import { sql } from '../../db/sql.ts';
import type { ApiReply, ApiRequest, Component, Operation } from '../../kit/api.ts';
import { DIAGNOSTICS, plainPath, SHAPING } from '../../kit/operations.ts';
import { packageVersion } from '../../lib/package-root.ts';
import { type Health, healthOf, isReady } from './health.ts';

const STRING = { type: 'string' };
const BOOLEAN = { type: 'boolean' };
const object = (properties: Record<string, unknown>, required: readonly string[] = Object.keys(properties)) => ({
  type: 'object',
  properties,
  required,
});
const app = {
  type: 'object',
  properties: {
    name: { ...STRING, readOnly: true },
    last_heartbeat: { ...STRING, format: 'date-time', readOnly: true },
    versions: { type: 'object', additionalProperties: { type: ['string', 'null'] }, readOnly: true },
  },
};
const bytes = { type: ['integer', 'null'], format: 'int64', minimum: 0 };

const NUMBER = { type: ['number', 'null'], minimum: 0 };
const COUNT = { type: ['integer', 'null'], format: 'int64', minimum: 0 };

/** Deckle's own part of the status; the names beside it are Pulp's. */
const HEALTH = object({
  ready: { ...BOOLEAN, description: 'Whether this server can do its work: what readyz/ answers.' },
  database: object({
    connected: BOOLEAN,
    migrated: BOOLEAN,
    latency_milliseconds: { ...NUMBER, description: 'How long it takes to answer.' },
  }),
  queue: object({
    connected: BOOLEAN,
    waiting: { ...COUNT, description: 'Tasks that wait, for a worker or for what others hold.' },
    running: { ...COUNT, description: 'Tasks at work.' },
    oldest_runnable_seconds: { ...NUMBER, description: 'For how long a task that can run has waited for a worker.' },
  }),
  storage: object({ writable: BOOLEAN, free: bytes }),
  workers: object({
    online: COUNT,
    missing: { ...COUNT, description: 'Workers that have gone without a word.' },
  }),
  servers: object({
    online: { ...COUNT, description: 'Server processes, on all machines.' },
    missing: { ...COUNT, description: 'Server processes that have gone without a word.' },
  }),
});

const STATUS_RESPONSE: Component = {
  name: 'StatusResponse',
  json: object(
    {
      versions: {
        type: 'array',
        items: object({ component: STRING, version: STRING, package: STRING, module: STRING, domain_compatible: BOOLEAN }),
      },
      online_workers: { type: 'array', items: app },
      online_api_apps: { type: 'array', items: app },
      online_content_apps: { type: 'array', items: app },
      database_connection: object({ connected: BOOLEAN }),
      redis_connection: object({ connected: BOOLEAN }),
      storage: object({ total: bytes, used: bytes, free: bytes }),
      content_settings: object({ content_origin: { type: ['string', 'null'] }, content_path_prefix: STRING }, [
        'content_path_prefix',
      ]),
      domain_enabled: BOOLEAN,
      health: HEALTH,
    },
    [
      'versions',
      'online_workers',
      'online_api_apps',
      'online_content_apps',
      'database_connection',
      'content_settings',
      'domain_enabled',
    ],
  ),
};

const READINESS_RESPONSE: Component = {
  name: 'ReadinessResponse',
  json: object({
    ready: BOOLEAN,
    problems: {
      type: 'object',
      additionalProperties: STRING,
      description: 'What is wrong, by part: database, migrations, queue, storage.',
    },
  }),
};

interface OnlineApp {
  readonly app_type: string;
  readonly name: string;
  readonly last_heartbeat: string;
  readonly versions: Record<string, string>;
}

/** The processes whose heartbeat is young enough; undefined where the database does not answer. */
async function onlineApps({ services }: ApiRequest): Promise<readonly OnlineApp[] | undefined> {
  try {
    return await services.db.query<OnlineApp>(sql`
      select app_type, name, last_heartbeat, versions from worker
      where last_heartbeat >= now() - make_interval(secs => ${services.config.PULP_WORKER_TTL}) order by name`);
  } catch (error) {
    services.log.warn({ err: error }, 'the database does not answer a status request');
    return undefined;
  }
}

/** Processes that show themselves now; null where that cannot be known. */
type Online = Readonly<Record<'workers' | 'servers', number | null>>;

function healthFields({ readiness, backlog, database_latency }: Health, online: Online, free: number | null) {
  return {
    ready: isReady(readiness),
    database: {
      connected: readiness.database === undefined,
      migrated: readiness.migrations === undefined,
      latency_milliseconds: database_latency,
    },
    queue: {
      connected: readiness.queue === undefined,
      waiting: backlog?.waiting ?? null,
      running: backlog?.running ?? null,
      oldest_runnable_seconds: backlog?.oldest_runnable_seconds ?? null,
    },
    storage: { writable: readiness.storage === undefined, free },
    workers: { online: online.workers, missing: backlog?.missing_workers ?? null },
    servers: { online: online.servers, missing: backlog?.missing_servers ?? null },
  };
}

async function readStatus(request: ApiRequest) {
  const { services } = request;
  const [online, redis, storage, health] = await Promise.all([
    onlineApps(request),
    services.queue.connected(),
    services.storage.capacity(),
    healthOf(services),
  ]);
  const of = (type: string) =>
    (online ?? [])
      .filter((one) => one.app_type === type)
      .map(({ name, last_heartbeat, versions }) => ({ name, last_heartbeat, versions }));
  const countOf = (type: string) => (online ? of(type).length : null);
  const components = services.catalog.plugins.map((plugin) => ({
    component: plugin.component,
    version: plugin.compatibleWith,
    package: plugin.package,
    module: plugin.module,
    domain_compatible: true,
  }));
  return {
    versions: [
      ...components,
      { component: 'deckle', version: packageVersion(), package: 'deckle', module: 'deckle', domain_compatible: true },
    ],
    online_workers: of('worker'),
    online_api_apps: of('api'),
    online_content_apps: of('content'),
    database_connection: { connected: online !== undefined },
    redis_connection: { connected: redis ?? false },
    storage: storage ?? { total: null, used: null, free: null },
    content_settings: { content_origin: services.config.PULP_CONTENT_ORIGIN, content_path_prefix: '/pulp/content/' },
    domain_enabled: false,
    health: healthFields(health, { workers: countOf('worker'), servers: countOf('api') }, storage?.free ?? null),
  };
}

/** Whether this server can do its work: 503 names what is not in order. */
async function readReadiness({ services }: ApiRequest): Promise<ApiReply> {
  const { readiness } = await healthOf(services);
  const ready = isReady(readiness);
  return { status: ready ? 200 : 503, body: { ready, problems: readiness } };
}

/** `/status/`, `/livez/` and, of our own, `/readyz/`: open to anyone (spec: core, schema and status). */
export const statusOperations: readonly Operation[] = [
  {
    ...plainPath('status/'),
    operationId: 'status_read',
    method: 'get',
    tag: 'Status',
    summary: 'Inspect the status of the server',
    plugin: 'core',
    parameters: [DIAGNOSTICS, ...SHAPING],
    responses: [{ status: 200, component: STATUS_RESPONSE }],
    audience: 'anyone',
    handler: async (request) => ({ status: 200, body: await readStatus(request) }),
  },
  {
    ...plainPath('livez/'),
    operationId: 'livez_read',
    method: 'get',
    tag: 'Livez',
    summary: 'Ask whether the process answers',
    plugin: 'core',
    parameters: [DIAGNOSTICS, ...SHAPING],
    responses: [{ status: 200 }],
    audience: 'anyone',
    handler: async () => ({ status: 200 }),
  },
  {
    ...plainPath('readyz/'),
    operationId: 'readyz_read',
    method: 'get',
    tag: 'Readyz',
    summary: 'Ask whether the server can do its work',
    description: 'Database, migrations, task queue and storage, which is written to: 200 only where all are in order.',
    plugin: 'core',
    parameters: [DIAGNOSTICS, ...SHAPING],
    responses: [
      { status: 200, component: READINESS_RESPONSE },
      { status: 503, component: READINESS_RESPONSE },
    ],
    audience: 'anyone',
    handler: readReadiness,
  },
];
