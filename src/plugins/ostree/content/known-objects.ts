import { seenContent } from '../../../core/plugin-api.ts';
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

/** The known ones of these objects; orphan cleanup spares them while this task goes on. */
export async function findObjects(
  db: Database,
  domainId: string,
  keys: readonly ObjectKey[],
): Promise<ReadonlyMap<ObjectKey, KnownObject>> {
  const rows = await db.query<KnownObject & { readonly checksum: Checksum; readonly typ: UnitType }>(sql`
    with known as materialized (
      select o.id, o.checksum, o.typ
      from unnest(${keys.map(checksumOfKey)}::text[], ${keys.map(typeOfKey)}::smallint[]) as k(checksum, typ)
      -- With a limit it is a look-up a key; as a join it is planned by statistics, and those of a table that is being filled are wrong.
      cross join lateral (
        select o.* from ostree_object o
        where o.domain_id = ${domainId}::uuid and o.checksum = k.checksum and o.typ = k.typ limit 1) o),
    ${seenContent(sql`select id from known`)}
    select k.id, k.checksum, k.typ, a.file from known k join seen c on c.id = k.id
    left join lateral (select a.file from artifact a where a.id = c.artifact_id limit 1) a on true`);
  return new Map(rows.map(({ id, file, checksum, typ }) => [objectKey(checksum, typ), { id, file }]));
}

/** The known ones of these commits; orphan cleanup spares them while this task goes on. */
export async function findCommits(
  db: Database,
  domainId: string,
  checksums: readonly Checksum[],
): Promise<ReadonlyMap<Checksum, KnownCommit>> {
  const rows = await db.query<KnownCommit & { readonly checksum: Checksum }>(sql`
    with ${seenContent(sql`
      select k.id from ostree_commit k where k.domain_id = ${domainId}::uuid and k.checksum = any(${checksums}::text[])`)}
    select k.id, k.checksum, a.file
    from seen c join ostree_commit k on k.id = c.id left join artifact a on a.id = c.artifact_id`);
  return new Map(rows.map(({ id, file, checksum }) => [checksum, { id, file }]));
}

/** The known file with this path and sha256; orphan cleanup spares it while this task goes on. */
export async function findFile(db: Database, domainId: string, path: string, sha256: Checksum): Promise<KnownFile | undefined> {
  const [known] = await db.query<KnownFile>(sql`
    with ${seenContent(sql`
      select t.id from ostree_content t
      where t.domain_id = ${domainId}::uuid and t.relative_path = ${path} and t.digest = ${sha256}`)}
    select c.id, a.file from seen c join artifact a on a.id = c.artifact_id where a.sha256 = ${sha256}`);
  return known;
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
