import type { Queryable } from '../db/database.ts';
import { type Sql, sql } from '../db/sql.ts';

/** Tables whose number of rows is kept, by triggers (ADR 018). */
export type CountedTable =
  | 'artifact'
  | 'audit_entry'
  | 'content'
  | 'content_guard'
  | 'distribution'
  | 'remote'
  | 'repository'
  | 'repository_version'
  | 'task'
  | 'task_group';

/** The rows of a list, as they are counted. */
export interface Counted {
  readonly table: CountedTable;
  /** Of a table of several types, the one that the list is of; absent: all. */
  readonly pulpType?: string;
  /**
   * What a filtered list is counted from, in place of the resource's `from`; default: that. A left join here is nothing that the database does,
   * unless a filter needs it, so it may stand for a join that every row of the type passes.
   */
  readonly from?: Sql;
}

/** How many rows the table has, of the types if some are given: exact for what is committed. */
export async function keptCount(db: Queryable, table: CountedTable, types?: readonly string[]): Promise<number> {
  const ofTypes = types ? sql`and pulp_type = any(${types})` : sql``;
  const [row] = await db.query<{ count: number }>(
    sql`select coalesce(sum(rows), 0)::bigint as count from row_count where table_name = ${table} ${ofTypes}`,
  );
  return row?.count ?? 0;
}
