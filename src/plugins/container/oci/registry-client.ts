import { checksumError } from '../../../download/resume.ts';
import type { Downloaded, DownloadTarget, SmallResponse, Upstream, UpstreamStream } from '../../../download/upstream.ts';
import { publicUrl, UpstreamError } from '../../../download/upstream-error.ts';
import type { ChecksumName } from '../../../lib/checksums.ts';
import { algorithmOf, type Digest, digestOf, hexOf, parseDigest } from '../../../lib/digest.ts';
import { type Descriptor, hasDigest, MAX_MANIFEST_BYTES, type Manifest, parseManifest } from './manifest.ts';
import { MANIFEST_ACCEPT, OCI_INDEX } from './media-types.ts';
import { isRepositoryName, parseReference, upstreamRepositoryName } from './reference.ts';
import { NO_REFERRERS_API, type ReferrerEntry, readReferrers } from './referrer-list.ts';
import { RegistryError } from './registry-error.ts';
import { type FetchedSignature, readExtensionSignatures, readLookasideSignatures } from './signature-source.ts';
import { readTagList } from './tag-list.ts';
import { type AuthHeaders, TokenAuth } from './token-auth.ts';

/** Blobs up to this size are faster held than streamed through a file of their own. */
export const SMALL_BLOB_BYTES = 256 * 1024;
/** The largest blob that is held: a config (spec: security, rule 9). */
export const MAX_HELD_BLOB_BYTES = 8 * 1024 * 1024;
const MAX_PING_BYTES = 64 * 1024;
/** Answers to `/v2/` that say nothing about signatures: authentication needed, or no such page. */
const PING_STATUSES = [400, 401, 403, 404, 405];

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
  /**
   * A manifest by tag or digest, parsed. Its digest is the asked one, or the expected one, or for a tag the upstream's
   * `Docker-Content-Digest`; the bytes are compared with each of these that there is. `expected`: fail unless it is this one.
   */
  manifest(reference: string, expected?: Digest, signal?: AbortSignal): Promise<Manifest>;
  /** What refers to a manifest, by the Referrers API; undefined where the registry does not have that. */
  referrers(digest: Digest, signal?: AbortSignal): Promise<readonly ReferrerEntry[] | undefined>;
  /** A small blob, held: at most 8 MiB. */
  blob(descriptor: BlobDescriptor, signal?: AbortSignal): Promise<Buffer>;
  /** A blob of any size into a file. `checksums`: what to compute beside the digest's own algorithm. */
  downloadBlob(
    descriptor: BlobDescriptor,
    file: DownloadTarget,
    checksums: readonly ChecksumName[],
    signal?: AbortSignal,
  ): Promise<Downloaded>;
  /** A blob as it comes, for a waiting client. */
  streamBlob(descriptor: BlobDescriptor, signal?: AbortSignal): Promise<UpstreamStream>;
  /** Where a manifest is, for a message: without credentials. */
  manifestUrl(reference: string): string;
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

/** Opens a repository of the upstream. Throws RegistryError where the name is none that a repository can have. */
export function openRegistry(upstream: Upstream, options: RegistryOptions): Registry {
  const url = new URL(options.url);
  const name = upstreamRepositoryName(options.upstreamName, url.hostname);
  if (!isRepositoryName(name)) {
    throw new RegistryError('reference', `${JSON.stringify(options.upstreamName)} is not a name that a repository can have`);
  }
  const base = url.origin + url.pathname.replace(/\/+$/, '');
  return new UpstreamRegistry(upstream, { ...options, base, name });
}

interface Place extends RegistryOptions {
  /** Without a slash at the end. */
  readonly base: string;
  readonly name: string;
}

class UpstreamRegistry implements Registry {
  readonly #upstream: Upstream;
  readonly #place: Place;
  readonly #auth: TokenAuth;
  readonly #scope: string;
  #signatures: Promise<boolean> | undefined;

  constructor(upstream: Upstream, place: Place) {
    this.#upstream = upstream;
    this.#place = place;
    this.#auth = new TokenAuth({ upstream, tokenRealms: place.tokenRealms });
    this.#scope = `repository:${place.name}:pull`;
  }

