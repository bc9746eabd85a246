import { createHash } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { removePostgres, startPostgres } from '../../src/embedded/postgres.ts';

// One PostgreSQL serves every test file of every run on this machine. Each process that uses it holds a shared lock in
// it; the one that finds itself alone when it leaves stops it and removes its folder.
const FOLDER = join(tmpdir(), `deckle-tests-${process.getuid?.() ?? 'user'}`);
const PRESENCE_LOCK = 4711;
const TEMPLATE_LOCK = 4712;
const JOIN_SECONDS = 60;

interface Member {
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<pg.QueryResult<Row>>;
  readonly urlOf: (database: string, role?: 'deckle' | 'postgres') => string;
  leave(): Promise<void>;
}

/** Keeps the process alive until the promise is settled. */
async function heldUntil<T>(promise: Promise<T>): Promise<T> {
  const hold = setInterval(() => undefined, 60_000);
  try {
    return await promise;
  } finally {
    clearInterval(hold);
  }
}

async function tryJoin(): Promise<Member> {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  const folder = join(FOLDER, 'postgres');
  const server = await startPostgres({ folder, log: pino({ level: 'warn' }), durable: false });
  const client = new pg.Client({ connectionString: server.superuserUrl });
  client.on('error', () => undefined); // the statement in hand reports it
  await client.connect();
  try {
    await client.query('select pg_advisory_lock_shared($1)', [PRESENCE_LOCK]);
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  // A test that fails to clean up after itself must end all the same: only a statement at work keeps the process alive.
  (client as pg.Client & { unref(): void }).unref();
  const query: Member['query'] = (text, values = []) => heldUntil(client.query(text, [...values]));
  return {
    query,
    urlOf: (database, role = 'deckle') => {
      const url = new URL(role === 'deckle' ? server.url : server.superuserUrl);
      url.pathname = `/${database}`;
      return url.href;
    },
    leave: async () => {
      await query('select pg_advisory_unlock_shared($1)', [PRESENCE_LOCK]);
      const { rows } = await query<{ last: boolean }>('select pg_try_advisory_lock($1) as last', [PRESENCE_LOCK]);
      if (rows[0]?.last) {
        // Out of the way before it stops: whoever joins from now on makes a new one.
        const old = `${folder}.${process.pid}.${Date.now()}`;
        renameSync(folder, old);
        await server.stop();
        removePostgres(old);
      }
      await heldUntil(client.end()).catch(() => undefined);
    },
  };
}

/** Joins the PostgreSQL of the tests, starting it where none runs. Fails and tries again when it is just being stopped. */
async function joinPostgres(): Promise<Member> {
  for (const end = Date.now() + JOIN_SECONDS * 1000; ; await delay(100)) {
    try {
      return await tryJoin();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

let member: Promise<Member> | undefined;
let users = 0;

/** Keeps the PostgreSQL of the tests running until the answer is called. */
export async function keepPostgres(): Promise<() => Promise<void>> {
  users += 1;
  member ??= joinPostgres();
  const joined = await member;
  return async () => {
    users -= 1;
    if (users > 0) return;
    member = undefined;
    await joined.leave();
  };
}

/** Name of a migrated database that others are copied from; made once for each state of the migrations. */
async function templateOf({ query, urlOf }: Member): Promise<string> {
  const state = createHash('sha256');
  for (const { name, checksum } of readMigrations()) state.update(`${name} ${checksum}\n`);
  const name = `template_${state.digest('hex').slice(0, 16)}`;
  await query('select pg_advisory_lock($1)', [TEMPLATE_LOCK]);
  try {
    const { rowCount } = await query('select from pg_database where datname = $1', [name]);
    if (rowCount === 0) {
      await query(`drop database if exists ${name}_new`);
      await query(`create database ${name}_new owner deckle`);
      await migrate(urlOf(`${name}_new`), pino({ level: 'warn' }));
      await query(`alter database ${name}_new rename to ${name}`);
    }
  } finally {
    await query('select pg_advisory_unlock($1)', [TEMPLATE_LOCK]);
  }
  return name;
}

export interface TestDatabase {
  /** With the privileges that Deckle's own role has. */
  readonly url: string;
  drop(): Promise<void>;
}

let made = 0;

/**
 * A database of its own for a test file, on real PostgreSQL; dropped, with whatever is connected to it, by `drop`.
 * `migrated: false` is an empty one.
 */
export async function createDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  const release = await keepPostgres();
  const joined = await (member as Promise<Member>);
  made += 1;
  const name = `test_${process.pid}_${made}_${Date.now().toString(36)}`;
  const template = migrated ? `template ${await templateOf(joined)}` : '';
  await joined.query(`create database ${name} owner deckle ${template}`);
  return {
    url: joined.urlOf(name),
    drop: async () => {
      await joined.query(`drop database ${name} with (force)`);
      await release();
    },
  };
}
