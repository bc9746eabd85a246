import { type ContentSelection, lockRepository, publishLocked } from '../../../core/plugin-api.ts';
import { raw, type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import { removalOf } from '../content/removal.ts';
import { RegistryError } from '../registry/registry-error.ts';

type DeleteServices = Pick<Services, 'db'>;

/** Of what is selected, what the repository's latest version holds, or what waits to be in its next one. */
const heldBy = (repositoryId: string, table: string, where: Sql): Sql => sql`
  select n.id from ${raw(table)} n where ${where} and (
    exists (select from repository_content rc
      where rc.content_id = n.id and rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null)
    or exists (select from container_pending_content p where p.content_id = n.id and p.repository_id = ${repositoryId}::uuid))`;

/**
 * Takes content out of a repository: `remove` in a new version, and out of what waits for one. `required` has to be there: answers false,
 * with nothing done, where it is not.
 */
function removeFrom(
  { db }: DeleteServices,
  repositoryId: string,
  required: ContentSelection,
  remove: ContentSelection,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const repository = await lockRepository(tx, repositoryId);
    const found = await tx.query(required);
    if (found.length === 0) return false;
    await publishLocked(tx, repository, { change: { remove } });
    await tx.execute(sql`
      delete from container_pending_content where repository_id = ${repositoryId}::uuid and content_id in (${remove})`);
    return true;
  });
}

/** Takes the tag away; answers whether it was there. The manifest stays. */
export function deleteTag(services: DeleteServices, repositoryId: string, name: string): Promise<boolean> {
  const tag = heldBy(repositoryId, 'container_tag', sql`n.name = ${name}`);
  return removeFrom(services, repositoryId, tag, tag);
}

/**
 * Takes the manifest away, its tags, and what nothing else needs then; answers whether it was there. Throws RegistryError (405) where an
 * index lists it: that could not be pulled any more.
 */
export async function deleteManifest(services: DeleteServices, repositoryId: string, digest: Digest): Promise<boolean> {
  const manifest = heldBy(repositoryId, 'container_manifest', sql`n.digest = ${digest}`);
  const lists = sql`n.id in (select li.list_id from container_manifest_list_item li where li.manifest_id in (${manifest}))`;
  await refuseNeeded(services, heldBy(repositoryId, 'container_manifest', lists), digest);
  const named = sql`
    select id from (${manifest}) m
    union select t.id from container_tag t where t.tagged_manifest_id in (${manifest})
    union select s.id from container_signature s where s.signed_manifest_id in (${manifest})`;
  const remove = sql`select id from (${removalOf(repositoryId, named)}) gone union ${named}`;
  return removeFrom(services, repositoryId, manifest, remove);
}

/** Takes a blob away that no manifest needs; answers whether it was there. Throws RegistryError (405) where one does. */
export async function deleteBlob(services: DeleteServices, repositoryId: string, digest: Digest): Promise<boolean> {
  const blob = heldBy(repositoryId, 'container_blob', sql`n.digest = ${digest}`);
  const uses = sql`(
    n.config_blob_id in (${blob}) or n.id in (select mb.manifest_id from container_manifest_blob mb where mb.blob_id in (${blob})))`;
  await refuseNeeded(services, heldBy(repositoryId, 'container_manifest', uses), digest);
  return removeFrom(services, repositoryId, blob, blob);
}

/** Throws RegistryError (405) where there is one of the manifests that need what is to be deleted. */
async function refuseNeeded({ db }: DeleteServices, needing: ContentSelection, digest: Digest): Promise<void> {
  const [manifest] = await db.query<{ digest: string }>(sql`
    select m.digest from container_manifest m where m.id in (${needing}) limit 1`);
  if (!manifest) return;
  throw new RegistryError(405, 'UNSUPPORTED', 'Another manifest of this repository needs it; delete that first.', {
    detail: { digest, manifest: manifest.digest },
    headers: { allow: 'GET, HEAD' },
  });
}