  tags(signal?: AbortSignal): AsyncGenerator<string, void, void> {
    const ask = (url: string, maxBytes: number): Promise<SmallResponse> =>
      this.#authorized(
        (headers) => this.#upstream.request({ method: 'GET', url, headers, maxBytes, decode: true, signal }),
        signal,
      );
    return readTagList(new URL(this.#url('tags/list')), ask, this.#upstream.log);
  }

  async head(reference: string, signal?: AbortSignal): Promise<Digest | undefined> {
    const url = this.manifestUrl(reference);
    const { headers } = await this.#authorized(
      (authorization) =>
        this.#upstream.request({
          method: 'HEAD',
          url,
          headers: { ...authorization, accept: MANIFEST_ACCEPT },
          maxBytes: 0,
          // A registry without HEAD is asked by GET.
          statuses: [405],
          signal,
        }),
      signal,
    );
    return parseDigest(headers['docker-content-digest'] ?? '');
  }

  async manifest(reference: string, expected?: Digest, signal?: AbortSignal): Promise<Manifest> {
    const url = this.manifestUrl(reference);
    const asked = expected ?? parseDigest(reference);
    let digest = asked;
    const verify = ({ body, headers }: SmallResponse): void => {
      const stated = parseDigest(headers['docker-content-digest'] ?? '');
      digest = asked ?? stated;
      for (const one of new Set([asked, stated])) {
        if (one !== undefined && !hasDigest(body, one))
          throw checksumError(url, hexOf(one), hexOf(digestOf(body, algorithmOf(one))));
      }
    };
    const { body, headers } = await this.#authorized(
      (authorization) =>
        this.#upstream.request({
          method: 'GET',
          url,
          headers: { ...authorization, accept: MANIFEST_ACCEPT },
          maxBytes: MAX_MANIFEST_BYTES,
          verify,
          signal,
        }),
      signal,
    );
    try {
      return parseManifest(body, { contentType: headers['content-type'], proven: digest });
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw new RegistryError(error.kind, `${error.message}, at ${publicUrl(url)}`, { cause: error });
    }
  }

  referrers(digest: Digest, signal?: AbortSignal): Promise<readonly ReferrerEntry[] | undefined> {
    const ask = async (url: string, maxBytes: number): Promise<SmallResponse> => {
      try {
        return await this.#authorized(
          (authorization) =>
            this.#upstream.request({
              method: 'GET',
              url,
              headers: { ...authorization, accept: OCI_INDEX },
              maxBytes,
              decode: true,
              // A 401 has to be seen by who can answer its challenge; one that remains means no more than a 403 does.
              statuses: NO_REFERRERS_API.filter((status) => status !== 401),
              signal,
            }),
          signal,
        );
      } catch (error) {
        if (!(error instanceof UpstreamError) || error.status !== 401) throw error;
        return { status: 401, headers: {}, body: Buffer.alloc(0), url };
      }
    };
    return readReferrers(new URL(this.#url(`referrers/${digest}`)), ask);
  }

  async blob({ digest, size }: BlobDescriptor, signal?: AbortSignal): Promise<Buffer> {
    const url = this.#url(`blobs/${digest}`);
    if (size !== undefined && size > MAX_HELD_BLOB_BYTES) {
      const message = `The blob ${digest} at ${publicUrl(url)} has ${size} bytes; at most ${MAX_HELD_BLOB_BYTES} are held`;
      throw new UpstreamError('too-large', publicUrl(url), message);
    }
    const verify = ({ body, url: from }: SmallResponse): void => {
      if (size !== undefined && body.byteLength !== size) {
        const message = `The file at ${publicUrl(from)} should have ${size} bytes and has ${body.byteLength}`;
        throw new UpstreamError('size', publicUrl(from), message);
      }
      const actual = digestOf(body, algorithmOf(digest));
      if (actual !== digest) throw checksumError(from, hexOf(digest), hexOf(actual));
    };
    const { body } = await this.#authorized(
      (headers) =>
        this.#upstream.request({
          method: 'GET',
          url,
          headers,
          maxBytes: Math.min(MAX_HELD_BLOB_BYTES, (size ?? MAX_HELD_BLOB_BYTES) + SMALL_BLOB_BYTES),
          verify,
          signal,
        }),
      signal,
    );
    return body;
  }

  downloadBlob(
    { digest, size }: BlobDescriptor,
    file: DownloadTarget,
    checksums: readonly ChecksumName[],
    signal?: AbortSignal,
  ): Promise<Downloaded> {
    const url = this.#url(`blobs/${digest}`);
    return this.#authorized(
      (headers) => this.#upstream.download({ url, headers, digest, size, file, checksums, signal }),
      signal,
    );
  }

  streamBlob({ digest, size }: BlobDescriptor, signal?: AbortSignal): Promise<UpstreamStream> {
    const url = this.#url(`blobs/${digest}`);
    return this.#authorized((headers) => this.#upstream.stream({ url, headers, digest, size, signal }), signal);
  }

  manifestUrl(reference: string): string {
    if (!parseReference(reference)) {
      throw new RegistryError('reference', `${JSON.stringify(reference.slice(0, 200))} is neither a tag nor a digest`);
    }
    return this.#url(`manifests/${reference}`);
  }

  supportsSignatures(signal?: AbortSignal): Promise<boolean> {
    this.#signatures ??= this.#askForSignatures(signal).catch((error: unknown) => {
      this.#signatures = undefined;
      throw error;
    });
    return this.#signatures;
  }

  extensionSignatures(digest: Digest, signal?: AbortSignal): Promise<readonly FetchedSignature[]> {
    const url = `${this.#place.base}/extensions/v2/${this.#place.name}/signatures/${digest}`;
    return readExtensionSignatures(url, (at, maxBytes) =>
      this.#authorized(
        (headers) => this.#upstream.request({ method: 'GET', url: at, headers, maxBytes, statuses: [404], signal }),
        signal,
      ),
    );
  }

  async sigstoreSignatures(digest: Digest, signal?: AbortSignal): Promise<readonly FetchedSignature[]> {
    const { sigstore, upstreamName } = this.#place;
    if (sigstore === null) return [];
    return readLookasideSignatures(sigstore, upstreamName, digest, (url, maxBytes) =>
      this.#upstream.request({ method: 'GET', url, maxBytes, statuses: [404], signal }),
    );
  }

  close(): Promise<void> {
    return this.#upstream.close();
  }

  async #askForSignatures(signal: AbortSignal | undefined): Promise<boolean> {
    const { headers } = await this.#upstream.request({
      method: 'GET',
      url: `${this.#place.base}/v2/`,
      maxBytes: MAX_PING_BYTES,
      statuses: PING_STATUSES,
      signal,
    });
    return headers['x-registry-supports-signatures'] === '1';
  }

  #url(path: string): string {
    return `${this.#place.base}/v2/${this.#place.name}/${path}`;
  }

  #authorized<T>(call: (headers: AuthHeaders) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return this.#auth.authorized(this.#scope, call, signal);
  }
}
