import { contentIds, touchContent } from '../../../core/plugin-api.ts';
import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Checksum } from '../format/checksum.ts';

/** The types of objects that are units of `ostree.object`: file, dirtree, dirmeta. */
export type UnitType = 1 | 2 | 3;

/** An object as one text: the digit of its type, then its checksum. */
export type ObjectKey = string & { readonly __brand: 'ObjectKey' };

export const objectKey = (checksum: Checksum, typ: UnitType): ObjectKey => `${typ}${checksum}` as ObjectKey;
export const checksumOfKey = (key: ObjectKey): Checksum => key.slice(1) as Checksum;
export const typeOfKey = (key: ObjectKey): UnitType => Number(key[0]) as UnitType;

/** An object of the domain, of whatever repository. */
export interface KnownObject {
  readonly id: string;
  /** Key of its stored bytes; null where they are not here. */
  readonly file: string | null;
}

/** A commit of the domain. All objects that it consists of are known too. */
export interface KnownCommit {
  readonly id: string;
  readonly file: string | null;
}

/** A file of the domain that is kept under its path. */
export interface KnownFile {
  readonly id: string;
  readonly file: string | null;
}

/** The known ones of these objects; orphan cleanup spares them for a while. */
export async function findObjects(
  db: Database,
  domainId: string,
  keys: readonly ObjectKey[],
): Promise<ReadonlyMap<ObjectKey, KnownObject>> {
  const rows = await db.query<KnownObject & { readonly checksum: Checksum; readonly typ: UnitType }>(sql`
    select o.id, o.checksum, o.typ, a.file
    from unnest(${keys.map(checksumOfKey)}::text[], ${keys.map(typeOfKey)}::smallint[]) as k(checksum, typ)
    -- With a limit it is a look-up a key; as a join it is planned by statistics, and those of a table that is being filled are wrong.
    cross join lateral (
      select o.* from ostree_object o
      where o.domain_id = ${domainId}::uuid and o.checksum = k.checksum and o.typ = k.typ limit 1) o
    cross join lateral (select c.artifact_id from content c where c.id = o.id limit 1) c
    left join lateral (select a.file from artifact a where a.id = c.artifact_id limit 1) a on true`);
  await touch(db, rows);
  return new Map(rows.map(({ id, file, checksum, typ }) => [objectKey(checksum, typ), { id, file }]));
}

/** The known ones of these commits; orphan cleanup spares them for a while. */
export async function findCommits(
  db: Database,
  domainId: string,
  checksums: readonly Checksum[],
): Promise<ReadonlyMap<Checksum, KnownCommit>> {
  const rows = await db.query<KnownCommit & { readonly checksum: Checksum }>(sql`
    select k.id, k.checksum, a.file
    from ostree_commit k join content c on c.id = k.id left join artifact a on a.id = c.artifact_id
    where k.domain_id = ${domainId}::uuid and k.checksum = any(${checksums}::text[])`);
  await touch(db, rows);
  return new Map(rows.map(({ id, file, checksum }) => [checksum, { id, file }]));
}

/** The known file with this path and sha256; orphan cleanup spares it for a while. */
export async function findFile(db: Database, domainId: string, path: string, sha256: Checksum): Promise<KnownFile | undefined> {
  const rows = await db.query<KnownFile>(sql`
    select t.id, a.file from ostree_content t join content c on c.id = t.id join artifact a on a.id = c.artifact_id
    where t.domain_id = ${domainId}::uuid and t.relative_path = ${path} and t.digest = ${sha256} and a.sha256 = ${sha256}`);
  await touch(db, rows);
  return rows[0];
}

/** The objects of these commits whose bytes are not here: all that are stored whatever the policy, and files where `files` is set. */
export const findMissing = (
  db: Database,
  commits: readonly string[],
  files: boolean,
): Promise<readonly { readonly checksum: Checksum; readonly typ: UnitType }[]> =>
  db.query(sql`
    select o.checksum, o.typ
    from (select distinct co.object_id as id from ostree_commit_object co where co.commit_id = any(${commits}::uuid[])) u
    -- Look-ups, as above.
    cross join lateral (select c.id from content c where c.id = u.id and c.artifact_id is null limit 1) c
    cross join lateral (select o.checksum, o.typ from ostree_object o where o.id = c.id limit 1) o
    where o.typ <> 1 or ${files}`);

async function touch(db: Database, rows: readonly { readonly id: string }[]): Promise<void> {
  if (rows.length > 0) await touchContent(db, contentIds(rows.map(({ id }) => id)));
}
