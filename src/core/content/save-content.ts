import { v7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { EACH_BY_INDEX, empty, join, raw, type Sql, sql } from '../../db/sql.ts';
import { linkArtifacts } from '../artifacts/save-artifacts.ts';
import { seeContent } from './content-selection.ts';

/** A content type's table, as far as saving needs it. Names and types are the code's own. */
export interface ContentTable<Column extends string> {
  readonly pulp_type: string;
  readonly table: string;
  /** Columns beside `id` and `domain_id`, with their PostgreSQL types. */
  readonly columns: Readonly<Record<Column, string>>;
  /** What makes a unit the same as another one of its domain. */
  readonly key: readonly Column[];
  /** Whether the table has a `domain_id`, which then belongs to its key. */
  readonly domain: boolean;
}

/** A unit to save: its columns, and the artifact that holds its bytes, if they are stored. JSON columns take text. */
export type ContentRow<Column extends string> = Readonly<Record<Column, unknown>> & { readonly artifact_id: string | null };

/**
 * Saves units of one type, by one statement for all, and answers their ids in the order of `rows`. Units that are there already,
 * or that another transaction saves at the same time, are found by their key and left as they are, except that orphan cleanup spares
 * them from now on, and that those without a stored file get the one of their row. Keys must differ among rows.
 */
export async function saveContent<Column extends string>(
  tx: Queryable,
  domainId: string,
  table: ContentTable<Column>,
  rows: readonly ContentRow<Column>[],
): Promise<string[]> {
  const saved = new Array<string | undefined>(rows.length).fill(undefined);
  // More than once only where an orphan cleanup removes units between their being found and their being held.
  for (let left = rows.map((_, index) => index); left.length > 0; left = left.filter((index) => saved[index] === undefined)) {
    const ids = await saveOnce(
      tx,
      domainId,
      table,
      left.map((index) => rows[index] as ContentRow<Column>),
    );
    for (const [position, index] of left.entries()) saved[index] = ids[position];
  }
  return saved as string[];
}

/** As `saveContent`; undefined for units that were there, and went. */
async function saveOnce<Column extends string>(
  tx: Queryable,
  domainId: string,
  table: ContentTable<Column>,
  rows: readonly ContentRow<Column>[],
): Promise<(string | undefined)[]> {
  const own = rows.map(() => v7());
  const { made: inserted, lost } = await insertUnknown(tx, domainId, table, rows, own);
  if (inserted === rows.length) return own;
  const found = await findContent(tx, domainId, table, rows);
  const made = new Set(own);
  const known = found.filter((id): id is string => id !== undefined && !made.has(id));
  // Another transaction was faster with some: their content rows, which only this transaction sees, have no detail row.
  if (lost > 0) {
    const kept = new Set(found);
    await tx.execute(sql`delete from content where id = any(${own.filter((id) => !kept.has(id))}::uuid[])`);
  }
  if (known.length === 0) return found;
  const held = new Set(await seeContent(tx, known));
  const links = rows.flatMap(({ artifact_id }, index) => {
    const content_id = found[index];
    return artifact_id !== null && content_id !== undefined && held.has(content_id) ? [{ content_id, artifact_id }] : [];
  });
  await linkArtifacts(tx, links);
  return found.map((id) => (id !== undefined && (made.has(id) || held.has(id)) ? id : undefined));
}

/** The ids of the units with these keys, in the order of `rows`; undefined where there is none. */
export async function findContent<Column extends string>(
  tx: Queryable,
  domainId: string,
  table: ContentTable<Column>,
  rows: readonly Readonly<Record<Column, unknown>>[],
): Promise<(string | undefined)[]> {
  const found = await tx.query<{ ordinal: number; id: string }>(sql`
    select g.ordinal, t.id
    from unnest(${arraysOf(table, table.key, rows)}) with ordinality as g(${names(table.key)}, ordinal)
    join ${raw(table.table)} t on ${sameKey(table, domainId)}`);
  const ids = new Array<string | undefined>(rows.length).fill(undefined);
  for (const row of found) ids[row.ordinal - 1] = row.id;
  return ids;
}

/** Inserts what is not there, in the order of keys, so that transactions wait for each other in one direction only. Answers how many were inserted, and how many another transaction inserted first. */
async function insertUnknown<Column extends string>(
  tx: Queryable,
  domainId: string,
  table: ContentTable<Column>,
  rows: readonly ContentRow<Column>[],
  ids: readonly string[],
): Promise<{ made: number; lost: number }> {
  const [result] = await tx.query<{ made: number; lost: number }>(sql`
    with ${freshContent(domainId, table, rows, ids)}
    select d.count as made, f.count - d.count as lost
    from (select count(*) from fresh) f, (select count(*) from detail) d`);
  if (!result) throw new Error(`what was inserted into ${table.table} was not counted`);
  return result;
}

/**
 * Common table expressions that insert what is not there, under these ids: `fresh` are the rows that were not there, `detail(id)` those
 * that no other transaction has inserted first; of the others, if there are any, the rows of `content` are to be deleted again.
 */
export function freshContent<Column extends string>(
  domainId: string,
  table: ContentTable<Column>,
  rows: readonly ContentRow<Column>[],
  ids: readonly string[],
): Sql {
  const columns = Object.keys(table.columns) as Column[];
  const domainName = table.domain ? sql`domain_id, ` : empty;
  const domainValue = table.domain ? sql`${domainId}::uuid, ` : empty;
  return sql`
    given as materialized (
      select * from unnest(
        (select ${ids}::uuid[]), (select ${rows.map((row) => row.artifact_id)}::uuid[]), ${arraysOf(table, columns, rows)})
        as u(id, artifact_id, ${names(columns)})),
    fresh as materialized (
      select g.* from given g where not exists (
        select from ${raw(table.table)} t where ${sameKey(table, domainId)} ${EACH_BY_INDEX})),
    master as (
      insert into content (id, domain_id, pulp_type, artifact_id)
      select f.id, ${domainId}::uuid, ${table.pulp_type}, f.artifact_id from fresh f),
    detail as (
      insert into ${raw(table.table)} (id, ${domainName}${names(columns)})
      select f.id, ${domainValue}${names(columns, 'f')} from fresh f order by ${names(table.key, 'f')}
      on conflict do nothing returning id)`;
}

const names = (columns: readonly string[], alias?: string): Sql =>
  raw(columns.map((column) => (alias ? `${alias}."${column}"` : `"${column}"`)).join(', '));

/**
 * One array parameter a column. In a subquery, as the statement is then planned once, not each time for so many rows: they are looked up one by
 * one, however many.
 */
const arraysOf = <Column extends string>(
  table: ContentTable<Column>,
  columns: readonly Column[],
  rows: readonly Readonly<Record<Column, unknown>>[],
): Sql => join(columns.map((column) => sql`(select ${rows.map((row) => row[column])}::${raw(table.columns[column])}[])`));

/** The condition that row `g` and the table's row `t` are the same unit. */
const sameKey = <Column extends string>(table: ContentTable<Column>, domainId: string): Sql => {
  const keys = table.key.map((column) => raw(`t."${column}" = g."${column}"`));
  return join(table.domain ? [sql`t.domain_id = ${domainId}::uuid`, ...keys] : keys, ' and ');
};
