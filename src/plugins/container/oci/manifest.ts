import type { Digest } from '../../../lib/digest.ts';
import type { ManifestMediaType } from './media-types.ts';

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
  /** The digest under which it was parsed: the expected one, or sha256 of the bytes (schema 1 signed: of its payload). */
  readonly digest: Digest;
  readonly mediaType: ManifestMediaType;
  readonly schemaVersion: 1 | 2;
  /** The bytes as they were received: what is stored and served. */
  readonly body: Buffer;
  readonly config: Descriptor | undefined;
  /** Without foreign layers; each digest once, in first order. */
  readonly layers: readonly Descriptor[];
  /** Sum of the layers as they are listed (a layer listed twice counts twice), without foreign layers; 0 for schema 1; null for an index. */
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
