/** A chunk that was uploaded: where in the file it begins, and its length; bytes. */
export interface Chunk {
  readonly id: string;
  readonly offset: number;
  readonly size: number;
}

/** Bytes of the file that one chunk gives: `length` of them from `start` in the file, `skip` bytes into the chunk. */
export interface Segment {
  readonly chunk: Chunk;
  readonly start: number;
  readonly skip: number;
  readonly length: number;
}

const endOf = ({ start, length }: Segment): number => start + length;

/** The part of a segment between two places in the file. */
const cut = ({ chunk, start, skip }: Segment, from: number, to: number): Segment => ({
  chunk,
  start: from,
  skip: skip + from - start,
  length: to - from,
});

/** How many segments, of all in order, end at or before a place. */
function endedBefore(segments: readonly Segment[], place: number): number {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endOf(segments[middle] as Segment) <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Which chunk gives which bytes, in the order of the file: where chunks overlap, the one that came last counts. `chunks` in the order they came. */
export function segmentsOf(chunks: readonly Chunk[]): Segment[] {
  const segments: Segment[] = [];
  for (const chunk of chunks) {
    const [start, end] = [chunk.offset, chunk.offset + chunk.size];
    const first = endedBefore(segments, start);
    let next = first;
    while (next < segments.length && (segments[next] as Segment).start < end) next += 1;
    const covered = segments.slice(first, next);
    const [head] = covered;
    const tail = covered.at(-1);
    segments.splice(
      first,
      covered.length,
      ...(head && head.start < start ? [cut(head, head.start, start)] : []),
      { chunk, start, skip: 0, length: chunk.size },
      ...(tail && endOf(tail) > end ? [cut(tail, end, endOf(tail))] : []),
    );
  }
  return segments;
}

/** The bytes of a file of `size` that no segment gives, as ranges: `0-4`. */
export function missingRanges(segments: readonly Segment[], size: number): string[] {
  const missing: string[] = [];
  let at = 0;
  for (const segment of segments) {
    if (segment.start > at) missing.push(`${at}-${segment.start - 1}`);
    at = endOf(segment);
  }
  if (at < size) missing.push(`${at}-${size - 1}`);
  return missing;
}
