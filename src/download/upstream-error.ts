/**
 * - `status`: an HTTP status that is no success
 * - `refused`, `dns`, `tls`, `connection`: no connection, or one that broke before the answer's head
 * - `timeout`: connect, head, idle body, slow body or total
 * - `truncated`: the body ended before its length
 * - `size`, `checksum`: not the bytes that were asked for
 * - `too-large`: over a limit
 * - `redirect`: too many, or to a place that must not be followed
 * - `forbidden-address`: the network policy refuses the address
 * - `protocol`: an answer that is not what the protocol says
 */
export type UpstreamErrorKind =
  | 'status'
  | 'refused'
  | 'dns'
  | 'tls'
  | 'connection'
  | 'timeout'
  | 'truncated'
  | 'size'
  | 'checksum'
  | 'too-large'
  | 'redirect'
  | 'forbidden-address'
  | 'protocol';

export interface UpstreamErrorFacts {
  readonly status?: number | undefined;
  /** `WWW-Authenticate` of a 401. */
  readonly challenge?: string | undefined;
  /** `Retry-After`, as it was sent. */
  readonly retryAfter?: string | undefined;
  readonly cause?: unknown;
}

/** The upstream did not give what was asked for. The message names what and where, without credentials or query. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly kind: UpstreamErrorKind;
  readonly url: string;
  readonly status: number | undefined;
  readonly challenge: string | undefined;
  readonly retryAfter: string | undefined;

  constructor(kind: UpstreamErrorKind, url: string, message: string, facts: UpstreamErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.kind = kind;
    this.url = url;
    this.status = facts.status;
    this.challenge = facts.challenge;
    this.retryAfter = facts.retryAfter;
  }
}

/** A URL for a message or a log line: without user, password, query (signed URLs are secrets) and fragment. */
export function publicUrl(url: string | URL): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  shown.search = '';
  shown.hash = '';
  return shown.href;
}
