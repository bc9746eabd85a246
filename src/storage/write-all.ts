import { writeSync } from 'node:fs';

/**
 * Bytes of one write: for larger ones, kernels with large folios (ext4 from 6.16 on) look for contiguous memory, which takes ten times as
 * long as all else where memory is scattered, as it is after some days.
 */
const WRITE_BYTES = 64 * 1024;

/** Writes all bytes to the end of what was written before. Blocks: for threads that do nothing else. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength; ) {
    at += writeSync(descriptor, bytes, at, Math.min(WRITE_BYTES, bytes.byteLength - at));
  }
}
