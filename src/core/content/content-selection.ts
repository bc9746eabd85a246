import type { Queryable } from '../../db/database.ts';
import { join, type Sql, sql } from '../../db/sql.ts';

/** A query of one column, `id`: ids of content. It stays in the database, however many it selects. */
export type ContentSelection = Sql;

/** Selects nothing. */
export const noContent: ContentSelection = sql`select null::uuid as id where false`;

/** Selects these ids. */
export const contentIds = (ids: readonly string[]): ContentSelection => sql`select unnest(${ids}::uuid[]) as id`;

/** Selects what any of the selections selects. */
export const anyOf = (selections: readonly ContentSelection[]): ContentSelection =>
  selections.length === 0 ? noContent : join([...selections], ' union ');

/**
 * Renews `last_seen` of the selected content, so that orphan cleanup spares it; what was seen within the last five minutes is
 * not written again. Locks in the order of ids.
 */
export async function touchContent(tx: Queryable, selection: ContentSelection): Promise<void> {
  await tx.execute(sql`
    with stale as materialized (
      select c.id from content c where c.id in (${selection}) and c.last_seen < now() - interval '5 minutes'
      order by c.id for no key update)
    update content c set last_seen = now() from stale where c.id = stale.id`);
}
