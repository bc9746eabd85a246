import { inVersion } from '../../../core/plugin-api.ts';
import { join, type Sql, sql } from '../../../db/sql.ts';
import type { Folder, FolderEntry } from '../../../kit/content-handler.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import { isFilePath } from './file-path.ts';

const MAX_ENTRIES = 10_000;

interface EntryRow {
  readonly name: string;
  readonly size: number | null;
  readonly modified: string | null;
}

/**
 * What a version holds below a path, '' for all: one query, whose cost follows the number of units of the kinds that can be there.
 * Undefined where there is nothing.
 */
export async function listFolder(
  { db }: Pick<Services, 'db'>,
  version: ServedVersion,
  path: string,
): Promise<Folder | undefined> {
  if (isFilePath(path)) return undefined;
  const folder = path === '' ? '' : `${path}/`;
  const rows = await db.query<EntryRow>(folderQuery(version, folder));
  if (rows.length === 0) return undefined;
  const entries = rows
    .slice(0, MAX_ENTRIES)
    .map(({ name, size, modified }): FolderEntry => ({ name, size: size ?? undefined, modified: modified ?? undefined }));
  return { entries, more: rows.length > MAX_ENTRIES };
}

/** Each path is cut to the part that follows the folder; what is further below makes a folder of it. */
function folderQuery(version: ServedVersion, folder: string): Sql {
  const part = sql`substr(u.path, length(${folder}::text) + 1)`;
  return sql`
    select case when is_folder then name || '/' else name end as name, max(size) as size, max(modified) as modified
    from (
      select split_part(${part}, '/', 1) collate "C" as name, strpos(${part}, '/') > 0 as is_folder,
        case when strpos(${part}, '/') = 0 then u.size end as size, u.modified
      from (${join(branchesOf(version, folder), ' union all ')}) u
      where starts_with(u.path, ${folder})) entries
    group by entries.name, is_folder
    order by entries.name, is_folder limit ${MAX_ENTRIES + 1}`;
}

const OBJECT_FOLDER = /^objects\/([0-9a-f]{2})\/$/;

/** The paths of the units that can lie in the folder; of those that lie further below, one a folder is enough. */
function branchesOf(version: ServedVersion, folder: string): Sql[] {
  const branches = [unitPaths(version, sql`ostree_content`, sql`t.relative_path`)];
  const prefix = OBJECT_FOLDER.exec(folder)?.[1];
  if (folder === '') {
    branches.push(unitPaths(version, sql`ostree_config`, sql`'config'`), unitPaths(version, sql`ostree_summary`, sql`'summary'`));
    branches.push(
      kindPath(version, ['ostree.refs'], 'refs/*'),
      kindPath(version, ['ostree.commit', 'ostree.object'], 'objects/*'),
    );
  } else if (folder.startsWith('refs/')) {
    branches.push(refPaths(version));
  } else if (folder === 'objects/') {
    branches.push(...OBJECT_TABLES.map(([table]) => prefixPaths(version, table)));
  } else if (prefix !== undefined) {
    branches.push(...OBJECT_TABLES.map(([table, suffix]) => objectPaths(version, table, suffix, prefix)));
  }
  return branches;
}

const OBJECT_TABLES: readonly (readonly [table: Sql, suffix: Sql])[] = [
  [sql`ostree_commit`, sql`'commit'`],
  [sql`ostree_object`, sql`case t.typ when 1 then 'filez' when 2 then 'dirtree' else 'dirmeta' end`],
];

/** A path of units of one of these types, where the version has any. */
const kindPath = ({ repository_id, number }: ServedVersion, types: readonly string[], path: string): Sql => sql`
  select ${path}::text as path, null::bigint as size, v.pulp_created as modified
  from repository_version v
  where v.repository_id = ${repository_id}::uuid and v.number = ${number} and jsonb_exists_any(v.present, ${types}::text[])`;

/** Since when the repository has a unit: the date that Pulp's pages tell. */
const ADDED = sql`join repository_version added on added.repository_id = rc.repository_id and added.number = rc.version_added`;

const unitPaths = (version: ServedVersion, table: Sql, path: Sql): Sql => sql`
  select ${path} as path, a.size, added.pulp_created as modified
  from ${table} t join repository_content rc on rc.content_id = t.id join content c on c.id = t.id
    left join artifact a on a.id = c.artifact_id ${ADDED}
  where ${inVersion(version)}`;

const prefixPaths = (version: ServedVersion, table: Sql): Sql => sql`
  select distinct 'objects/' || left(t.checksum, 2) || '/*' as path, null::bigint as size, null::timestamptz as modified
  from ${table} t join repository_content rc on rc.content_id = t.id
  where ${inVersion(version)}`;

/** A folder of objects: those whose checksums begin with two digits. */
const objectPaths = (version: ServedVersion, table: Sql, suffix: Sql, prefix: string): Sql => sql`
  select 'objects/' || left(t.checksum, 2) || '/' || substr(t.checksum, 3) || '.' || ${suffix} as path, a.size,
    added.pulp_created as modified
  from ${table} t join repository_content rc on rc.content_id = t.id join content c on c.id = t.id
    left join artifact a on a.id = c.artifact_id ${ADDED}
  where ${inVersion(version)} and t.checksum >= ${prefix} and t.checksum < ${`${prefix}g`}`;

/** The file of a ref holds a checksum and a newline. */
const refPaths = (version: ServedVersion): Sql => sql`
  select 'refs/heads/' || t.name as path, 65 as size, added.pulp_created as modified
  from ostree_ref t join repository_content rc on rc.content_id = t.id ${ADDED}
  where ${inVersion(version)}`;
