import {
  artifactValue,
  unitField as column,
  contentOrdering,
  defineContent,
  keyFilters,
  unitText as text,
} from '../../../core/plugin-api.ts';
import { raw, sql } from '../../../db/sql.ts';
import type { Row } from '../../../kit/define-resource.ts';
import { booleanFilter, choiceFilter, listFilter, NAME_LOOKUPS, textFilters } from '../../../kit/filters.ts';
import { API_ROOT } from '../../../kit/names.ts';
import { contentPolicy } from '../access/policies.ts';

const BLOBS = `${API_ROOT}content/container/blobs/`;
const MANIFESTS = `${API_ROOT}content/container/manifests/`;
const URI = { type: 'string', format: 'uri' };

/** The media types that the contract lets lists be filtered by, and manifests be copied by. */
export const MEDIA_TYPES = [
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
] as const;

/** Of the manifest that is `d`. */
const mediaType = choiceFilter('d.media_type', MEDIA_TYPES, 'repeated');

const byDigest = { digest: keyFilters('digest').exact, digest__in: keyFilters('digest').in };

const hrefs = (root: string, name: string) => (row: Row) => (row[name] as string[]).map((id) => `${root}${id}/`);

/** A layer or config. */
export const blob = defineContent({
  plugin: 'container',
  endpoint: 'blobs',
  model: 'Blob',
  policy: contentPolicy,
  pulpType: 'container.blob',
  table: 'container_blob',
  title: ['blob', 'blobs'],
  description: 'A blob: a layer or a config of an image.',
  fields: {
    artifact: column({ type: ['string', 'null'], format: 'uri' }, 'The stored file, or null while it is only known.', {
      required: true,
      value: artifactValue,
    }),
    digest: text('Digest of its bytes.', { required: true }),
  },
  filters: byDigest,
  ordering: contentOrdering(['digest']),
  select: sql`d.digest`,
});

/** An image manifest, an index, or any other manifest. */
export const manifest = defineContent({
  plugin: 'container',
  endpoint: 'manifests',
  model: 'Manifest',
  policy: contentPolicy,
  pulpType: 'container.manifest',
  table: 'container_manifest',
  title: ['manifest', 'manifests'],
  description: 'A manifest: of an image, of a list of images, or of any other artifact.',
  fields: {
    digest: text('Digest of its bytes.', { required: true }),
    schema_version: column({ type: 'integer', format: 'int64' }, "Version of the manifest's schema.", { required: true }),
    media_type: text('Its media type.', { required: true }),
    listed_manifests: column({ type: 'array', items: URI }, 'The manifests that it lists.', {
      required: true,
      value: hrefs(MANIFESTS, 'listed_manifests'),
    }),
    config_blob: column(URI, 'Its config.', { value: (row) => (row.config_blob_id ? `${BLOBS}${row.config_blob_id}/` : null) }),
    blobs: column({ type: 'array', items: URI }, 'Its layers.', { required: true, value: hrefs(BLOBS, 'blobs') }),
    annotations: column({ type: 'object' }, 'Its annotations.', { access: 'read' }),
    labels: column({ type: 'object' }, "The labels of the image's config.", { access: 'read' }),
    is_bootable: column({ type: 'boolean' }, 'Whether the image can be booted.', { default: false }),
    is_flatpak: column({ type: 'boolean' }, 'Whether the image is a flatpak.', { default: false }),
    type: text('What kind of artifact it is: image, index, helm, cosign_signature, …'),
    architecture: text('The architecture that the image is for.'),
    os: text('The operating system that the image is for.'),
    compressed_image_size: column({ type: 'integer', format: 'int64' }, 'Size of its layers in bytes.'),
  },
  filters: {
    ...byDigest,
    media_type: mediaType,
    is_bootable: booleanFilter('d.is_bootable'),
    is_flatpak: booleanFilter('d.is_flatpak'),
  },
  ordering: contentOrdering([
    'annotations',
    'architecture',
    'compressed_image_size',
    'data',
    'digest',
    'is_bootable',
    'is_flatpak',
    'labels',
    'media_type',
    'os',
    'schema_version',
    'type',
  ]),
  select: sql`d.digest, d.schema_version, d.media_type, d.annotations, d.labels, d.is_bootable, d.is_flatpak, d.type, d.architecture, d.os,
    d.compressed_image_size, d.config_blob_id,
    array(select item.manifest_id from container_manifest_list_item item where item.list_id = m.id) as listed_manifests,
    array(select link.blob_id from container_manifest_blob link where link.manifest_id = m.id) as blobs`,
});

/** A name for a manifest. */
export const tag = defineContent({
  plugin: 'container',
  endpoint: 'tags',
  model: 'Tag',
  policy: contentPolicy,
  pulpType: 'container.tag',
  table: 'container_tag',
  title: ['tag', 'tags'],
  description: 'A tag: a name for a manifest.',
  fields: {
    name: text('Its name.', { required: true, column: 'd.name', lookups: ['exact', 'in'] }),
    tagged_manifest: column(URI, 'The manifest that it names.', {
      required: true,
      value: (row) => `${MANIFESTS}${row.tagged_manifest_id}/`,
    }),
  },
  filters: {
    digest: listFilter(
      (digests) => sql`d.tagged_manifest_id in (select t.id from container_manifest t where t.digest = any(${digests}))`,
    ),
    media_type: {
      ...mediaType,
      where: async (values, request) =>
        sql`d.tagged_manifest_id in (select d.id from container_manifest d where ${await mediaType.where(values, request)})`,
    },
  },
  ordering: contentOrdering(['name']),
  select: sql`d.name, d.tagged_manifest_id`,
});

/** A signature of a manifest. */
export const signature = defineContent({
  plugin: 'container',
  endpoint: 'signatures',
  model: 'ManifestSignature',
  policy: contentPolicy,
  pulpType: 'container.signature',
  table: 'container_signature',
  title: ['signature', 'signatures'],
  description: 'An atomic container signature of a manifest.',
  fields: {
    name: text("The manifest's digest and the beginning of the signature's.", { required: true }),
    digest: text('sha256 of the signature.', { required: true }),
    type: text('Its type: atomic.', { required: true }),
    key_id: text('Id of the key that made it.', { required: true }),
    fingerprint: column({ type: ['string', 'null'] }, 'Fingerprint of the key that made it.', { required: true }),
    timestamp: column({ type: 'integer', format: 'int64' }, 'When it was made, in seconds.', { required: true }),
    creator: text('What made it.', { required: true }),
    signed_manifest: column(URI, 'The manifest that it signs.', {
      required: true,
      value: (row) => `${MANIFESTS}${row.signed_manifest_id}/`,
    }),
  },
  filters: {
    ...textFilters('name', 'd.name', NAME_LOOKUPS),
    ...textFilters('digest', 'd.digest', ['exact', 'in']),
    ...textFilters('key_id', 'd.key_id', ['exact', 'in']),
    manifest: listFilter(
      (digests) => sql`d.signed_manifest_id in (select t.id from container_manifest t where t.digest = any(${digests}))`,
    ),
  },
  ordering: contentOrdering(['creator', 'data', 'digest', 'fingerprint', 'key_id', 'name', 'timestamp', 'type']),
  select: raw('d.name, d.digest, d.type, d.key_id, d.fingerprint, d."timestamp", d.creator, d.signed_manifest_id'),
});
