import { anyOf, contentIds, lockRepository, publishIn } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import { isForeignKeyViolation } from '../../../kit/conflicts.ts';
import type { Services } from '../../../kit/services.ts';
import { algorithmOf, type Digest, digestOf } from '../../../lib/digest.ts';
import type { Turns } from '../../../lib/turns.ts';
import { MissingFileError } from '../../../storage/storage.ts';
import { closureOf } from '../content/closure.ts';
import { heldNow, ofDigests } from '../content/latest-content.ts';
import { type DerivedFields, derivedFields, inheritedFields, readsConfig } from '../oci/derived-fields.ts';
import { type Manifest, parseManifest } from '../oci/manifest.ts';
import { essenceOf } from '../oci/media-types.ts';
import { RegistryError as InvalidManifestError } from '../oci/registry-error.ts';
import { digestMismatch, manifestBlobUnknown, manifestInvalid } from '../registry/registry-error.ts';
import { CONFIG_BYTES } from '../sync/blob-fetcher.ts';
import { UNIQUE_TAGS } from '../sync/content-tables.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import { addPending } from './blob.ts';
import { waitingSignatures } from './signature.ts';

type ManifestServices = Pick<Services, 'db' | 'storage' | 'domain'>;

/** A manifest that a client sends. */
export interface ManifestPush {
  readonly repository_id: string;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  /** What it is sent as; undefined where only tags are named. */
  readonly digest: Digest | undefined;
  readonly tags: readonly string[];
}

/** What is in the repository already of what a manifest names. */
interface Named {
  readonly blobs: readonly { readonly id: string; readonly digest: Digest; readonly size: number; readonly file: string }[];
  readonly manifests: readonly {
    readonly id: string;
    readonly digest: Digest;
    readonly is_bootable: boolean;
    readonly is_flatpak: boolean;
  }[];
}

/**
 * Takes in a manifest. Under a tag, or with a subject, it is in a version of its own, with all that it names, when this resolves; one that
 * is sent by its digest alone waits for a tag or an index to name it, and can be pulled meanwhile. What is written is written in the
 * repository's turn. Throws RegistryError (400) where it is invalid, or names what the repository does not have; MissingRepositoryError.
 */
export async function pushManifest(services: ManifestServices, turns: Turns, push: ManifestPush): Promise<Manifest> {
  try {
    return await takeManifest(services, turns, push);
  } catch (error) {
    // Something that it names was deleted, and cleaned up, since it was found: it is not found again.
    if (isForeignKeyViolation(error)) return takeManifest(services, turns, push);
    throw error;
  }
}

async function takeManifest(services: ManifestServices, turns: Turns, push: ManifestPush): Promise<Manifest> {
  const manifest = parsed(push);
  const named = await findNamed(services.db, push.repository_id, manifest);
  checkNamed(manifest, named);
  const derived = await derive(services, manifest, named);
  const write = async (tx: Queryable): Promise<void> => {
    const saver = new ContentSaver(services, services.domain.id);
    for (const { digest, id } of named.blobs) saver.knowBlob(digest, id);
    for (const { digest, id } of named.manifests) saver.know(digest, id);
    const { digest } = manifest;
    const tags = push.tags.map((name) => ({ kind: 'tag', name, digest }) as const);
    await saver.saveIn(tx, [{ kind: 'manifest', manifest, derived }, ...tags]);
    const { repository_id } = push;
    const roots = manifest.subject === undefined ? saver.roots : [...saver.roots, saver.manifestId(digest)];
    if (roots.length === 0) {
      await lockRepository(tx, repository_id);
      return addPending(tx, repository_id, saver.manifestId(digest));
    }
    // All that is below an image is in hand; what is below an index has to be looked for.
    const below = [saver.manifestId(digest), ...named.blobs.map(({ id }) => id)];
    const whole = manifest.kind === 'index' ? closureOf(contentIds(roots)) : contentIds([...roots, ...below]);
    const add = anyOf([whole, waitingSignatures(repository_id, whole)]);
    const settle = (added: Sql) => settlePending(repository_id, added);
    // As late as can be: it locks the repository, and whoever pushes to the same one waits for it.
    await publishIn(tx, { repository_id, change: { add }, unique: [UNIQUE_TAGS], settle });
  };
  await turns(push.repository_id, () => services.db.transaction(write));
  return manifest;
}

