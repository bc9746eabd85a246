import type { z } from 'zod';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf } from '../../../lib/digest.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { artifactSchema, firstIssue, guessSchema, imageSchema, indexSchema, schema1Schema } from './manifest-schema.ts';
import {
  DOCKER_MANIFEST_LIST,
  DOCKER_MANIFEST_V1,
  DOCKER_MANIFEST_V1_SIGNED,
  DOCKER_MANIFEST_V2,
  essenceOf,
  isForeignLayer,
  isManifestMediaType,
  type ManifestMediaType,
  OCI_ARTIFACT_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-types.ts';
import { RegistryError } from './registry-error.ts';
import { signedPayload } from './schema1-digest.ts';

/** Bytes of a manifest (spec: security, rule 9). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** Entries of an index. */
export const MAX_CHILDREN = 1000;
/** How deep indexes may list indexes: for whoever follows them. */
export const MAX_INDEX_DEPTH = 3;

/** What a manifest points at (image-spec descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. Undefined only for the layers of schema 1, which state none. */
  readonly size: number | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType: string | undefined;
}

/** The platform of an index entry; null where the index does not say. */
export interface Platform {
  readonly architecture: string | null;
  readonly os: string | null;
  readonly os_version: string | null;
  readonly os_features: readonly string[] | null;
  readonly features: readonly string[] | null;
  readonly variant: string | null;
}

/** An entry of an index: an image, or another index. */
export interface ChildDescriptor extends Descriptor {
  readonly size: number;
  readonly platform: Platform;
}

/** A manifest of any kind, parsed and checked. */
export interface Manifest {
  /** `index` for Docker lists too; `schema1` for both of its media types. */
  readonly kind: 'image' | 'index' | 'schema1';
  /** The expected digest, or sha256 of the bytes (schema 1 signed: of its payload). */
  readonly digest: Digest;
  readonly mediaType: ManifestMediaType;
  readonly schemaVersion: 1 | 2;
  /** The bytes as they were received: what is stored and served. */
  readonly body: Buffer;
  readonly config: Descriptor | undefined;
  /** Without foreign layers; each digest once, in first order. */
  readonly layers: readonly Descriptor[];
  /** Sum of the layers as they are listed (one listed twice counts twice), without foreign ones; 0 for schema 1; null for an index. */
  readonly layersSize: number | null;
  /** Each digest once, in first order. */
  readonly children: readonly ChildDescriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType: string | undefined;
  readonly subject: Digest | undefined;
  /** Stated by the manifest itself: schema 1 does. */
  readonly architecture: string | undefined;
  readonly os: string | undefined;
}

export interface ManifestOptions {
  /** The upstream's or client's Content-Type; it decides where the manifest itself has no mediaType. */
  readonly contentType?: string | undefined;
  /** Fail unless the bytes have this digest. */
  readonly expected?: Digest | undefined;
  /** The digest the bytes were already compared with: taken as it is. */
  readonly proven?: Digest | undefined;
}

type Parts = Omit<Manifest, 'digest' | 'mediaType' | 'body'>;

/**
 * Parses the bytes of a manifest of any known type. Throws RegistryError: `digest` where they are not the expected ones,
 * `media-type` where their type is unknown, `manifest` where they are invalid or break a limit.
 */
export function parseManifest(body: Buffer, options: ManifestOptions = {}): Manifest {
  if (body.byteLength > MAX_MANIFEST_BYTES) {
    throw new RegistryError('manifest', `A manifest is larger than ${MAX_MANIFEST_BYTES} bytes`);
  }
  const { expected } = options;
  if (expected !== undefined && !hasDigest(body, expected)) throw digestError(body, expected);
  const document = parseBoundedJson(body, 'manifest', 'A manifest');
  const mediaType = mediaTypeOf(document, options.contentType);
  refuseAmbiguous(document as object, mediaType);
  const digest = options.proven ?? expected ?? manifestDigest(body, mediaType);
  return { ...partsOf(document, mediaType), digest, mediaType, body };
}

