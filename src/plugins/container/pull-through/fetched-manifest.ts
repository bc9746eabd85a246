import { type StoredFile, storedFile } from '../../../core/plugin-api.ts';
import type { Services } from '../../../kit/services.ts';
import { checksumsOf } from '../../../lib/checksums.ts';
import { artifactKey } from '../../../storage/layout.ts';
import { type DerivedFields, derivedFields, readsConfig } from '../oci/derived-fields.ts';
import type { Manifest } from '../oci/manifest.ts';
import { type BlobDescriptor, MAX_HELD_BLOB_BYTES, type Registry } from '../oci/registry-client.ts';
import { findBlobs } from '../sync/known-content.ts';

/** A manifest as the upstream gave it, verified, with what its row takes. */
export interface FetchedManifest {
  readonly manifest: Manifest;
  readonly derived: DerivedFields;
  /** The config, where it had to be fetched: stored, without a row. */
  readonly config: StoredFile | undefined;
}

type FetchServices = Pick<Services, 'db' | 'domain' | 'storage' | 'config'>;

/**
 * Fetches a manifest by tag or digest, and the config that says what it is, unless that is here: the next thing that a client asks for.
 * Layers, and what an index lists, are fetched when somebody asks for them. `indexes`: those that list it, which may state its platform.
 * Throws UpstreamError, RegistryError of `oci/`, or the signal's reason.
 */
export async function fetchManifest(
  services: FetchServices,
  registry: Registry,
  { reference, indexes }: { readonly reference: string; readonly indexes: readonly Manifest[] },
  signal: AbortSignal,
): Promise<FetchedManifest> {
  const manifest = await registry.manifest(reference, undefined, signal);
  const platform = indexes.flatMap(({ children }) => children).find(({ digest }) => digest === manifest.digest)?.platform;
  const { config } = manifest;
  if (!config || !readsConfig(manifest) || (config.size ?? 0) > MAX_HELD_BLOB_BYTES)
    return { manifest, derived: derivedFields(manifest, { platform }), config: undefined };
  const { bytes, file } = await configOf(services, registry, config, signal);
  return { manifest, derived: derivedFields(manifest, { config: bytes, platform }), config: file };
}

async function configOf(
  { db, domain, storage, config: { PULP_ALLOWED_CONTENT_CHECKSUMS } }: FetchServices,
  registry: Registry,
  config: BlobDescriptor,
  signal: AbortSignal,
): Promise<{ readonly bytes: Buffer; readonly file: StoredFile | undefined }> {
  const known = (await findBlobs(db, domain.id, [config.digest])).get(config.digest)?.artifact;
  if (known && (await storage.size(known.file)) !== undefined)
    return { bytes: await storage.readWhole(known.file), file: undefined };
  const bytes = await registry.blob(config, signal);
  const file = storedFile(bytes.byteLength, checksumsOf(PULP_ALLOWED_CONTENT_CHECKSUMS, bytes));
  await storage.putSmall([{ key: artifactKey(file.checksums.sha256), body: bytes }]);
  return { bytes, file };
}
