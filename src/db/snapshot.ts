import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { BACKUP_LOCK, MIGRATION_LOCK } from './advisory-locks.ts';
import { namedDatabaseError } from './database-away.ts';
import { MigrationError } from './migrate.ts';

/** Somebody else is making a backup of this database. */
export class BackupRunningError extends Error {
  override readonly name = 'BackupRunningError';
}

export interface TableShape {
  readonly name: string;
  readonly columns: readonly string[];
}

export interface SequenceState {
  readonly name: string;
  readonly last: number;
}

/** The whole database as it was at one moment, and the right to be the one backup until it is closed. */
export interface Snapshot {
  readonly migrations: readonly { readonly name: string; readonly checksum: string }[];
  /** All tables but the history of migrations, by name. */
  readonly tables: readonly TableShape[];
  readonly sequences: readonly SequenceState[];
  /** Writes a table, or what a `select` without parameters answers, as text of COPY; answers the number of rows. Ends `target`. */
  copyOut(source: TableShape | string, target: Writable): Promise<number>;
  /** Ends the reading; the right remains. */
  endReading(): Promise<void>;
  /** Throws DatabaseAwayError where the right was lost meanwhile, with the connection. */
  confirm(): Promise<void>;
  close(): Promise<void>;
}

const quoted = (name: string): string => pg.escapeIdentifier(name);
const columnList = ({ columns }: TableShape): string => columns.map(quoted).join(', ');

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, keepAlive: true, options: '-c timezone=UTC -c datestyle=ISO' });
  client.on('error', () => undefined); // the statement in hand, or the next one, reports it
  try {
    await client.connect();
    await client.query('set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set idle_session_timeout = 0');
  } catch (error) {
    await client.end().catch(() => undefined);
    throw namedDatabaseError(error);
  }
  return client;
}

const TABLES = `
  select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relname <> '_prisma_migrations'
  group by c.relname order by c.relname`;

async function beginReading(client: pg.Client): Promise<Pick<Snapshot, 'migrations' | 'tables' | 'sequences'>> {
  const { rows: locks } = await client.query<{ free: boolean }>('select pg_try_advisory_lock($1) as free', [BACKUP_LOCK]);
  if (!locks[0]?.free) throw new BackupRunningError('another backup of this database is running; wait for its end');
  // Nobody changes the schema while it is read.
  await client.query('select pg_advisory_lock_shared($1)', [MIGRATION_LOCK]);
  await client.query('begin isolation level repeatable read, read only');
  const { rows: migrations } = await client.query<{ name: string; checksum: string }>(
    'select migration_name as name, checksum from _prisma_migrations where finished_at is not null and rolled_back_at is null order by migration_name',
  );
  const { rows: tables } = await client.query<{ name: string; columns: string[] }>(TABLES);
  const { rows: sequences } = await client.query<{ name: string; last: string }>(
    'select sequencename as name, last_value as last from pg_sequences where schemaname = current_schema() and last_value is not null order by 1',
  );
  return { migrations, tables, sequences: sequences.map(({ name, last }) => ({ name, last: Number(last) })) };
}

/** Begins a backup of the database. Throws BackupRunningError, DatabaseAwayError, and MigrationError where it was never set up. */
export async function openSnapshot(url: string): Promise<Snapshot> {
  const client = await connect(url);
  try {
    const shape = await beginReading(client);
    return {
      ...shape,
      async copyOut(source, target) {
        const what = typeof source === 'string' ? `(${source})` : `${quoted(source.name)} (${columnList(source)})`;
        const stream = client.query(copyTo(`copy ${what} to stdout`));
        try {
          await pipeline(stream, target);
        } catch (error) {
          throw namedDatabaseError(error);
        }
        return stream.rowCount;
      },
      async endReading() {
        await client.query('commit');
        await client.query('select pg_advisory_unlock_shared($1)', [MIGRATION_LOCK]);
      },
      async confirm() {
        try {
          await client.query('select 1');
        } catch (error) {
          throw namedDatabaseError(error);
        }
      },
      close: () => client.end(),
    };
  } catch (error) {
    await client.end().catch(() => undefined);
    if ((error as { code?: string }).code === '42P01')
      throw new MigrationError('the database has not been set up; there is nothing to back up');
    throw namedDatabaseError(error);
  }
}

/** Whether nothing was ever stored: there are no tables, or none of them has a row. */
export async function isEmptyDatabase(url: string): Promise<boolean> {
  const client = await connect(url);
  try {
    const { rows } = await client.query<{ name: string }>(TABLES);
    for (const { name } of rows) if ((await client.query(`select from ${quoted(name)} limit 1`)).rowCount) return false;
    return true;
  } finally {
    await client.end();
  }
}

export interface LoadedTable extends TableShape {
  readonly rows: number;
  /** Its text, as `copyOut` wrote it. */
  open(): Readable;
}

/**
 * Fills an empty database, which has the schema that the snapshot had, in one transaction, without its triggers. References are taken off
 * and put on again, so that they are proven once for each table and not for each row.
 */
export async function loadDatabase(
  url: string,
  tables: readonly LoadedTable[],
  sequences: readonly SequenceState[],
): Promise<void> {
  const client = await connect(url);
  try {
    await client.query('begin');
    const { rows: references } = await client.query<{ owner: string; name: string; definition: string }>(`
      select conrelid::regclass::text as owner, quote_ident(conname) as name, pg_get_constraintdef(oid) as definition
      from pg_constraint where contype = 'f' and connamespace = current_schema()::regnamespace order by conname`);
    for (const { owner, name } of references) await client.query(`alter table ${owner} drop constraint ${name}`);
    // What triggers have written is among the rows already.
    const triggers = (state: 'enable' | 'disable') =>
      client.query(tables.map(({ name }) => `alter table ${quoted(name)} ${state} trigger user`).join(';'));
    await triggers('disable');
    for (const table of tables) {
      const stream = client.query(copyFrom(`copy ${quoted(table.name)} (${columnList(table)}) from stdin`));
      await pipeline(table.open(), stream);
      if (stream.rowCount !== table.rows)
        throw new Error(`table ${table.name} has ${stream.rowCount} rows in place of ${table.rows}`);
    }
    await triggers('enable');
    for (const { owner, name, definition } of references)
      await client.query(`alter table ${owner} add constraint ${name} ${definition}`);
    for (const { name, last } of sequences) await client.query('select setval($1::regclass, $2)', [quoted(name), last]);
    await client.query('commit');
    await client.query('analyze');
  } catch (error) {
    throw namedDatabaseError(error);
  } finally {
    await client.end();
  }
}
