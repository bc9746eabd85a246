import { anyOf, type ContentSelection, contentIds, type VersionChange } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Checksum } from '../format/checksum.ts';
import { CONFIGS, CONTENTS, SUMMARIES } from './content-tables.ts';

/** A ref that the coming version will hold. */
export interface ComingRef {
  readonly id: string;
  readonly name: string;
  readonly commit: Checksum;
  /** Bytes of the commit object. */
  readonly commit_size: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly version: string | null;
  /** Whether the version holds the commit too. */
  readonly held: boolean;
}

/** A file with a path of its own that the coming version will hold. */
export interface ComingFile {
  readonly id: string;
  readonly relative_path: string;
  /** Of the bytes; the key of the stored file. */
  readonly sha256: Checksum;
  readonly file: string;
  readonly added: boolean;
}

/** What a version will hold, as far as its made files follow from it. */
export interface ComingVersion {
  readonly refs: readonly ComingRef[];
  /** By path. */
  readonly files: ReadonlyMap<string, ComingFile>;
  /** Files of these paths that the latest version has, whatever the change does with them. */
  readonly latest: ReadonlyMap<string, ComingFile>;
  /** Those of the given commits that it will hold. */
  held(commits: readonly Checksum[]): Promise<ReadonlySet<Checksum>>;
}

/** Works out what the next version of a repository will hold once the change is made to its latest one. `paths`: see `latest`. */
export async function comingVersion(
  db: Queryable,
  repositoryId: string,
  change: VersionChange,
  paths: readonly string[],
): Promise<ComingVersion> {
  const after = afterOf(repositoryId, change);
  const refs = await db.query<ComingRef & { readonly added: boolean }>(sql`
    ${after}
    select r.id, r.name, k.checksum as commit, coalesce(a.size, 0) as commit_size, k.timestamp, k.version,
      exists (select from after c where c.id = k.id) as held, after.added
    from after join ostree_ref r on r.id = after.id join ostree_commit k on k.id = r.commit_id
    join content c on c.id = k.id left join artifact a on a.id = c.artifact_id`);
  const files = await db.query<ComingFile>(sql`
    ${after}
    select u.id, u.relative_path, a.sha256, a.file, after.added
    from after join content c on c.id = after.id join artifact a on a.id = c.artifact_id join (${PATHS}) u on u.id = after.id
    where c.pulp_type = any(${FILE_TYPES}::text[])`);
  const latest = await db.query<ComingFile>(sql`
    select u.id, u.relative_path, a.sha256, a.file, false as added
    from repository_content rc join content c on c.id = rc.content_id join artifact a on a.id = c.artifact_id join (${PATHS}) u on u.id = c.id
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null and c.pulp_type = any(${FILE_TYPES}::text[])
      and u.relative_path = any(${paths}::text[])`);
  return {
    refs: [...addedFirst(refs, ({ name }) => name).values()],
    files: addedFirst(files, ({ relative_path }) => relative_path),
    latest: new Map(latest.map((file) => [file.relative_path, file])),
    async held(commits) {
      if (commits.length === 0) return new Set();
      const rows = await db.query<{ checksum: Checksum }>(sql`
        ${after}
        select k.checksum from after join ostree_commit k on k.id = after.id where k.checksum = any(${commits}::text[])`);
      return new Set(rows.map(({ checksum }) => checksum));
    },
  };
}

const FILE_TYPES = [CONFIGS, SUMMARIES, CONTENTS].map(({ pulp_type }) => pulp_type);
const PATHS = sql`
  select id, relative_path from ostree_config union all
  select id, relative_path from ostree_summary union all
  select id, relative_path from ostree_content`;

/** Common table expressions; `after(id, added)`: what will be there, where units that replace each other are both counted. */
function afterOf(repositoryId: string, { add, remove, mirror = false }: VersionChange): Sql {
  const stays = mirror ? sql`false` : sql`not exists (select from removed where removed.id = rc.content_id)`;
  return sql`
    with added as materialized (select distinct s.id from (${add ?? contentIds([])}) as s(id)),
    removed as materialized (select s.id from (${remove ?? contentIds([])}) as s(id)),
    after as materialized (
      select added.id, true as added from added
      union all
      select rc.content_id, false from repository_content rc
      where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null and ${stays}
        and not exists (select from added where added.id = rc.content_id))`;
}

/** One row a key: what is added takes the place of what was there. */
function addedFirst<Row extends { readonly added: boolean }>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
): Map<string, Row> {
  const byKey = new Map<string, Row>();
  for (const row of rows) if (row.added || !byKey.has(keyOf(row))) byKey.set(keyOf(row), row);
  return byKey;
}

/** The change, with further units added, and others that are neither added nor stay. */
export function withUnits(
  change: VersionChange,
  add: readonly string[],
  drop: readonly string[],
): VersionChange & { readonly add: ContentSelection } {
  const wanted = change.add && sql`select s.id from (${change.add}) as s(id) where s.id <> all(${drop}::uuid[])`;
  return {
    ...change,
    add: anyOf([...(wanted ? [wanted] : []), contentIds(add)]),
    remove: anyOf([...(change.remove ? [change.remove] : []), contentIds(drop)]),
  };
}
