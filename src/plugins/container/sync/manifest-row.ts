import type { ContentRow } from '../../../core/plugin-api.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { ManifestColumn } from './content-tables.ts';
import type { DeclaredManifest } from './declared-content.ts';

/** The columns of a manifest; `blobId` answers the content id of its config. */
export function manifestRow(
  { manifest, derived }: DeclaredManifest,
  blobId: (digest: Digest) => string,
): ContentRow<ManifestColumn> {
  return {
    digest: manifest.digest,
    schema_version: manifest.schemaVersion,
    media_type: manifest.mediaType,
    data: manifest.body,
    annotations: jsonText(derived.annotations),
    labels: jsonText(derived.labels),
    is_bootable: derived.is_bootable,
    is_flatpak: derived.is_flatpak,
    type: derived.type,
    architecture: derived.architecture && storable(derived.architecture),
    os: derived.os && storable(derived.os),
    compressed_image_size: derived.compressed_image_size,
    config_blob_id: manifest.config ? blobId(manifest.config.digest) : null,
    artifact_type: manifest.artifactType === undefined ? null : storable(manifest.artifactType),
    subject: manifest.subject ?? null,
    // Manifests are kept whole in `data`.
    artifact_id: null,
  };
}

/** PostgreSQL keeps no NUL and no half of a surrogate pair; the bytes in `data` keep everything. */
const storable = (text: string): string => Buffer.from(text.replaceAll('\0', '')).toString();

const jsonText = (record: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(record).map(([name, value]) => [storable(name), storable(value)])));
