import type { ContentTable } from '../../../core/plugin-api.ts';
import type { UnitLink, UnitTable } from '../../../kit/unit-table.ts';

/** The container content types, as set-based saving needs them (prisma/models/container.prisma). */
export const BLOBS: ContentTable<'digest' | 'size'> = {
  pulp_type: 'container.blob',
  table: 'container_blob',
  columns: { digest: 'text', size: 'bigint' },
  key: ['digest'],
  domain: true,
};

export type ManifestColumn =
  | 'digest'
  | 'schema_version'
  | 'media_type'
  | 'data'
  | 'annotations'
  | 'labels'
  | 'is_bootable'
  | 'is_flatpak'
  | 'type'
  | 'architecture'
  | 'os'
  | 'compressed_image_size'
  | 'config_blob_id'
  | 'artifact_type'
  | 'subject';

export const MANIFESTS: ContentTable<ManifestColumn> = {
  pulp_type: 'container.manifest',
  table: 'container_manifest',
  columns: {
    digest: 'text',
    schema_version: 'int',
    media_type: 'text',
    data: 'bytea',
    annotations: 'jsonb',
    labels: 'jsonb',
    is_bootable: 'boolean',
    is_flatpak: 'boolean',
    type: 'text',
    architecture: 'text',
    os: 'text',
    compressed_image_size: 'bigint',
    config_blob_id: 'uuid',
    artifact_type: 'text',
    subject: 'text',
  },
  key: ['digest'],
  domain: true,
};

export const TAGS: ContentTable<'name' | 'tagged_manifest_id'> = {
  pulp_type: 'container.tag',
  table: 'container_tag',
  columns: { name: 'text', tagged_manifest_id: 'uuid' },
  key: ['name', 'tagged_manifest_id'],
  domain: false,
};

export type SignatureColumn =
  | 'name'
  | 'digest'
  | 'type'
  | 'key_id'
  | 'fingerprint'
  | 'timestamp'
  | 'creator'
  | 'data'
  | 'signed_manifest_id';

export const SIGNATURES: ContentTable<SignatureColumn> = {
  pulp_type: 'container.signature',
  table: 'container_signature',
  columns: {
    name: 'text',
    digest: 'text',
    type: 'text',
    key_id: 'text',
    fingerprint: 'text',
    timestamp: 'bigint',
    creator: 'text',
    data: 'text',
    signed_manifest_id: 'uuid',
  },
  key: ['name'],
  domain: true,
};

/** Within a version a tag's name occurs once: a moved tag takes the place of the old one (spec: repositories). */
export const UNIQUE_TAGS = { pulp_type: TAGS.pulp_type, table: TAGS.table, column: 'name' } as const;

/** What was pushed is needed by its repository, which is no unit and never goes by an orphan cleanup, until it is in a version. */
const PENDING: UnitLink = { table: 'container_pending_content', needs: 'content_id', unit: 'repository_id' };

/** What needs what, as upkeep has to know it. */
export const CONTAINER_UNITS: readonly UnitTable[] = [
  { pulp_type: SIGNATURES.pulp_type, table: SIGNATURES.table, neededBy: [PENDING] },
  { pulp_type: TAGS.pulp_type, table: TAGS.table, neededBy: [] },
  {
    pulp_type: MANIFESTS.pulp_type,
    table: MANIFESTS.table,
    neededBy: [
      { table: TAGS.table, needs: 'tagged_manifest_id', unit: 'id' },
      { table: SIGNATURES.table, needs: 'signed_manifest_id', unit: 'id' },
      { table: 'container_manifest_list_item', needs: 'manifest_id', unit: 'list_id' },
      PENDING,
    ],
    chained: true,
  },
  {
    pulp_type: BLOBS.pulp_type,
    table: BLOBS.table,
    neededBy: [
      { table: 'container_manifest_blob', needs: 'blob_id', unit: 'manifest_id' },
      { table: MANIFESTS.table, needs: 'config_blob_id', unit: 'id' },
      PENDING,
    ],
    reclaimable: true,
    awaitedBy: PENDING,
  },
];
