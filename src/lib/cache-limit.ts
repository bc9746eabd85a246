/**
 * Options of an lru-cache that holds so many entries. With its own `max` it takes memory for all of them when it is made: 2.4 MB for
 * 100,000.
 */
export const atMost = (entries: number) => ({ maxSize: entries, sizeCalculation: () => 1 }) as const;
