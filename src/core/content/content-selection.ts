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
 * Two common table expressions, to follow others, that renew `last_seen` of content that is held by other means, so that orphan cleanup
 * spares it for a while once it is not; what was seen within the last five minutes is not written again, nor what somebody else writes.
 */
export const touchedContent = (selection: ContentSelection): Sql => sql`
  stale as materialized (
    select c.id from content c where c.id = any(array(${selection})) and c.last_seen < now() - interval '5 minutes'
    order by c.id for no key update skip locked),
  touched as (
    update content c set last_seen = now() from stale where c.id = stale.id)`;

/**
 * Two common table expressions, to follow others: `seen(id, artifact_id)` are those of the selected units that are there and stay there while
 * what finds them goes on, if that is a task: orphan cleanup spares them (docs/adr/015). Who looks for content in order to rely on it looks
 * here, in one statement: a unit that was found by one and touched by another statement may have gone in between. Locks in the order
 * of ids.
 */
export const seenContent = (selection: ContentSelection): Sql => sql`
  seen_rows as materialized (
    select c.id from content c where c.id = any(array(${selection})) order by c.id for no key update),
  seen as (
    update content c set last_seen = now() from seen_rows s where c.id = s.id returning c.id, c.artifact_id)`;

/** Those of the ids whose content is there: see `seenContent`. */
export async function seeContent(tx: Queryable, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(sql`with ${seenContent(contentIds(ids))} select id from seen`);
  return rows.map(({ id }) => id);
}

/** Sees the content of these ids, as `seeContent` does. Throws where some of it went before it could be held. */
export async function holdContent(tx: Queryable, ids: readonly string[]): Promise<void> {
  const wanted = new Set(ids);
  if ((await seeContent(tx, [...wanted])).length < wanted.size)
    throw new Error('Some of the content to add was removed, being an orphan, before the task ran.');
}
