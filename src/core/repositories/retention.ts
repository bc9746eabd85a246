import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { squashVersions } from './squash-versions.ts';

/**
 * Keeps the versions of a repository that a distribution is pinned to and, of the rest, the `retain` newest; the repository's row is
 * locked. The others are squashed into their successors, so that the oldest survivor's `added` is all that it holds (spec: repositories, Retention).
 */
export async function retainVersions(tx: Queryable, repositoryId: string, retain: number): Promise<void> {
  const surplus = await tx.query<{ number: number }>(sql`
    select v.number from repository_version v
    where v.repository_id = ${repositoryId}::uuid and not exists (select from distribution d where d.repository_version_id = v.id)
    order by v.number desc offset ${retain}`);
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