/** What the version has brought waits no more. */
const settlePending = (repositoryId: string, added: Sql): Sql => sql`
  delete from container_pending_content p using ${added} a
  where p.repository_id = ${repositoryId}::uuid and p.content_id = a.content_id`;

function parsed({ body, contentType, digest }: ManifestPush): Manifest {
  let manifest: Manifest;
  try {
    manifest = parseManifest(body, { contentType, expected: digest });
  } catch (error) {
    if (!(error instanceof InvalidManifestError)) throw error;
    throw error.kind === 'digest' && digest
      ? digestMismatch(digest, digestOf(body, algorithmOf(digest)))
      : manifestInvalid(error.message);
  }
  const stated = contentType === undefined ? undefined : essenceOf(contentType);
  if (stated?.startsWith('application/vnd.') && stated !== manifest.mediaType)
    throw manifestInvalid(`It is sent as ${stated} and says itself that it is ${manifest.mediaType}.`);
  if (manifest.kind === 'schema1') throw manifestInvalid('Pushing manifests of the version V1 is not supported');
  return manifest;
}

/** Those of the manifest's blobs and children that the repository holds, or that wait to be in its next version. */
async function findNamed(db: Queryable, repositoryId: string, { config, layers, children }: Manifest): Promise<Named> {
  const named = (digests: readonly Digest[]) =>
    sql`${ofDigests(repositoryId, 'n', digests)} and ${heldNow(repositoryId, sql`n.id`)}`;
  const blobs = [...(config ? [config] : []), ...layers].map(({ digest }) => digest);
  const listed = children.map(({ digest }) => digest);
  return {
    blobs:
      blobs.length === 0
        ? []
        : await db.query(sql`
          select n.id, n.digest, a.size, a.file from container_blob n
            join content c on c.id = n.id join artifact a on a.id = c.artifact_id
          where ${named(blobs)}`),
    manifests:
      listed.length === 0
        ? []
        : await db.query(sql`
          select n.id, n.digest, n.is_bootable, n.is_flatpak from container_manifest n where ${named(listed)}`),
  };
}

/** Throws RegistryError (400) for the first that is not there, or is of another size than the manifest says. */
function checkNamed({ config, layers, children }: Manifest, { blobs, manifests }: Named): void {
  const sizes = new Map(blobs.map(({ digest, size }) => [digest, size]));
  for (const { digest, size } of [...(config ? [config] : []), ...layers]) {
    const actual = sizes.get(digest);
    if (actual === undefined) throw manifestBlobUnknown(digest);
    if (size !== undefined && size !== actual)
      throw manifestInvalid(`It says that ${digest} has ${size} bytes; the blob that was pushed has ${actual}.`);
  }
  const known = new Set(manifests.map(({ digest }) => digest));
  for (const { digest } of children) if (!known.has(digest)) throw manifestBlobUnknown(digest);
}

async function derive({ storage }: ManifestServices, manifest: Manifest, { blobs, manifests }: Named): Promise<DerivedFields> {
  if (manifest.kind === 'index') return { ...derivedFields(manifest), ...inheritedFields(manifests) };
  const stored = readsConfig(manifest) ? blobs.find(({ digest }) => digest === manifest.config?.digest) : undefined;
  try {
    const config = stored && stored.size <= CONFIG_BYTES ? await storage.readWhole(stored.file) : undefined;
    return derivedFields(manifest, { config });
  } catch (error) {
    // Its file was lost; it has to come again.
    if (stored && error instanceof MissingFileError) throw manifestBlobUnknown(stored.digest);
    if (error instanceof InvalidManifestError) throw manifestInvalid(error.message);
    throw error;
  }
}
