import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Logger } from 'pino';
import { packageRoot } from '../lib/package-root.ts';
import { MIGRATION_LOCK } from './advisory-locks.ts';
import type { Database } from './database.ts';
import { sql } from './sql.ts';

/** Why the migrations and the database do not fit; the message says what to do. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

// As Prisma Migrate makes it: its commands work on the same table.
const HISTORY = `create table if not exists _prisma_migrations (
  id varchar(36) primary key not null,
  checksum varchar(64) not null,
  finished_at timestamptz,
  migration_name varchar(255) not null,
  logs text,
  rolled_back_at timestamptz,
  started_at timestamptz not null default now(),
  applied_steps_count integer not null default 0
)`;

export interface Migration {
  readonly name: string;
  readonly statements: string;
  readonly checksum: string;
}

/** The migrations that this version of Deckle brings, in the order they are applied. */
export function readMigrations(folder = join(packageRoot(), 'prisma', 'migrations')): Migration[] {
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'migration.sql')))
    .sort()
    .map((name) => {
      const statements = readFileSync(join(folder, name, 'migration.sql'), 'utf8');
      return { name, statements, checksum: createHash('sha256').update(statements).digest('hex') };
    });
}

/** The migrations that are not applied yet. Throws when those that are differ from ours. */
async function pending(client: pg.Client, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    'select migration_name, checksum, finished_at is not null as finished from _prisma_migrations where rolled_back_at is null',
  );
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const { migration_name: name, checksum, finished } of rows) {
    const migration = known.get(name);
    if (!finished) throw new MigrationError(`migration ${name} has failed before; see \`prisma migrate resolve\``);
    if (!migration) throw new MigrationError(`the database has migration ${name} of a newer Deckle; start that version`);
    if (migration.checksum !== checksum) throw new MigrationError(`migration ${name} was changed after it was applied`);
  }
  const applied = new Set(rows.map((row) => row.migration_name));
  return migrations.filter((migration) => !applied.has(migration.name));
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.statements);
    await client.query(
      `insert into _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
       values ($1, $2, clock_timestamp(), $3, 1)`,
      [randomUUID(), migration.checksum, migration.name],
    );
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback').catch(() => undefined); // the connection may be what failed
    throw new MigrationError(`migration ${migration.name} failed: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Brings the database to this version's schema and answers how many migrations that took. Each is one transaction; of
 * several processes that start at once, one applies them and the others wait. Throws MigrationError.
 */
export async function migrate(url: string, log: Logger, migrations: readonly Migration[] = readMigrations()): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // the statement in hand reports it
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await client.query(HISTORY);
    const todo = await pending(client, migrations);
    for (const migration of todo) {
      await apply(client, migration);
      log.info({ migration: migration.name }, 'migration applied');
    }
    return todo.length;
  } finally {
    await client.end();
  }
}

/** Throws MigrationError where the database is not at this version's schema. For processes that do not migrate themselves. */
export async function checkMigrated(db: Database): Promise<void> {
  const [history] = await db.query<{ present: boolean }>(sql`select to_regclass('_prisma_migrations') is not null as present`);
  const rows = history?.present
    ? await db.query<{ migration_name: string }>(sql`select migration_name from _prisma_migrations where finished_at is not null`)
    : [];
  const applied = new Set(rows.map((row) => row.migration_name));
  const missing = readMigrations().find((migration) => !applied.has(migration.name));
  if (missing) throw new MigrationError(`the database lacks migration ${missing.name}; run \`deckle migrate\` first`);
}
