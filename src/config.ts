import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';
import { CHECKSUM_NAMES } from './lib/checksums.ts';

const flag = z
  .enum(['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'])
  .transform((text) => ['true', '1', 'yes', 'on'].includes(text));
const count = (fallback: number, min = 1, max = 1_000_000) => z.coerce.number().int().min(min).max(max).default(fallback);
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);
const origin = z.url({ protocol: /^https?$/ }).transform((text) => text.replace(/\/+$/, ''));
const secretKey = z.base64().refine((text) => Buffer.from(text, 'base64').length === 32, 'must be 32 bytes in base64');

/**
 * Every setting, by the name of its environment variable. `.meta({ description })` is the text of the README's table and
 * of `deckle --help`; test/config.test.ts keeps the README in step. The value of a `secret` one is never shown.
 */
export const settings = {
  HOST: z.string().default('127.0.0.1').meta({ description: 'Address to listen on.' }),
  PORT: z.coerce.number().int().min(0).max(65535).default(24817).meta({ description: 'Port to listen on; 0 takes a free one.' }),
  DATA_DIR: z
    .string()
    .default('./data')
    .transform((path) => resolve(path))
    .meta({ description: 'Folder for everything that lasts: blobs, keys, the embedded PostgreSQL.' }),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .meta({ description: 'PostgreSQL to use; without it an embedded one runs in `DATA_DIR`.', secret: true }),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
    .optional()
    .meta({ description: 'Redis for the task queue; without it the queue lives in PostgreSQL.', secret: true }),
  DECKLE_SERVERS: z.coerce.number().int().min(1).max(64).optional().meta({
    description: 'Server processes that `start` and `server` run on one port. Default: one for two cores, at most 4.',
  }),
  WORKERS: count(2, 0, 64).meta({ description: 'Worker processes that `start` runs.' }),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
    .default('info')
    .meta({ description: 'Least level that is logged.' }),
  DECKLE_LOG_FORMAT: z
    .enum(['auto', 'json', 'text'])
    .default('auto')
    .meta({ description: 'Form of the log: JSON lines, text, or text on a terminal and JSON elsewhere.' }),
  ADMIN_PASSWORD: z.string().min(1).optional().meta({
    description:
      'Password that the user `admin` gets on the first start. Default: `password` with the embedded database, else one made at random and printed once.',
    secret: true,
  }),
  PULP_CONTENT_ORIGIN: origin.optional().meta({
    description:
      'Origin under which clients reach the content, for example `https://mirror.example.org`. Default: `http://localhost:PORT`.',
  }),
  PULP_TOKEN_AUTH_DISABLED: flag
    .default(false)
    .meta({ description: 'Serve the registry with Basic authentication in place of tokens.' }),
  PULP_TOKEN_SERVER: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'URL of the token endpoint that clients are sent to. Default: the content origin and `/token/`.' }),
  PULP_ORPHAN_PROTECTION_TIME: count(1440, 0).meta({
    description: 'Minutes for which content without a repository is spared by orphan cleanup.',
  }),
  DECKLE_ORPHAN_CLEANUP: flag.default(true).meta({
    description:
      'Clean orphans up by itself, each time after as many minutes as `PULP_ORPHAN_PROTECTION_TIME` says; where that is 0, never.',
  }),
  PULP_ALLOWED_CONTENT_CHECKSUMS: list
    .pipe(z.array(z.enum(CHECKSUM_NAMES)))
    .default(['sha256'])
    .refine((names) => names.includes('sha256'), 'must contain sha256')
    .meta({ description: 'Digests that are computed for stored files, separated by commas. `sha256` is always among them.' }),
  PULP_ALLOWED_IMPORT_PATHS: list
    .default([])
    .meta({ description: 'Folders that `file://` remotes may name, separated by commas.' }),
  PULP_CACHE_ENABLED: flag.default(true).meta({ description: 'Keep manifests and small blobs of the registry in memory.' }),
  PULP_FLATPAK_INDEX: flag.default(false).meta({ description: 'Tell `flatpak` at `/index/` which flatpaks anybody may pull.' }),
  PULP_HIDE_GUARDED_DISTRIBUTIONS: flag
    .default(false)
    .meta({ description: 'Leave distributions with a content guard out of the pages of `/pulp/content/`.' }),
  PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS: list.default([]).meta({
    description:
      'Environment variables whose values content guards of the type `envvar_header` may ask for, separated by commas.',
  }),
  PULP_WORKER_TTL: count(15, 1, 3600).meta({ description: 'Seconds without a heartbeat after which a worker counts as gone.' }),
  DECKLE_TRUSTED_PROXIES: list
    .default([])
    .meta({ description: 'Addresses or networks of proxies whose `X-Forwarded-*` headers are believed, separated by commas.' }),
  DECKLE_X_ACCEL_REDIRECT: z
    .string()
    .regex(/^\/([\w-][\w.-]*\/)+$/, 'must begin and end with a slash')
    .optional()
    .meta({
      description:
        'Path of an internal location of nginx that leads to `DATA_DIR/media`, for example `/deckle-media/`: nginx then sends the files (`X-Accel-Redirect`). Every client has to come by that nginx.',
    }),
  DECKLE_ALLOWED_REMOTE_NETWORKS: list.default([]).meta({
    description:
      'Further networks (CIDR) that an upstream may redirect to, beside public and private ones; loopback and link-local are refused unless listed or named by the remote itself.',
  }),
  DECKLE_TOKEN_REALMS: list
    .default([])
    .meta({ description: 'Hosts of token servers that an upstream without TLS may name, separated by commas.' }),
  DECKLE_SECRET_KEYS: list.pipe(z.array(secretKey).min(1)).optional().meta({
    description:
      'Keys that encrypt the secrets of remotes (base64, 32 bytes each, newest first). Default: the file `DATA_DIR/keys/secrets.key`.',
    secret: true,
  }),
  PULP_MAX_PARALLEL_SIGNING_TASKS: count(10, 1, 100).meta({
    description: 'Scripts of a signing service that one signing task runs at once.',
  }),
  DECKLE_TASKS_PER_WORKER: count(4, 1, 64).meta({ description: 'Tasks that one worker process runs at once.' }),
  DECKLE_DOWNLOAD_THREADS: count(3, 1, 16).meta({
    description: 'Threads of a worker that fetch large blobs; two of them fetch OSTree objects.',
  }),
  DECKLE_DATABASE_CONNECTIONS: count(10, 2, 200).meta({ description: 'Database connections of each process.' }),
  DECKLE_SYNC_REFERRERS_HOURS: count(24, 0, 8_760).meta({
    description:
      'Hours after which a sync asks again for referrers (signatures, SBOMs) of manifests that had none, at upstreams with the Referrers API; 0 asks each time.',
  }),
  DECKLE_UPLOAD_EXPIRY_HOURS: count(24, 1, 8_760).meta({
    description:
      'Hours after its last chunk after which an upload that was not committed is removed, and pushed blobs that no manifest came for.',
  }),
  DECKLE_UPLOADS_PER_USER: count(100, 1, 100_000).meta({
    description:
      'Uploads that a user may have open at once; of pushed blobs, those that something came for within the last hour.',
  }),
  DECKLE_MAX_BLOB_GB: count(10, 1, 100_000).meta({ description: 'Gigabytes that a pushed blob may have.' }),
  DECKLE_PUSH_TO_MIRRORS: flag.default(false).meta({
    description: 'Take pushes to repositories that mirror content, too; the next mirroring may remove what was pushed.',
  }),
  DECKLE_FREE_SPACE_MB: count(64, 0, 10_000_000).meta({
    description: 'Megabytes of the storage that uploads leave free; one that would not is refused with 507.',
  }),
  DECKLE_PULL_THROUGH_FRESH_SECONDS: count(60, 0, 31_536_000).meta({
    description:
      'Seconds for which a tag that was pulled through is served without asking the upstream whether it has moved, and a list of referrers without asking for more.',
  }),
  DECKLE_TASK_RETENTION_DAYS: count(0, 0, 36_500).meta({
    description: 'Days after which finished tasks are removed by themselves; 0 keeps them.',
  }),
  DECKLE_AUDIT_RETENTION_DAYS: count(365, 0, 36_500).meta({
    description: 'Days after which entries of the audit log are removed; 0 keeps them.',
  }),
} satisfies Record<string, z.ZodType>;

