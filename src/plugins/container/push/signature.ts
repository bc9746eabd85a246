import { contentIds, lockRepository, publishIn } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { Signature } from '../oci/signature.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import { addPending } from './blob.ts';

/** A signature that a client sends, and the manifest that it is of. */
export interface SignaturePush {
  readonly repository_id: string;
  readonly digest: Digest;
  readonly signature: Signature;
}

/**
 * Takes in a signature. It is in a version of its own when this resolves; where its manifest waits to be in one, the signature waits with it.
 * Answers false, with nothing done, where the repository does not have the manifest. Throws MissingRepositoryError.
 */
export function pushSignature(services: Pick<Services, 'db' | 'storage' | 'domain'>, push: SignaturePush): Promise<boolean> {
  const { repository_id, digest, signature } = push;
  return services.db.transaction(async (tx) => {
    const repository = await lockRepository(tx, repository_id);
    const manifest = await findManifest(tx, repository_id, digest);
    if (!manifest) return false;
    const saver = new ContentSaver(services, services.domain.id);
    saver.know(digest, manifest.id);
    await saver.saveIn(tx, [{ kind: 'signature', digest, signature }]);
    if (manifest.waits) for (const id of saver.roots) await addPending(tx, repository.id, id);
    else await publishIn(tx, { repository_id: repository.id, change: { add: contentIds(saver.roots) } });
    return true;
  });
}

/** The manifest, and whether it waits for a version, if the repository has it. */
export async function findManifest(
  tx: Queryable,
  repositoryId: string,
  digest: Digest,
): Promise<{ readonly id: string; readonly waits: boolean } | undefined> {
  const [manifest] = await tx.query<{ id: string; waits: boolean }>(sql`
    select m.id, held.waits from container_manifest m join repository r on r.domain_id = m.domain_id
      join lateral (
        select false as waits from repository_content rc
        where rc.repository_id = r.id and rc.content_id = m.id and rc.version_removed is null
        union all
        select true from container_pending_content p where p.repository_id = r.id and p.content_id = m.id
        order by 1 limit 1) held on true
    where r.id = ${repositoryId}::uuid and m.digest = ${digest}`);
  return manifest;
}

/** Signatures that wait with manifests which are now to be in a version; `manifests` selects them. */
export const waitingSignatures = (repositoryId: string, manifests: Sql): Sql => sql`
  select p.content_id from container_pending_content p join container_signature s on s.id = p.content_id
  where p.repository_id = ${repositoryId}::uuid and s.signed_manifest_id in (${manifests})`;
