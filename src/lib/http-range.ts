/** `length` bytes from `start`, or everything, or a range that lies behind the end (status 416). */
export type RequestedRange = { readonly start: number; readonly length: number } | 'whole' | 'unsatisfiable';

const ONE_RANGE = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/i;

/**
 * Reads a `Range` header for a body of `size` bytes (RFC 9110, 14.1.2 and 14.2): `a-b`, `a-` and `-n` are clipped to the size.
 * A malformed header is ignored, as is one with several ranges: a server may always answer with the whole.
 */
export function parseRange(header: string | undefined, size: number): RequestedRange {
  const [, first, last, suffix] = (header !== undefined && ONE_RANGE.exec(header.trim())) || [];
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), size);
    if (Number(suffix) === 0) return 'unsatisfiable';
    return size === 0 ? 'whole' : { start: size - length, length };
  }
  if (first === undefined) return 'whole';
  const start = Number(first);
  const end = last ? Number(last) : Number.POSITIVE_INFINITY;
  if (end < start) return 'whole';
  if (start >= size) return 'unsatisfiable';
  return { start, length: Math.min(end, size - 1) - start + 1 };
}
