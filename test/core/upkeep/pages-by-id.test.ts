import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { pagesById } from '../../../src/core/upkeep/pages-by-id.ts';
import { type Database, openDatabase } from '../../../src/db/database.ts';
import { sql } from '../../../src/db/sql.ts';
import { createDatabase, type TestDatabase } from '../../support/postgres.ts';

let database: TestDatabase;
let db: Database;
before(async () => {
  database = await createDatabase({ migrated: false });
  db = openDatabase(database.url, { max: 1, log: pino({ level: 'silent' }) });
});
after(async () => {
  await db?.close();
  await database?.drop();
});

const id = (number: number): string => `00000000-0000-7000-8000-00000000000${number}`;

/** The pages of rows that the database has in this order. */
async function pagesOf(numbers: readonly number[], size: number): Promise<number[][]> {
  const pages: number[][] = [];
  const rows = (after: string) =>
    sql`select t.id, t.n from unnest(${numbers.map(id)}::uuid[], ${numbers}::int[]) as t(id, n) where t.id > ${after}::uuid`;
  for await (const page of pagesById<{ id: string; n: number }>(db, size, rows)) pages.push(page.map(({ n }) => n));
  return pages;
}

test('pages are in the order of ids, and hold every row once', async () => {
  assert.deepEqual(await pagesOf([4, 2, 5, 1, 3], 2), [[1, 2], [3, 4], [5]]);
});

test('no page is empty', async () => {
  assert.deepEqual(await pagesOf([2, 1], 2), [[1, 2]]);
  assert.deepEqual(await pagesOf([], 2), []);
});
