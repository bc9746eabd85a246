import { sql } from '../../../db/sql.ts';
import { storeOf } from '../../../kit/general-tasks.ts';
import type { Services } from '../../../kit/services.ts';
import { PUSHED_PARTS, partOfKey } from '../../../storage/layout.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { containerRepository } from '../resources/repository.ts';
import { removeParts, type UploadPart } from './upload.ts';

/** By when a part that was stored is named by its upload, or nobody is at it any more. */
const ABANDONED_AFTER_MS = 3_600_000;

/**
 * Removes what pushes that were never finished have left: uploads, blobs that no manifest came for, repositories that nothing was ever pushed
 * to, and files that no upload names. Several processes may do so at once.
 */
export async function sweepPushes(services: Services): Promise<void> {
  const { db, config, log } = services;
  const hours = config.DECKLE_UPLOAD_EXPIRY_HOURS;
  const expired = await db.query<{ parts: UploadPart[] }>(sql`
    delete from container_upload where pulp_last_updated < now() - make_interval(hours => ${hours}::int) returning parts`);
  if (expired.length > 0) log.info({ uploads: expired.length }, 'uploads of blobs that were not finished in time were removed');
  await removeParts(
    services,
    expired.flatMap(({ parts }) => parts),
  );
  // A push settles what its own version brings: this is what came into a version in another way.
  await db.execute(sql`
    delete from container_pending_content p using repository_content rc
    where rc.repository_id = p.repository_id and rc.content_id = p.content_id and rc.version_removed is null`);
  await db.execute(sql`
    delete from container_pending_content p using container_blob b
    where b.id = p.content_id and p.pulp_created < now() - make_interval(hours => ${hours}::int) and not exists (
      select from container_pending_content pm join container_manifest m on m.id = pm.content_id
      where pm.repository_id = p.repository_id and (m.config_blob_id = b.id
        or exists (select from container_manifest_blob mb where mb.manifest_id = m.id and mb.blob_id = b.id)))`);
  const empty = await db.query<{ id: string }>(sql`
    select r.id from repository r join container_repository c on c.id = r.id
    where c.origin = 'push' and r.next_version = 1 and r.pulp_created < now() - make_interval(hours => ${hours}::int)`);
  for (const { id } of empty) await removeUnused(services, id);
  await removeAbandoned(services);
}

/**
 * Removes a repository that a push made and that nothing has come to, with the distribution and the namespace that were made with it;
 * anything else stays as it is. Answers whether it went.
 */
export function removeUnused({ db, log }: Pick<Services, 'db' | 'log'>, repositoryId: string): Promise<boolean> {
  return db.transaction(async (tx) => {
    // The lock first: what somebody pushes to it meanwhile must be seen, so the question needs a statement of its own.
    await tx.query(sql`select id from repository where id = ${repositoryId}::uuid for update`);
    const [repository] = await tx.query<{ name: string }>(sql`
      select r.name from repository r join container_repository c on c.id = r.id
      where r.id = ${repositoryId}::uuid and c.origin = 'push' and r.next_version = 1 and not c.mirrored
        and not exists (select from container_pending_content p where p.repository_id = r.id)
        and not exists (select from container_upload u where u.repository_id = r.id)`);
    if (!repository) return false;
    // What one transaction has made has the same time.
    const made = await tx.query<{ id: string; namespace_id: string | null }>(sql`
      select d.id, n.id as namespace_id from distribution d join container_distribution c on c.id = d.id
        join repository r on r.id = d.repository_id
        left join container_namespace n on n.id = c.namespace_id and n.pulp_created = r.pulp_created
      where d.repository_id = ${repositoryId}::uuid and d.pulp_created = r.pulp_created`);
    for (const { id } of made) await storeOf(containerDistribution).delete(tx, id);
    await storeOf(containerRepository).delete(tx, repositoryId);
    await tx.execute(sql`
      delete from container_namespace n where n.id = any(${made.flatMap(({ namespace_id }) => namespace_id ?? [])}::uuid[])
        and not exists (select from container_distribution c where c.namespace_id = n.id)`);
    log.info({ repository: repository.name }, 'a repository was removed that a push made and nothing was pushed to');
    return true;
  });
}

/** Files of uploads that a crash has left. */
async function removeAbandoned({ db, storage, log }: Services): Promise<void> {
  for await (const keys of storage.list(PUSHED_PARTS)) {
    const old: string[] = [];
    for (const key of keys) {
      const stat = await storage.stat(key);
      if (stat && stat.modified.getTime() < Date.now() - ABANDONED_AFTER_MS) old.push(key);
    }
    if (old.length === 0) continue;
    const ids = old.flatMap((key) => partOfKey(key) ?? []);
    const named = await db.query<{ id: string }>(sql`
      select part ->> 'id' as id from container_upload, jsonb_array_elements(parts) part where part ->> 'id' = any(${ids}::text[])`);
    const known = new Set(named.map(({ id }) => id));
    const abandoned = old.filter((key) => !known.has(partOfKey(key) as string));
    for (const key of abandoned) await storage.delete(key);
    if (abandoned.length > 0) log.info({ files: abandoned.length }, 'files of uploads that are gone were removed');
  }
}
