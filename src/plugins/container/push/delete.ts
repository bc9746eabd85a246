import { type ContentSelection, lockRepository, publishIn } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { raw, type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import { heldNow, ofDigests, tagOf } from '../content/latest-content.ts';
import { removalOf } from '../content/removal.ts';
import { RegistryError } from '../registry/registry-error.ts';

type DeleteServices = Pick<Services, 'db'>;

/** Of what `where` selects, `n`, what the repository holds or what waits to be in its next version. */
const heldBy = (repositoryId: string, table: string, where: Sql): Sql => sql`
  select n.id from ${raw(table)} n where ${where} and ${heldNow(repositoryId, sql`n.id`)}`;

interface Removal {
  /** Has to be there. */
  readonly required: ContentSelection;
  /** Manifests that need it; nothing is removed where there is one. */
  readonly needing?: ContentSelection;
  readonly remove: ContentSelection;
}

/**
 * Takes content out of a repository: in a new version, and out of what waits for one. Answers false, with nothing done, where `required` is not
 * there. Throws RegistryError (405) where something needs it: that could not be pulled any more; MissingRepositoryError.
 */
function removeFrom({ db }: DeleteServices, repositoryId: string, { required, needing, remove }: Removal): Promise<boolean> {
  return db.transaction(async (tx) => {
    const repository = await lockRepository(tx, repositoryId);
    const found = await tx.query(required);
    if (found.length === 0) return false;
    if (needing) await refuseNeeded(tx, needing);
    await publishIn(tx, { repository_id: repository.id, change: { remove } });
    await tx.execute(sql`
      delete from container_pending_content where repository_id = ${repositoryId}::uuid and content_id in (${remove})`);
    return true;
  });
}

async function refuseNeeded(tx: Queryable, needing: ContentSelection): Promise<void> {
  const [manifest] = await tx.query<{ digest: string }>(sql`
    select m.digest from container_manifest m where m.id in (${needing}) limit 1`);
  if (!manifest) return;
  throw new RegistryError(405, 'UNSUPPORTED', 'Another manifest of this repository needs it; delete that first.', {
    detail: { manifest: manifest.digest },
    headers: { allow: 'GET, HEAD' },
  });
}

/** Takes the tag away; answers whether it was there. The manifest stays. */
export function deleteTag(services: DeleteServices, repositoryId: string, name: string): Promise<boolean> {
  const tag = tagOf(repositoryId, name);
  return removeFrom(services, repositoryId, { required: tag, remove: tag });
}

/**
 * Takes the manifest away, its tags and signatures, and what nothing else needs then; answers whether it was there. Throws RegistryError (405)
 * where an index lists it.
 */
export function deleteManifest(services: DeleteServices, repositoryId: string, digest: Digest): Promise<boolean> {
  const manifest = heldBy(repositoryId, 'container_manifest', ofDigests(repositoryId, 'n', [digest]));
  const lists = sql`n.id in (select li.list_id from container_manifest_list_item li where li.manifest_id in (${manifest}))`;
  const named = sql`
    select id from (${manifest}) m
    union select t.id from container_tag t where t.tagged_manifest_id in (${manifest})
    union select s.id from container_signature s where s.signed_manifest_id in (${manifest})`;
  return removeFrom(services, repositoryId, {
    required: manifest,
    needing: heldBy(repositoryId, 'container_manifest', lists),
    remove: sql`select id from (${removalOf(repositoryId, named)}) gone union ${named}`,
  });
}

/** Takes a blob away; answers whether it was there. Throws RegistryError (405) where a manifest needs it. */
export function deleteBlob(services: DeleteServices, repositoryId: string, digest: Digest): Promise<boolean> {
  const blob = heldBy(repositoryId, 'container_blob', ofDigests(repositoryId, 'n', [digest]));
  const uses = sql`(
    n.config_blob_id in (${blob}) or n.id in (select mb.manifest_id from container_manifest_blob mb where mb.blob_id in (${blob})))`;
  return removeFrom(services, repositoryId, {
    required: blob,
    needing: heldBy(repositoryId, 'container_manifest', uses),
    remove: blob,
  });
}
