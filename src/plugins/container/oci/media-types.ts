/** Media types of Docker and OCI (image-spec media-types.md; distribution: docs/content/spec/manifest-v2-2.md). */
export const DOCKER_MANIFEST_V1 = 'application/vnd.docker.distribution.manifest.v1+json';
export const DOCKER_MANIFEST_V1_SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
export const DOCKER_MANIFEST_V2 = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_MANIFEST_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_EMPTY = 'application/vnd.oci.empty.v1+json';
/** Retired, but still met: an artifact with `blobs` in place of config and layers. */
export const OCI_ARTIFACT_MANIFEST = 'application/vnd.oci.artifact.manifest.v1+json';
export const HELM_CONFIG = 'application/vnd.cncf.helm.config.v1+json';

export type ManifestMediaType =
  | typeof DOCKER_MANIFEST_V1
  | typeof DOCKER_MANIFEST_V1_SIGNED
  | typeof DOCKER_MANIFEST_V2
  | typeof DOCKER_MANIFEST_LIST
  | typeof OCI_MANIFEST
  | typeof OCI_INDEX
  | typeof OCI_ARTIFACT_MANIFEST;

const MANIFEST_MEDIA_TYPES: ReadonlySet<string> = new Set<ManifestMediaType>([
  DOCKER_MANIFEST_V1,
  DOCKER_MANIFEST_V1_SIGNED,
  DOCKER_MANIFEST_V2,
  DOCKER_MANIFEST_LIST,
  OCI_MANIFEST,
  OCI_INDEX,
  OCI_ARTIFACT_MANIFEST,
]);

export const isManifestMediaType = (text: string): text is ManifestMediaType => MANIFEST_MEDIA_TYPES.has(text);

/** `Accept` of manifest requests: Pulp's list in Pulp's order (spec: sync), then the retired artifact manifest. */
export const MANIFEST_ACCEPT = [
  DOCKER_MANIFEST_V2,
  DOCKER_MANIFEST_V1,
  DOCKER_MANIFEST_V1_SIGNED,
  DOCKER_MANIFEST_LIST,
  OCI_INDEX,
  OCI_MANIFEST,
  OCI_ARTIFACT_MANIFEST,
].join(', ');

const FOREIGN_LAYER = /^application\/vnd\.(?:docker\.image\.rootfs\.foreign\.diff\.|oci\.image\.layer\.nondistributable\.)/;

/** Layers that must not be distributed: neither fetched nor counted. */
export const isForeignLayer = (mediaType: string): boolean => FOREIGN_LAYER.test(mediaType);

/** A `Content-Type` without its parameters, in lower case. */
export const essenceOf = (contentType: string): string => contentType.split(';', 1).join('').trim().toLowerCase();