/** The digest of a manifest's bytes, by the rule of its media type. */
export function manifestDigest(body: Buffer, mediaType: ManifestMediaType, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestOf(isSchema1(mediaType) ? signedPayload(body) : body, algorithm);
}

/**
 * Whether the bytes are the ones that the digest names: hashed as they are, or, for what claims to be signed schema 1, its
 * payload. Cheap for the ordinary case; safe, as the payload is what the digest is then said to be of.
 */
export function hasDigest(body: Buffer, expected: Digest): boolean {
  if (digestOf(body, algorithmOf(expected)) === expected) return true;
  if (!body.includes('"signatures"')) return false;
  try {
    return digestOf(signedPayload(body), algorithmOf(expected)) === expected;
  } catch (error) {
    if (error instanceof RegistryError) return false;
    throw error;
  }
}

export const digestError = (body: Buffer, expected: Digest): RegistryError =>
  new RegistryError(
    'digest',
    `A manifest has other bytes than its digest says: expected ${expected}, received ${digestOf(body, algorithmOf(expected))}`,
  );

const isSchema1 = (mediaType: ManifestMediaType): boolean =>
  mediaType === DOCKER_MANIFEST_V1 || mediaType === DOCKER_MANIFEST_V1_SIGNED;

/** The manifest's own mediaType, else the Content-Type, else what its fields suggest (spec: sync, manifest kinds). */
function mediaTypeOf(document: unknown, contentType: string | undefined): ManifestMediaType {
  const parsed = guessSchema.safeParse(document);
  if (!parsed.success) throw new RegistryError('manifest', `A manifest is invalid: ${firstIssue(parsed.error)}`);
  const guess = parsed.data;
  const stated = guess.mediaType ?? undefined;
  if (stated !== undefined) {
    if (isManifestMediaType(stated)) return stated;
    throw new RegistryError('media-type', `A manifest of an unknown media type was provided: ${stated}`);
  }
  const received = contentType === undefined ? '' : essenceOf(contentType);
  if (isManifestMediaType(received)) return received;
  if (received.startsWith('application/vnd.')) {
    throw new RegistryError('media-type', `A manifest of an unknown media type was provided: ${received}`);
  }
  if (guess.manifests) {
    const isOci = guess.manifests.some((child) => child.mediaType === OCI_MANIFEST || child.mediaType === OCI_INDEX);
    return isOci ? OCI_INDEX : DOCKER_MANIFEST_LIST;
  }
  if (guess.config) return guess.config.mediaType === OCI_CONFIG ? OCI_MANIFEST : DOCKER_MANIFEST_V2;
  if (guess.schemaVersion === 1) return guess.signatures === undefined ? DOCKER_MANIFEST_V1 : DOCKER_MANIFEST_V1_SIGNED;
  throw new RegistryError('media-type', `A manifest of an unknown media type was provided: ${received || 'none is stated'}`);
}

/** Which fields a type must not have: a document that is two things at once is one to one reader and another to the next (CVE-2021-41190). */
const FOREIGN_FIELDS = { index: ['layers', 'config', 'fsLayers'], image: ['manifests', 'fsLayers'] } as const;

function refuseAmbiguous(document: object, mediaType: ManifestMediaType): void {
  if (isSchema1(mediaType)) return;
  const kind = mediaType === DOCKER_MANIFEST_LIST || mediaType === OCI_INDEX ? 'index' : 'image';
  const field = FOREIGN_FIELDS[kind].find((name) => name in document);
  if (field !== undefined) {
    throw new RegistryError('manifest', `A manifest of the type ${mediaType} is invalid: it must not have the field ${field}`);
  }
}

