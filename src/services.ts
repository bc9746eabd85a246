import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { ConfigError } from './config.ts';
import { checkStoredSecrets } from './core/stored-secrets.ts';
import { type Database, openDatabase } from './db/database.ts';
import { checkMigrated } from './db/migrate.ts';
import { sql } from './db/sql.ts';
import { catalogOf } from './kit/catalog.ts';
import type { Services } from './kit/services.ts';
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

/** Opens everything a process is made of. What was opened is closed again when a later part fails. */
export async function openServices(config: Config, log: Logger): Promise<ProcessServices> {
  const url = databaseUrl(config);
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    const outcomes = [];
    for (const closer of closers.splice(0).reverse()) outcomes.push(...(await Promise.allSettled([closer()])));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  };
  try {
    const db = openDatabase(url, { max: config.DECKLE_DATABASE_CONNECTIONS, log });
    closers.push(() => db.close());
    await checkMigrated(db);
    const domain = await defaultDomain(db);
    const secrets = secretBox(await secretKeys(config));
    await checkStoredSecrets(db, secrets);
    const storage = await filesystemStorage({ root: join(config.DATA_DIR, 'media'), log });
    closers.push(() => storage.close());
    const queue = await openQueue({ redis: config.REDIS_URL, database: url }, log);
    closers.push(() => queue.close());
    return { config, db, storage, queue, secrets, log, clock: () => new Date(), domain, catalog: catalogOf(plugins), close };
  } catch (error) {
    await close().catch((cause: unknown) => log.debug({ err: cause }, 'closing after a failed start'));
    throw error;
  }
}
