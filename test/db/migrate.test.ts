import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { openDatabase } from '../../src/db/database.ts';
import { checkMigrated, MigrationError, migrate, readMigrations } from '../../src/db/migrate.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

const log = pino({ level: 'silent' });
const migration = (name: string, statements: string, checksum = `sum of ${name}`) => ({ name, statements, checksum });

describe('migrations', () => {
  let database: TestDatabase;
  let client: pg.Client;
  before(async () => {
    database = await createDatabase({ migrated: false });
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });
  beforeEach(async () => {
    await client.query('drop schema public cascade; create schema public');
  });
  after(async () => {
    await client?.end();
    await database?.drop();
  });
  const tables = async () => {
    const { rows } = await client.query<{ name: string }>(
      `select table_name as name from information_schema.tables where table_schema = 'public' order by 1`,
    );
    return rows.map(({ name }) => name);
  };

  test('are applied once, whoever starts at the same time', async () => {
    const list = [migration('1_one', 'create table one (id int)'), migration('2_two', 'create table two (id int)')];
    const counts = await Promise.all([1, 2, 3, 4].map(() => migrate(database.url, log, list)));
    assert.deepEqual(counts.toSorted(), [0, 0, 0, 2]);
    assert.deepEqual(await tables(), ['_prisma_migrations', 'one', 'two']);
    assert.equal(await migrate(database.url, log, [...list, migration('3_three', 'create table three (id int)')]), 1);
  });

  test('that fail leave nothing of themselves behind, and what came before stays', async () => {
    const list = [migration('1_one', 'create table one (id int)'), migration('2_bad', 'create table two (id int); select 1/0')];
    await assert.rejects(migrate(database.url, log, list), (error: unknown) => {
      assert.ok(error instanceof MigrationError);
      assert.match(error.message, /^migration 2_bad failed: division by zero$/);
      return true;
    });
    assert.deepEqual(await tables(), ['_prisma_migrations', 'one']);
    assert.equal(await migrate(database.url, log, [list[0], migration('2_bad', 'create table two (id int)')] as typeof list), 1);
  });

  test('that were changed after they were applied are refused', async () => {
    await migrate(database.url, log, [migration('1_one', 'create table one (id int)')]);
    await assert.rejects(migrate(database.url, log, [migration('1_one', 'create table one (id bigint)', 'another')]), {
      message: 'migration 1_one was changed after it was applied',
    });
  });

  test('of a newer version are refused', async () => {
    await migrate(database.url, log, [migration('1_one', 'create table one (id int)'), migration('2_two', 'select 1')]);
    await assert.rejects(migrate(database.url, log, [migration('1_one', 'create table one (id int)')]), {
      message: 'the database has migration 2_two of a newer Deckle; start that version',
    });
  });

  test('that are missing keep a server from starting', async () => {
    const db = openDatabase(database.url, { max: 1, log });
    await assert.rejects(checkMigrated(db), /lacks migration .* run `deckle migrate` first/);
    await migrate(database.url, log);
    await checkMigrated(db);
    await db.close();
  });

  test("keep Prisma's own history: its checksum is that of the file", async () => {
    await migrate(database.url, log);
    const { rows } = await client.query(
      'select migration_name, checksum, applied_steps_count, finished_at is not null as finished from _prisma_migrations order by 1',
    );
    assert.deepEqual(
      rows,
      readMigrations().map(({ name, checksum }) => ({ migration_name: name, checksum, applied_steps_count: 1, finished: true })),
    );
  });
});
