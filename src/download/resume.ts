import type { ResponseHeaders } from './upstream.ts';
import { publicUrl, UpstreamError } from './upstream-error.ts';

/** Where nobody states a size, a body ends here. */
export const MAX_UNSTATED_BYTES = 10 * 1024 ** 3;

/**
 * How far a body has come, over however many transfers it takes. A transfer after the first asks for the rest by Range; where
 * the server sends all again, the part that is there already is passed over. That the parts belong together is proven by the
 * digest of the whole, and asked for by If-Range where there is a strong ETag (RFC 9110 13.1.5).
 */
export class Resume {
  readonly #size: number | undefined;
  /** Bytes taken so far. */
  received = 0;
  #etag: string | undefined;
  #skip = 0;

  constructor(size: number | undefined) {
    this.#size = size;
  }

  /** Headers to add to the next request. */
  headers(): Record<string, string> {
    if (this.received === 0) return {};
    return { range: `bytes=${this.received}-`, ...(this.#etag === undefined ? {} : { 'if-range': this.#etag }) };
  }

  /** Takes the head of a 200, 206 or 416 answer. Throws where the body that follows cannot be the one that is wanted. */
  begin(status: number, headers: ResponseHeaders, url: string): void {
    if (status === 416) {
      throw new UpstreamError(
        'size',
        publicUrl(url),
        `${publicUrl(url)} has no more than ${this.received} bytes, where more are expected`,
      );
    }
    const etag = headers.etag;
    this.#etag = etag?.startsWith('"') ? etag : undefined;
    const length = headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
    if (status === 206) {
      const start = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
      if (this.received === 0 || start === undefined || Number(start) !== this.received) {
        throw new UpstreamError('protocol', publicUrl(url), `${publicUrl(url)} sent a range that was not asked for`);
      }
      this.#skip = 0;
      this.#checkLength(length === undefined ? undefined : this.received + length, url);
    } else {
      this.#skip = this.received;
      this.#checkLength(length, url);
    }
  }

  /** The part of a chunk that is new; it may be empty. Throws where there are more bytes than there should be. */
  take(chunk: Buffer, url: string): Buffer {
    const fresh = this.#skip === 0 ? chunk : chunk.subarray(Math.min(this.#skip, chunk.byteLength));
    this.#skip -= chunk.byteLength - fresh.byteLength;
    const total = this.received + fresh.byteLength;
    if (total > (this.#size ?? MAX_UNSTATED_BYTES)) this.#wrongSize('size', 'more', url);
    this.received = total;
    return fresh;
  }

  /** The body has ended. Throws unless it is as long as it should be. */
  finish(url: string): void {
    if (this.#skip > 0 || (this.#size !== undefined && this.received !== this.#size))
      this.#wrongSize('truncated', String(this.received), url);
  }

  /** Forgets what was taken: the next transfer begins at the first byte. */
  restart(): void {
    this.received = 0;
    this.#skip = 0;
    this.#etag = undefined;
  }

  #checkLength(length: number | undefined, url: string): void {
    const limit = this.#size ?? MAX_UNSTATED_BYTES;
    if (length === undefined || length === this.#size || (this.#size === undefined && length <= limit)) return;
    this.#wrongSize('size', String(length), url);
  }

  #wrongSize(kind: 'size' | 'truncated', actual: string, url: string): never {
    const shown = publicUrl(url);
    const wanted = this.#size ?? `at most ${MAX_UNSTATED_BYTES}`;
    throw new UpstreamError(kind, shown, `The file at ${shown} should have ${wanted} bytes and has ${actual}`);
  }
}

/** Pulp's text of bytes with another digest than expected; both in hexadecimal. */
export const checksumError = (url: string, expected: string, actual: string): UpstreamError =>
  new UpstreamError(
    'checksum',
    publicUrl(url),
    `[PLP0003] A file located at the url ${publicUrl(url)} failed validation due to checksum. Expected '${expected}', Actual '${actual}'`,
  );
