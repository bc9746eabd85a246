import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { recountChanges } from './version-counts.ts';

/**
 * Deletes versions, at least one of the repository being left: what they added or removed counts for the next version that is
 * left; where none follows, it never happened. What only they held leaves the repository. The repository's row must be locked.
 */
export async function squashVersions(tx: Queryable, repositoryId: string, numbers: readonly number[]): Promise<void> {
  if (numbers.length === 0) return;
  await tx.execute(sql`
    delete from repository_version where repository_id = ${repositoryId}::uuid and number = any(${numbers}::int[])`);
  const successors = await successorsOf(tx, repositoryId, numbers);
  await deleteUnheld(tx, repositoryId, numbers);
  await moveToSuccessors(tx, repositoryId, numbers);
  await joinAdjacent(tx, repositoryId, successors);
  if (successors.length > 0) await recountChanges(tx, repositoryId, successors);
}

/** The versions left that take over what the deleted ones did. */
async function successorsOf(tx: Queryable, repositoryId: string, numbers: readonly number[]): Promise<number[]> {
  const rows = await tx.query<{ number: number }>(sql`
    select distinct s.number from unnest(${numbers}::int[]) as gone(number)
    cross join lateral (
      select v.number from repository_version v
      where v.repository_id = ${repositoryId}::uuid and v.number > gone.number order by v.number limit 1) s`);
  return rows.map((row) => row.number);
}

/** Deletes the rows that no version left can see: none lies at or after their addition and before their removal. */
async function deleteUnheld(tx: Queryable, repositoryId: string, numbers: readonly number[]): Promise<void> {
  await tx.execute(sql`
    delete from repository_content rc
    where rc.repository_id = ${repositoryId}::uuid
      and (rc.version_added = any(${numbers}::int[]) or rc.version_removed = any(${numbers}::int[]))
      and not exists (
        select from repository_version v
        where v.repository_id = rc.repository_id and v.number >= rc.version_added
          and (rc.version_removed is null or v.number < rc.version_removed))`);
}

async function moveToSuccessors(tx: Queryable, repositoryId: string, numbers: readonly number[]): Promise<void> {
  const successor = (column: 'version_added' | 'version_removed') => {
    const number = column === 'version_added' ? sql`rc.version_added` : sql`rc.version_removed`;
    return sql`(select min(v.number) from repository_version v where v.repository_id = rc.repository_id and v.number >= ${number})`;
  };
  await tx.execute(sql`
    update repository_content rc set version_added = ${successor('version_added')}
    where rc.repository_id = ${repositoryId}::uuid and rc.version_added = any(${numbers}::int[])`);
  await tx.execute(sql`
    update repository_content rc set version_removed = ${successor('version_removed')}
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed = any(${numbers}::int[])`);
}

/** A unit that one squashed version removed and another added again was there all along: its two rows become one. */
async function joinAdjacent(tx: Queryable, repositoryId: string, successors: readonly number[]): Promise<void> {
  for (const number of successors.toSorted((a, b) => b - a)) {
    await tx.execute(sql`
      with later as (
        delete from repository_content rc using repository_content earlier
        where rc.repository_id = ${repositoryId}::uuid and rc.version_added = ${number}
          and earlier.repository_id = rc.repository_id and earlier.content_id = rc.content_id and earlier.version_removed = ${number}
        returning rc.content_id, rc.version_removed)
      update repository_content rc set version_removed = later.version_removed from later
      where rc.repository_id = ${repositoryId}::uuid and rc.content_id = later.content_id and rc.version_removed = ${number}`);
  }
}
