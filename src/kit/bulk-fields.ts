import type { Database } from '../db/database.ts';
import type { BulkValue, Resource, Row } from './define-resource.ts';

/** What is read at once, in the unit of `weigh`; a row that is heavier is read by itself. */
const MAX_WEIGHT = 50_000;

type BulkFields = readonly (readonly [name: string, bulk: BulkValue])[];

/** The fields whose values are not selected with their rows, as far as they are wanted. */
export const bulkFields = (resource: Resource, wanted: ReadonlySet<string> | undefined): BulkFields =>
  Object.entries(resource.fields).flatMap(([name, { bulk }]) => (bulk && (!wanted || wanted.has(name)) ? [[name, bulk]] : []));

/** The rows with their bulk values, so many at a time that memory is bounded: a page of small ones takes one query a field. */
export async function* withBulk(rows: readonly Row[], fields: BulkFields, db: Database): AsyncGenerator<Row> {
  for (const batch of await batches(rows, fields, db)) {
    const ids = batch.map((row) => row.id);
    const loaded = await Promise.all(fields.map(async ([name, bulk]) => [name, bulk.none, await bulk.load(ids, db)] as const));
    for (const row of batch) {
      yield { ...row, ...Object.fromEntries(loaded.map(([name, none, values]) => [name, values.get(row.id) ?? none])) };
    }
  }
}

/** The row with its bulk values. */
export async function wholeRow(row: Row, fields: BulkFields, db: Database): Promise<Row> {
  const values = await Promise.all(
    fields.map(async ([name, bulk]) => [name, (await bulk.load([row.id], db)).get(row.id) ?? bulk.none] as const),
  );
  return { ...row, ...Object.fromEntries(values) };
}

async function batches(rows: readonly Row[], fields: BulkFields, db: Database): Promise<Row[][]> {
  const ids = rows.map((row) => row.id);
  const weights = await Promise.all(fields.map(([, bulk]) => bulk.weigh(ids, db)));
  const made: Row[][] = [];
  let weight = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    const own = weights.reduce((sum, byId) => sum + (byId.get(row.id) ?? 0), 0);
    weight += own;
    if (weight > MAX_WEIGHT) {
      made.push([]);
      weight = own;
    }
    made.at(-1)?.push(row);
  }
  return made;
}
