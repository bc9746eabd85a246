import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Checksum } from '../format/checksum.ts';

/** A file of the latest version that has a path of its own. */
export interface LatestFile {
  readonly id: string;
  readonly relative_path: string;
  /** Key of its stored bytes. */
  readonly file: string;
}

/** The summary, and the files that are neither it nor the config, of a repository's latest version, by path. */
export async function latestFiles(db: Database, repositoryId: string): Promise<ReadonlyMap<string, LatestFile>> {
  const rows = await db.query<LatestFile>(sql`
    select u.id, u.relative_path, a.file
    from repository_content rc
    join (select id, relative_path from ostree_summary union all select id, relative_path from ostree_content) u on u.id = rc.content_id
    join content c on c.id = u.id join artifact a on a.id = c.artifact_id
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null`);
  return new Map(rows.map((row) => [row.relative_path, row]));
}

/** Those of the commits that a repository's latest version holds. */
export async function latestCommits(
  db: Database,
  repositoryId: string,
  commits: readonly Checksum[],
): Promise<ReadonlySet<Checksum>> {
  const rows = await db.query<{ checksum: Checksum }>(sql`
    select k.checksum from ostree_commit k join repository_content rc on rc.content_id = k.id
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null and k.checksum = any(${commits}::text[])`);
  return new Set(rows.map(({ checksum }) => checksum));
}