function partsOf(document: unknown, mediaType: ManifestMediaType): Parts {
  switch (mediaType) {
    case DOCKER_MANIFEST_V1:
    case DOCKER_MANIFEST_V1_SIGNED:
      return schema1Parts(checked(schema1Schema, document, mediaType));
    case DOCKER_MANIFEST_LIST:
    case OCI_INDEX:
      return indexParts(checked(indexSchema, document, mediaType));
    case OCI_ARTIFACT_MANIFEST: {
      const artifact = checked(artifactSchema, document, mediaType);
      return imageParts({ ...artifact, config: undefined, layers: artifact.blobs });
    }
    default:
      return imageParts(checked(imageSchema, document, mediaType));
  }
}

function checked<S extends z.ZodType>(schema: S, document: unknown, mediaType: string): z.output<S> {
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new RegistryError('manifest', `A manifest of the type ${mediaType} is invalid: ${firstIssue(parsed.error)}`);
}

type ParsedDescriptor = z.output<typeof imageSchema>['config'];

const descriptorOf = (parsed: ParsedDescriptor): Descriptor & { readonly size: number } => ({
  mediaType: parsed.mediaType,
  digest: parsed.digest,
  size: parsed.size,
  annotations: parsed.annotations ?? {},
  artifactType: parsed.artifactType,
});

/** Each digest once, in first order. */
function distinct<T extends { readonly digest: Digest }>(descriptors: readonly T[]): T[] {
  const seen = new Set<Digest>();
  return descriptors.filter(({ digest }) => !seen.has(digest) && seen.add(digest));
}

type ParsedImage = Omit<z.output<typeof imageSchema>, 'config' | 'schemaVersion'> & { config: ParsedDescriptor | undefined };

function imageParts(image: ParsedImage): Parts {
  const layers = (image.layers ?? []).filter((layer) => !isForeignLayer(layer.mediaType)).map(descriptorOf);
  return {
    kind: 'image',
    schemaVersion: 2,
    config: image.config && descriptorOf(image.config),
    layers: distinct(layers),
    layersSize: layers.reduce((sum, layer) => sum + layer.size, 0),
    children: [],
    annotations: image.annotations ?? {},
    artifactType: image.artifactType ?? undefined,
    subject: image.subject?.digest,
    architecture: undefined,
    os: undefined,
  };
}

function indexParts(index: z.output<typeof indexSchema>): Parts {
  const entries = index.manifests ?? [];
  if (entries.length > MAX_CHILDREN) {
    throw new RegistryError('manifest', `An index lists ${entries.length} manifests; at most ${MAX_CHILDREN} are accepted`);
  }
  const children = entries.map(({ platform, ...entry }) => ({
    ...descriptorOf(entry),
    platform: {
      architecture: platform?.architecture ?? null,
      os: platform?.os ?? null,
      os_version: platform?.['os.version'] ?? null,
      os_features: platform?.['os.features'] ?? null,
      features: platform?.features ?? null,
      variant: platform?.variant ?? null,
    },
  }));
  return {
    kind: 'index',
    schemaVersion: 2,
    config: undefined,
    layers: [],
    layersSize: null,
    children: distinct(children),
    annotations: index.annotations ?? {},
    artifactType: index.artifactType ?? undefined,
    subject: index.subject?.digest,
    architecture: undefined,
    os: undefined,
  };
}

/** The layers' media type is theirs by the spec: schema 1 states none. */
const SCHEMA1_LAYER = 'application/vnd.docker.container.image.rootfs.diff+x-gtar';

function schema1Parts(manifest: z.output<typeof schema1Schema>): Parts {
  const layers = manifest.fsLayers.map(({ blobSum }) => ({
    mediaType: SCHEMA1_LAYER,
    digest: blobSum,
    size: undefined,
    annotations: {},
    artifactType: undefined,
  }));
  return {
    kind: 'schema1',
    schemaVersion: 1,
    config: undefined,
    layers: distinct(layers),
    layersSize: 0,
    children: [],
    annotations: {},
    artifactType: undefined,
    subject: undefined,
    architecture: manifest.architecture ?? undefined,
    os: undefined,
  };
}
