import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { squashVersions } from './squash-versions.ts';

/**
 * Keeps the `retain` newest versions of a repository whose row is locked, and those that a distribution is pinned to; the others
 * are squashed into their successors, so that the oldest survivor's `added` is all that it holds (spec: repositories, Retention).
 */
export async function retainVersions(tx: Queryable, repositoryId: string, retain: number): Promise<void> {
  const surplus = await tx.query<{ number: number }>(sql`
    select v.number from (
      select id, number from repository_version where repository_id = ${repositoryId}::uuid
      order by number desc offset ${retain}) v
    where not exists (select from distribution d where d.repository_version_id = v.id)`);
  await squashVersions(
    tx,
    repositoryId,
    surplus.map((row) => row.number),
  );
}

/** For an update of the repository: applies its `retain_repo_versions` as it stands in the row now. Locks the row. */
export async function applyRetention(tx: Queryable, repositoryId: string): Promise<void> {
  const [repository] = await tx.query<{ retain_repo_versions: number | null }>(sql`
    select retain_repo_versions from repository where id = ${repositoryId}::uuid for no key update`);
  if (repository && repository.retain_repo_versions !== null) {
    await retainVersions(tx, repositoryId, repository.retain_repo_versions);
  }
}
