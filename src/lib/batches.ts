/** An array in pieces of `size`, in its order; the last may be smaller. */
export function* batches<T>(items: readonly T[], size: number): Generator<readonly T[], void, undefined> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
