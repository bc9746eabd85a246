import type { IncomingMessage } from 'node:http';
import type { DescribedBytes, FileHeaders } from '../../kit/served-file.ts';
import { parseRange } from '../../lib/http-range.ts';

/** An answer of its own, with a body that is no part of a file. */
export interface Refusal {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What is answered: bytes from `start`, or nothing, or the refusal's body. */
export interface FilePlan {
  readonly status: 200 | 206 | 304 | 412 | 416;
  readonly start: number;
  readonly length: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a 416. */
  readonly refusal?: string;
}

/** Whether an `If-None-Match` names the bytes (RFC 9110, 13.1.2; a weak comparison). */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((item) => {
    const tag = item.trim().replace(/^W\//, '');
    return tag === '*' || tag === `"${etag}"`;
  });
}

/**
 * Whether the client has these bytes already. A date must be the one that we gave: a distribution that is set back to an earlier
 * version has older bytes, and they are not what the client has.
 */
function isKnown({ headers: asked }: IncomingMessage, { etag, modified }: DescribedBytes): boolean {
  if (asked['if-none-match'] !== undefined) return matchesEtag(asked['if-none-match'], etag);
  return modified !== undefined && asked['if-modified-since'] === modified;
}

/** Whether the client wants these bytes and no others, and they are not what it knows (RFC 9110, 13.1.1 and 13.1.4; a strong comparison). */
function isAnother({ headers: asked }: IncomingMessage, { etag, modified }: DescribedBytes): boolean {
  const wanted = asked['if-match'];
  if (wanted !== undefined) return !wanted.split(',').some((tag) => tag.trim() === '*' || tag.trim() === `"${etag}"`);
  const since = Date.parse(asked['if-unmodified-since'] ?? '');
  return modified !== undefined && Date.parse(modified) > since;
}

/** What the conditions and the range of a GET or HEAD come to (RFC 9110, 13.2.2 and 14.2). `refusal` is told where the range lies behind the end. */
export function planOf(
  request: IncomingMessage,
  bytes: DescribedBytes,
  { contentType, others }: FileHeaders,
  refusal: Refusal,
): FilePlan {
  const { size, modified } = bytes;
  const etag = `"${bytes.etag}"`;
  const headers: Record<string, string> = { ...others, 'Content-Type': contentType, ETag: etag, 'Accept-Ranges': 'bytes' };
  if (modified !== undefined) headers['Last-Modified'] = modified;
  if (isAnother(request, bytes))
    return { status: 412, start: 0, length: 0, headers: { ...others, ETag: etag, 'Content-Length': '0' } };
  if (isKnown(request, bytes)) return { status: 304, start: 0, length: 0, headers };
  const condition = request.headers['if-range'];
  const current = condition === undefined || condition === etag || condition === modified;
  const range = request.method === 'GET' && current ? parseRange(request.headers.range, size) : 'whole';
  if (range === 'whole') {
    headers['Content-Length'] = String(size);
    return { status: 200, start: 0, length: size, headers };
  }
  if (range === 'unsatisfiable') {
    const refused = { 'Content-Length': String(Buffer.byteLength(refusal.body)), 'Content-Range': `bytes */${size}` };
    return { status: 416, start: 0, length: 0, headers: { ...refusal.headers, ...refused }, refusal: refusal.body };
  }
  headers['Content-Length'] = String(range.length);
  headers['Content-Range'] = `bytes ${range.start}-${range.start + range.length - 1}/${size}`;
  return { status: 206, start: range.start, length: range.length, headers };
}
