import { sql } from '../../db/sql.ts';
import type { ApiRequest, Component, Operation } from '../../kit/api.ts';
import { DIAGNOSTICS, plainPath, SHAPING } from '../../kit/operations.ts';
import { packageVersion } from '../../lib/package-root.ts';

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

async function readStatus(request: ApiRequest) {
  const { services } = request;
  const [online, redis, storage] = await Promise.all([
    onlineApps(request),
    services.queue.connected(),
    services.storage.capacity(),
  ]);
  const of = (type: string) =>
    (online ?? [])
      .filter((one) => one.app_type === type)
      .map(({ name, last_heartbeat, versions }) => ({ name, last_heartbeat, versions }));
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
  };
}

/** `/status/` and `/livez/`: open to anyone (spec: core, schema and status). */
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
    permission: null,
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
    permission: null,
    handler: async () => ({ status: 200 }),
  },
];
