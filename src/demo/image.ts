import { type BlobContent, blobOf, type Layer, layerOf, sha256Digest } from './layer.ts';

/** How an image names its parts on the wire: Docker's v2 schema 2 or OCI. */
export type ImageFormat = 'docker' | 'oci';

/** A content descriptor of the OCI image specification. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  urls?: readonly string[];
  annotations?: Readonly<Record<string, string>>;
  artifactType?: string;
  platform?: Platform;
}

/** The platform object of an index entry. */
export interface Platform {
  architecture: string;
  os: string;
  variant?: string;
  'os.version'?: string;
  'os.features'?: readonly string[];
  features?: readonly string[];
}

/** A manifest or index with everything below it. */
export interface ImageContent {
  readonly mediaType: string;
  /** `sha256:<hex>` under which a registry knows it. */
  readonly digest: string;
  /** The bytes a registry serves. */
  readonly bytes: Buffer;
  /** Configuration and layers (without those that live elsewhere). */
  readonly blobs: readonly BlobContent[];
  /** Manifests listed by an index. */
  readonly children: readonly ImageContent[];
}

/** Media types of the parts of an image, by format. */
export const MEDIA_TYPES = {
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    foreignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  },
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
    foreignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  },
} as const;

/** What `imageOf` makes an image from; everything may be left out. */
export interface ImageOptions {
  format?: ImageFormat;
  layers?: readonly Layer[];
  architecture?: string;
  os?: string;
  variant?: string;
  /** `config.Labels` of the configuration. */
  labels?: Readonly<Record<string, string>>;
  /** `annotations` of the manifest. */
  annotations?: Readonly<Record<string, string>>;
  /** Layers that are listed with `urls` and not kept in the registry. */
  foreignLayers?: readonly { layer: Layer; urls: readonly string[] }[];
  subject?: Descriptor;
  /** Leaves `mediaType` out of the manifest, as some OCI tools do. */
  withoutMediaType?: boolean;
}

/** An image of one platform: configuration, layers and manifest with right digests. */
export function imageOf(options: ImageOptions = {}): ImageContent {
  const types = MEDIA_TYPES[options.format ?? 'oci'];
  const layers = options.layers ?? [layerOf({ 'etc/motd': 'Hello from a layer.\n' })];
  const foreign = options.foreignLayers ?? [];
  const config = blobOf(
    JSON.stringify({
      architecture: options.architecture ?? 'amd64',
      os: options.os ?? 'linux',
      ...(options.variant === undefined ? {} : { variant: options.variant }),
      created: '2024-01-01T00:00:00Z',
      config: { Cmd: ['/bin/true'], ...(options.labels === undefined ? {} : { Labels: options.labels }) },
      rootfs: { type: 'layers', diff_ids: [...layers, ...foreign.map(({ layer }) => layer)].map((layer) => layer.diffId) },
      history: layers.map((_, index) => ({ created: '2024-01-01T00:00:00Z', created_by: `step ${index + 1}` })),
    }),
  );
  const manifest = {
    schemaVersion: 2,
    ...(options.withoutMediaType ? {} : { mediaType: types.manifest }),
    config: descriptorOf(config, types.config),
    layers: [
      ...layers.map((layer) => descriptorOf(layer, types.layer)),
      ...foreign.map(({ layer, urls }) => ({ ...descriptorOf(layer, types.foreignLayer), urls })),
    ],
    ...(options.subject === undefined ? {} : { subject: options.subject }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  };
  return manifestContent(types.manifest, manifest, [config, ...layers]);
}

/** One entry of an index: a manifest or another index, with a platform where it has one. */
export interface IndexEntry {
  content: ImageContent;
  platform?: Platform;
  annotations?: Readonly<Record<string, string>>;
  artifactType?: string;
}

/** What `indexOf` makes an index from. */
export interface IndexOptions {
  format?: ImageFormat;
  entries: readonly IndexEntry[];
  annotations?: Readonly<Record<string, string>>;
  artifactType?: string;
  subject?: Descriptor;
  withoutMediaType?: boolean;
}

/** An OCI index or a Docker manifest list of the given entries. */
export function indexOf(options: IndexOptions): ImageContent {
  const mediaType = MEDIA_TYPES[options.format ?? 'oci'].index;
  const index = {
    schemaVersion: 2,
    ...(options.withoutMediaType ? {} : { mediaType }),
    ...(options.artifactType === undefined ? {} : { artifactType: options.artifactType }),
    manifests: options.entries.map(({ content, platform, annotations, artifactType }) => ({
      ...descriptorOf(content, content.mediaType),
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(platform === undefined ? {} : { platform }),
      ...(annotations === undefined ? {} : { annotations }),
    })),
    ...(options.subject === undefined ? {} : { subject: options.subject }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  };
  return manifestContent(
    mediaType,
    index,
    [],
    options.entries.map((entry) => entry.content),
  );
}

/** An image for each platform, in one index: `linux/amd64`, `linux/arm/v7`, … */
export function multiPlatformOf(
  platforms: readonly string[],
  make: (platform: Platform) => ImageOptions,
  options: Omit<IndexOptions, 'entries'> = {},
): ImageContent {
  const format = options.format ?? 'oci';
  const entries = platforms.map((text) => {
    const platform = platformOf(text);
    return { content: imageOf({ format, ...platform, ...make(platform) }), platform };
  });
  return indexOf({ ...options, entries });
}

/** `linux/arm/v7` as a platform object; throws when os or architecture is missing. */
export function platformOf(text: string): Platform {
  const [os, architecture, variant] = text.split('/');
  if (!os || !architecture) throw new Error(`A platform is os/architecture[/variant], not ${JSON.stringify(text)}`);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** Descriptor of a blob or manifest. */
export function descriptorOf(content: { digest: string; size: number } | ImageContent, mediaType: string): Descriptor {
  return { mediaType, digest: content.digest, size: 'size' in content ? content.size : content.bytes.length };
}

/** A manifest of any shape, with the digest of its JSON. */
export function manifestContent(
  mediaType: string,
  manifest: object,
  blobs: readonly BlobContent[],
  children: readonly ImageContent[] = [],
): ImageContent {
  const bytes = Buffer.from(JSON.stringify(manifest, null, 2));
  return { mediaType, digest: sha256Digest(bytes), bytes, blobs, children };
}
