import { createWriteStream } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import { forEachConcurrent } from '../../../lib/concurrent-map.ts';
import type { UnitType } from '../content/known-objects.ts';
import type { Checksum } from '../format/checksum.ts';
import { ObjectType, objectPath } from '../format/object.ts';
import { runOstree } from './ostree-program.ts';

const FILES_AT_ONCE = 32;

interface HeldObject {
  readonly checksum: Checksum;
  readonly typ: UnitType | typeof ObjectType.commit;
  /** Key of its stored bytes; null where they are on demand. */
  readonly file: string | null;
}

/** Lays out an archive repository with these commits and all that they consist of; answers false where some of it is not stored. */
export async function layOutRepository(
  folder: string,
  commits: readonly Checksum[],
  domainId: string,
  { db, storage }: Pick<Services, 'db' | 'storage'>,
  signal: AbortSignal,
): Promise<boolean> {
  const objects = await objectsOf(db, domainId, commits);
  const isWhole =
    commits.every((commit) => objects.some(({ checksum, typ }) => typ === ObjectType.commit && checksum === commit)) &&
    objects.every(({ file }) => file !== null);
  if (!isWhole) return false;
  await mkdir(folder);
  await runOstree([`--repo=${folder}`, 'init', '--mode=archive'], dirname(folder), signal);
  const place = async ({ checksum, typ, file }: HeldObject): Promise<void> => {
    const target = join(folder, objectPath(checksum, typ));
    await mkdir(dirname(target), { recursive: true });
    const path = storage.localPath(file as string);
    if (path === undefined) await pipeline(await storage.read(file as string), createWriteStream(target), { signal });
    else await symlink(path, target);
  };
  await forEachConcurrent(objects, place, { limit: FILES_AT_ONCE, signal });
  return true;
}

const objectsOf = (db: Database, domainId: string, commits: readonly Checksum[]): Promise<HeldObject[]> =>
  db.query<HeldObject>(sql`
    with wanted as materialized (
      select id, checksum from ostree_commit where domain_id = ${domainId}::uuid and checksum = any(${commits}::text[]))
    select w.checksum, ${ObjectType.commit}::int as typ, a.file
    from wanted w join content c on c.id = w.id left join artifact a on a.id = c.artifact_id
    union all
    select o.checksum, o.typ::int, a.file
    from (select distinct co.object_id as id from ostree_commit_object co join wanted w on w.id = co.commit_id) u
    join ostree_object o on o.id = u.id join content c on c.id = u.id left join artifact a on a.id = c.artifact_id`);
