import type { Downloaded, DownloadTarget, UpstreamStream } from '../../../download/upstream.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { Descriptor } from './manifest.ts';
import type { ManifestMediaType } from './media-types.ts';

/** A manifest as it was received, its digest proven. */
export interface FetchedManifest {
  readonly body: Buffer;
  readonly mediaType: ManifestMediaType;
  /** The asked digest; for a tag the upstream's `Docker-Content-Digest` (compared with the bytes), else sha256. */
  readonly digest: Digest;
}

/** A signature as the upstream gave it: parse it with `parseSignature`. */
export interface FetchedSignature {
  readonly body: Buffer;
  /** Where it came from, for a log line. */
  readonly url: string;
}

/** What is asked of a blob. */
export type BlobDescriptor = Pick<Descriptor, 'digest' | 'size'>;

/**
 * A repository of a registry upstream. Every digest is verified before anything is given out. All methods throw UpstreamError
 * or RegistryError, whose messages name the URL, or the signal's reason.
 */
export interface Registry {
  /** All tags of all pages, in the upstream's order, duplicates removed. */
  tags(signal?: AbortSignal): AsyncGenerator<string, void, void>;
  /** The digest a reference (tag or digest) has now; undefined where the upstream does not say it: then ask `manifest`. */
  head(reference: string, signal?: AbortSignal): Promise<Digest | undefined>;
  /** A manifest by tag or digest. `expected`: fail unless it is this one (as after `head`). */
  manifest(reference: string, expected?: Digest, signal?: AbortSignal): Promise<FetchedManifest>;
  /** A small blob, held: at most 8 MiB. */
  blob(descriptor: BlobDescriptor, signal?: AbortSignal): Promise<Buffer>;
  /** A blob of any size into a file. */
  downloadBlob(descriptor: BlobDescriptor, file: DownloadTarget, signal?: AbortSignal): Promise<Downloaded>;
  /** A blob as it comes, for a waiting client. */
  streamBlob(descriptor: BlobDescriptor, signal?: AbortSignal): Promise<UpstreamStream>;
  /** Has the registry the signature extension? Asked once, without credentials. */
  supportsSignatures(signal?: AbortSignal): Promise<boolean>;
  /** Signatures of a manifest from the extension API; [] where there are none. */
  extensionSignatures(digest: Digest, signal?: AbortSignal): Promise<readonly FetchedSignature[]>;
  /** Signatures of a manifest from the lookaside server; [] where there are none or no `sigstore` is set. */
  sigstoreSignatures(digest: Digest, signal?: AbortSignal): Promise<readonly FetchedSignature[]>;
  /** Ends what is running and closes the upstream's connections. */
  close(): Promise<void>;
}

export interface RegistryOptions {
  /** The remote's URL; its path is kept: `http://h/sub` asks `/sub/v2/…`. */
  readonly url: string;
  readonly upstreamName: string;
  /** Base URL of the lookaside server, or null. */
  readonly sigstore: string | null;
  /** DECKLE_TOKEN_REALMS */
  readonly tokenRealms: readonly string[];
}
