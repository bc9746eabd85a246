/** Characters whose order in UTF-16 is not that of their UTF-8 bytes. */
const BEYOND = /[\ud800-\uffff]/;

/** Compares texts as strcmp does their UTF-8 bytes: how OSTree sorts names. For Array.sort. */
export function compareBytes(a: string, b: string): number {
  if (BEYOND.test(a) || BEYOND.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
