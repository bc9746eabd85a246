import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { ConfigError } from './config.ts';
import { openAccess } from './core/access/access.ts';
import { checkStoredSecrets } from './core/stored-secrets.ts';
import { type Database, openDatabase } from './db/database.ts';
import { checkMigrated } from './db/migrate.ts';
import { sql } from './db/sql.ts';
import { catalogOf } from './kit/catalog.ts';
import type { Services } from './kit/services.ts';
import { withDeadline } from './lib/deadline.ts';
import { secretBox } from './lib/secret-box.ts';
import { loadSecretKeys } from './lib/secret-keys.ts';
import { plugins } from './plugins.ts';
import { openQueue } from './queue/bullmq.ts';
import { filesystemStorage } from './storage/filesystem.ts';

/** The services of a process, which closes them when it has stopped using them. */
export interface ProcessServices extends Services {
  /** Closes queue, storage and database, in this order; the first failure is thrown when all are closed. */
  close(): Promise<void>;
}

/** URL of the database. Throws ConfigError where the configuration has none: only `start` brings one of its own. */
export function databaseUrl(config: Config): string {
  if (config.DATABASE_URL) return config.DATABASE_URL;
  throw new ConfigError('DATABASE_URL: needed here; only `deckle start` runs a PostgreSQL of its own');
}

export const secretKeysFile = (config: Config): string => join(config.DATA_DIR, 'keys', 'secrets.key');

/** The keys that open the secrets of this installation, newest first. */
export const secretKeys = (config: Config) => loadSecretKeys({ file: secretKeysFile(config), given: config.DECKLE_SECRET_KEYS });

async function defaultDomain(db: Database): Promise<Services['domain']> {
  const [domain] = await db.query<Services['domain']>(sql`select id, name from domain where name = 'default'`);
  if (!domain) throw new ConfigError('DATABASE_URL: the database has not been set up; run `deckle migrate`');
  return domain;
}

interface Opened {
  readonly part: string;
  readonly close: () => Promise<void>;
}

/** A connection whose server died at the wrong moment may never say goodbye; the end of the process is as good a one. */
const CLOSE_LIMIT_MS = 3_500;

/** Closes one part after the other, and leaves one that does not close in time. The first failure is thrown when all have been tried. */
async function closeAll(parts: readonly Opened[], log: Logger): Promise<void> {
  const failures: unknown[] = [];
  for (const { part, close } of parts) {
    try {
      await withDeadline(close(), CLOSE_LIMIT_MS, `the ${part} did not close within ${CLOSE_LIMIT_MS / 1000} s`);
    } catch (error) {
      log.error({ err: error, part }, 'a part of this process could not be closed; it is left as it is');
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Opens everything a process is made of; `awaited` as for `openDatabase`. What was opened is closed again when a later part fails. */
export async function openServices(config: Config, log: Logger, { awaited = true } = {}): Promise<ProcessServices> {
  const url = databaseUrl(config);
  const opened: Opened[] = [];
  const close = () => closeAll(opened.splice(0).reverse(), log);
  try {
    const db = openDatabase(url, { max: config.DECKLE_DATABASE_CONNECTIONS, log, awaited });
    opened.push({ part: 'database', close: () => db.close() });
    await checkMigrated(db);
    const domain = await defaultDomain(db);
    const secrets = secretBox(await secretKeys(config));
    await checkStoredSecrets(db, secrets);
    const storage = await filesystemStorage({ root: join(config.DATA_DIR, 'media'), log });
    opened.push({ part: 'storage', close: () => storage.close() });
    const queue = await openQueue({ redis: config.REDIS_URL, database: url }, log);
    opened.push({ part: 'queue', close: () => queue.close() });
    const parts = { config, db, storage, queue, secrets, log, clock: () => new Date(), domain, catalog: catalogOf(plugins) };
    const access = await openAccess(parts);
    opened.push({ part: 'access policies', close: () => access.close() });
    return { ...parts, access, close };
  } catch (error) {
    await close().catch((cause: unknown) => log.debug({ err: cause }, 'closing after a failed start'));
    throw error;
  }
}
