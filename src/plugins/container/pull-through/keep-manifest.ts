import { assertStored, contentIds, type LoadedRemote, publishIn, type StoredFile } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import { uniqueViolation } from '../../../kit/conflicts.ts';
import { ValidationError } from '../../../kit/errors.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import { closureOf } from '../content/closure.ts';
import { derivedFields } from '../oci/derived-fields.ts';
import type { Manifest } from '../oci/manifest.ts';
import { nameUnknown } from '../registry/registry-error.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { UNIQUE_TAGS } from '../sync/content-tables.ts';
import type { DeclaredContent } from '../sync/declared-content.ts';
import { findBlobs, findManifests, rememberSource } from '../sync/known-content.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import type { PullThroughCache } from './cache.ts';
import { heldRepository, makeRepository, taken } from './cached-repository.ts';
import type { FetchedManifest } from './fetched-manifest.ts';

/** What was pulled, and where it belongs. */
export interface PulledManifest {
  /** Of the repository, here. */
  readonly name: string;
  /** Undefined where it was pulled by its digest. */
  readonly tag: string | undefined;
  readonly fetched: FetchedManifest;
  /** Indexes of the repository that list it. */
  readonly indexes: readonly Manifest[];
  /** Who makes the repository where it is not there yet. */
  readonly maker: { readonly cache: PullThroughCache; readonly remote: LoadedRemote } | undefined;
}

type KeepServices = Pick<Services, 'db' | 'domain' | 'secrets' | 'storage'>;

/**
 * Makes a version that holds what was pulled, and the repository where there is none, in one transaction. Of several processes that do so
 * for one name, one makes it and the others add to it. Answers the version; throws RegistryError, or MissingFileError
 * where a cleanup was faster than the rows.
 */
export async function keepManifest(services: KeepServices, pulled: PulledManifest): Promise<ServedVersion> {
  const { name, maker } = pulled;
  try {
    return await uniqueViolation(containerDistribution, () =>
      services.db.transaction(async (tx) => {
        await tx.query(sql`select pg_advisory_xact_lock(hashtext(${`container.pull-through ${name}`}))`);
        const held =
          (await heldRepository(tx, services, name)) ?? (maker && (await makeRepository(tx, services, { ...maker, name })));
        if (!held) throw nameUnknown(name);
        const { repository_id, remote_id } = held;
        const roots = contentIds(await save(tx, services, pulled, remote_id));
        await rememberSource(tx, roots, remote_id);
        // After the content, as pushes do: each would wait for the other.
        const version = await publishIn(tx, { repository_id, change: { add: closureOf(roots) }, unique: [UNIQUE_TAGS] });
        return { repository_id, number: version?.number ?? (await latestOf(tx, repository_id)) };
      }),
    );
  } catch (error) {
    throw error instanceof ValidationError ? taken('distribution', name) : error;
  }
}

async function latestOf(tx: Queryable, repositoryId: string): Promise<number> {
  const [latest] = await tx.query<{ number: number }>(sql`
    select number from repository_version where repository_id = ${repositoryId}::uuid order by number desc limit 1`);
  if (!latest) throw new Error(`repository ${repositoryId} has no version`);
  return latest.number;
}

/** Saves the content; answers the ids of what the version has to hold with all below it. */
async function save(
  tx: Queryable,
  services: KeepServices,
  { fetched, tag, indexes }: PulledManifest,
  remoteId: string,
): Promise<readonly string[]> {
  const { manifest, derived, config } = fetched;
  const { digest } = manifest;
  const saver = new ContentSaver(services, services.domain.id, remoteId);
  const children = manifest.children.map((child) => child.digest);
  for (const [child, { id }] of await findManifests(tx, services.domain.id, children)) saver.know(child, id);
  const declared: DeclaredContent[] = [
    ...(await blobsOf(tx, services, manifest, config)),
    { kind: 'manifest', manifest, derived, sparse: true },
    ...indexes.map((index) => ({ kind: 'manifest', manifest: index, derived: derivedFields(index), sparse: true }) as const),
    tag === undefined ? { kind: 'root', digest } : { kind: 'tag', name: tag, digest },
  ];
  await saver.saveIn(tx, declared);
  if (config) await assertStored(services.storage, [config]);
  return saver.roots;
}

/** The blobs of an image: those whose bytes are here are linked. */
async function blobsOf(
  tx: Queryable,
  { domain }: Pick<Services, 'domain'>,
  manifest: Manifest,
  config: StoredFile | undefined,
): Promise<DeclaredContent[]> {
  const blobs = [...(manifest.config ? [manifest.config] : []), ...manifest.layers];
  const digests: readonly Digest[] = [...new Set(blobs.map((blob) => blob.digest))];
  const known = await findBlobs(tx, domain.id, digests);
  return blobs.map((blob) => ({
    kind: 'blob',
    digest: blob.digest,
    size: blob.size,
    file: blob === manifest.config ? config : undefined,
    artifact_id: known.get(blob.digest)?.artifact?.id,
  }));
}
