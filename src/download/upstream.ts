import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { ChecksumName, Checksums } from '../lib/checksums.ts';
import type { Digest } from '../lib/digest.ts';
import type { StreamCheck } from '../lib/verified-stream.ts';
import { HttpUpstream } from './http-upstream.ts';
import type { BodyProof } from './proof.ts';
import type { RemoteSettings } from './remote-settings.ts';

/** Response headers, lower-case names; several of one name are joined by `, `. */
export type ResponseHeaders = Readonly<Record<string, string>>;

/** A request whose answer is small enough to be held. */
export interface SmallRequest {
  readonly method: 'GET' | 'HEAD';
  /** Absolute. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The body's limit, after decoding. */
  readonly maxBytes: number;
  /** Statuses beside 2xx that are answers here; any other throws UpstreamError. */
  readonly statuses?: readonly number[] | undefined;
  /** Ask for gzip and decode it, at most 100 : 1 and maxBytes. Otherwise bytes come as they are, `Accept-Encoding: identity`. */
  readonly decode?: boolean | undefined;
  /** Looks at an answer of a 2xx status. What it throws counts as the failure of this try: a `checksum` is tried again. */
  readonly verify?: ((response: SmallResponse) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SmallResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /** Empty for HEAD. */
  readonly body: Buffer;
  /** Where the answer came from, after redirects. */
  readonly url: string;
}

/** A file to download into; storage's PendingFile is one. The caller commits or aborts it afterwards. */
export interface DownloadTarget {
  /** Where there is one, the bytes are written to this path, by a thread; otherwise through `write`. */
  readonly path: string | undefined;
  /** Appends; resolves when the chunk may be reused. */
  write(chunk: Uint8Array): Promise<void>;
}

/** A request for bytes that are known by their digest. */
export interface VerifiedRequest {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly digest: Digest;
  /** Exact, in bytes. Undefined where nobody said (schema 1): then at most 10 GiB. */
  readonly size: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A request for bytes that something else than a digest of theirs proves. */
export interface CheckedRequest extends Omit<VerifiedRequest, 'digest'> {
  /** Made for this request. What it throws the body fails with, and is not asked for again. */
  readonly check: StreamCheck<unknown>;
}

export interface DownloadRequest extends VerifiedRequest {
  readonly file: DownloadTarget;
  /** What to compute beside the digest's own algorithm. Default: sha256. */
  readonly checksums?: readonly ChecksumName[] | undefined;
}

/** A request for a body of unknown size, small as a rule, that something else than a digest of its bytes proves. */
export interface ProvenRequest {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly proof: BodyProof;
  /** Up to so many bytes are held. */
  readonly maxHeld: number;
  /** Where a larger body goes; without one it fails as `too-large`. Untouched by a body that is held. */
  readonly file?: DownloadTarget | undefined;
  /** What to compute of the bytes. Default: sha256. */
  readonly checksums?: readonly ChecksumName[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A body that is proven: in `bytes`, or in the request's file. */
export interface ProvenBody extends Downloaded {
  readonly bytes: Buffer | undefined;
}

/** What has been written and verified. */
export interface Downloaded {
  readonly size: number;
  /** Lower-case hexadecimal, by algorithm. */
  readonly checksums: Readonly<Checksums>;
}

export interface UpstreamStream {
  /** From the request, or else from Content-Length; undefined where neither says. */
  readonly size: number | undefined;
  /**
   * The bytes. Ends only when size and digest, or the check, are right; otherwise it fails, before the last chunk is given out, so that a
   * client that was told the length sees the loss.
   */
  readonly body: Readable;
}

/**
 * A server that a remote names, with the remote's TLS, proxy, timeouts, retries, rate limit and headers, and with the network
 * policy checked at every connection. All methods throw UpstreamError, or the signal's reason once that is aborted.
 */
export interface Upstream {
  /** The remote's own URL. */
  readonly url: URL;
  /** The remote's user, if it has one. Not sent by itself: authentication is the protocol's matter. */
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
  /** Requests and downloads at once; more wait. */
  readonly concurrency: number;
  readonly log: Logger;
  /** One small answer, after redirects and retries. */
  request(request: SmallRequest): Promise<SmallResponse>;
  /** A large body into a file: hashed as it is written, resumed where it broke, whole and verified when this resolves. */
  download(request: DownloadRequest): Promise<Downloaded>;
  /** A body of any size, into memory or, if it is large, into a file: fetched and proven by a thread, in one request. */
  fetch(request: ProvenRequest): Promise<ProvenBody>;
  /** A large body as it comes, for a waiting client; resolves when the head is there. */
  stream(request: VerifiedRequest | CheckedRequest): Promise<UpstreamStream>;
  /** Closes the connections. Requests still running fail. */
  close(): Promise<void>;
}

/** What an upstream needs of its surroundings. */
export interface UpstreamOptions {
  readonly log: Logger;
  /** DECKLE_ALLOWED_REMOTE_NETWORKS */
  readonly allowedNetworks: readonly string[];
  /** Where this Deckle listens: a redirect or token realm must not lead back to its own API. */
  readonly ownAddresses: readonly { readonly address: string; readonly port: number }[];
  /** DECKLE_DOWNLOAD_THREADS. The threads are shared by all upstreams of the process. */
  readonly threads: number;
  /** How long a retry may wait where an upstream asks for it, in milliseconds: little where a client waits, too. Default: five minutes. */
  readonly longestWaitMs?: number | undefined;
}

/** Opens a remote. Connections are made when they are needed. Throws ZodError where the remote's `headers` are not a list of objects. */
export const openUpstream = (settings: RemoteSettings, options: UpstreamOptions): Upstream => new HttpUpstream(settings, options);
