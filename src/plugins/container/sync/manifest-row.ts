import type { ContentRow } from '../../../core/plugin-api.ts';
import type { Digest } from '../../../lib/digest.ts';
import { storableText } from '../../../lib/storable-text.ts';
import type { ManifestColumn } from './content-tables.ts';
import type { DeclaredManifest } from './declared-content.ts';

/** The columns of a manifest; `blobId` answers the content id of its config. */
export function manifestRow(
  { manifest, derived }: DeclaredManifest,
  blobId: (digest: Digest) => string,
): ContentRow<ManifestColumn> {
  // What a list of referrers has to say of it (OCI distribution-spec, "Listing Referrers"): an index has no config.
  const artifactType = manifest.artifactType || manifest.config?.mediaType;
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
    architecture: derived.architecture && storableText(derived.architecture),
    os: derived.os && storableText(derived.os),
    compressed_image_size: derived.compressed_image_size,
    config_blob_id: manifest.config ? blobId(manifest.config.digest) : null,
    artifact_type: artifactType === undefined ? null : storableText(artifactType),
    subject: manifest.subject ?? null,
    // Manifests are kept whole in `data`.
    artifact_id: null,
  };
}

const jsonText = (record: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(record).map(([name, value]) => [storableText(name), storableText(value)])));