/** One for two cores, the others being the database's (docs/adr/022-server-processes.md); not more than were measured. */
const usualServers = (): number => Math.min(Math.ceil(availableParallelism() / 2), 4);

const schema = z.object(settings);
type Parsed = z.output<typeof schema>;

/** The settings, with the defaults that follow from others filled in. */
export interface Config extends Omit<Parsed, 'DECKLE_SERVERS' | 'PULP_CONTENT_ORIGIN' | 'PULP_TOKEN_SERVER'> {
  readonly DECKLE_SERVERS: number;
  readonly PULP_CONTENT_ORIGIN: string;
  readonly PULP_TOKEN_SERVER: string;
  /** What the variables hold that `PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS` names, without the ends of their lines; empty ones are left out. */
  readonly guardSecrets: ReadonlyMap<string, string>;
}

/** A setting that cannot be used. The message names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads the settings from an environment; an empty value counts as unset. Throws ConfigError, naming each wrong one. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const given = Object.fromEntries(Object.keys(settings).flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]) as keyof typeof settings;
      const value = settings[name].meta()?.secret ? '' : ` (is "${env[name]}")`;
      return `${name}: ${issue.message}${value}`;
    });
    throw new ConfigError(wrong.join('; '));
  }
  const contentOrigin = parsed.data.PULP_CONTENT_ORIGIN ?? `http://localhost:${parsed.data.PORT}`;
  return {
    ...parsed.data,
    DECKLE_SERVERS: parsed.data.DECKLE_SERVERS ?? usualServers(),
    PULP_CONTENT_ORIGIN: contentOrigin,
    PULP_TOKEN_SERVER: parsed.data.PULP_TOKEN_SERVER ?? `${contentOrigin}/token/`,
    guardSecrets: new Map(
      parsed.data.PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS.flatMap((name) => {
        const value = (env[name] ?? '').replace(/[\r\n]+$/, '');
        return value === '' ? [] : [[name, value]];
      }),
    ),
  };
}

/** Our environment with some settings changed: what a process that we start is given. */
export const environmentWith = (changes: Partial<Record<keyof typeof settings, string>>): NodeJS.ProcessEnv => ({
  ...process.env,
  ...changes,
});

/** The settings as a table for `--help`: name, default, description. */
export function settingsTable(): readonly { readonly name: string; readonly fallback: string; readonly description: string }[] {
  return Object.entries(settings).map(([name, setting]) => {
    const unset = setting.safeParse(undefined);
    const fallback =
      (name === 'DATA_DIR' ? './data' : undefined) ?? (unset.success && unset.data !== undefined ? String(unset.data) : '');
    return { name, fallback, description: String(setting.meta()?.description) };
  });
}
