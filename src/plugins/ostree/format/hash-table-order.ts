/** Slots of the smallest table, as a power of two. */
const MIN_SHIFT = 3;
/** The largest prime below each power of two: what a table of that many slots divides by. */
const PRIMES = [
  1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139, 524287, 1048573,
];

type Entry<T> = readonly [name: string, value: T];

/**
 * The entries in the order in which GLib's GHashTable, and so a GVariantDict, gives them back when they are put into it in the order
 * of the map. It is how `ostree` orders the deltas of a summary; it puts them in as readdir tells them, which only matters for names
 * that meet in one slot.
 */
export function hashTableOrder<T>(entries: ReadonlyMap<string, T>): Entry<T>[] {
  let shift = MIN_SHIFT;
  let slots = new Array<Entry<T> | undefined>(1 << shift).fill(undefined);
  let count = 0;
  for (const entry of entries) {
    place(slots, shift, entry);
    count += 1;
    if (slots.length > count + Math.floor(count / 16)) continue;
    shift = Math.max(bitLength(Math.floor(count * 1.333)), MIN_SHIFT);
    if (shift >= PRIMES.length) throw new RangeError(`a table of ${count} names is larger than any summary`);
    const placed = slots;
    slots = new Array<Entry<T> | undefined>(1 << shift).fill(undefined);
    for (const again of placed) if (again) place(slots, shift, again);
  }
  return slots.filter((entry) => entry !== undefined);
}

/** Puts an entry into its slot or, where that is taken, into the first free of those 1, 3, 6, … behind it. */
function place<T>(slots: (Entry<T> | undefined)[], shift: number, entry: Entry<T>): void {
  let slot = ((hashOf(entry[0]) * 11) >>> 0) % (PRIMES[shift] as number);
  for (let step = 1; slots[slot]; step += 1) slot = (slot + step) & (slots.length - 1);
  slots[slot] = entry;
}

/** g_str_hash: 5381, times 33 plus each byte, in 32 bits. The table itself keeps 0 and 1 for slots that are free. */
function hashOf(name: string): number {
  let hash = 5381;
  for (const byte of Buffer.from(name)) hash = (Math.imul(hash, 33) + ((byte << 24) >> 24)) >>> 0;
  return Math.max(hash, 2);
}

const bitLength = (value: number): number => 32 - Math.clz32(value);
