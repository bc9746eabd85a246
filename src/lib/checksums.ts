import { createHash, type Hash, hash } from 'node:crypto';

/** The checksums that a stored file may have; `sha256` names it. */
export const CHECKSUM_NAMES = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'] as const;
export type ChecksumName = (typeof CHECKSUM_NAMES)[number];

/** In lower-case hexadecimal. */
export type Checksums = Partial<Record<ChecksumName, string>>;

/** Checksums of bytes that pass by. */
export class RunningChecksums {
  readonly #hashes: ReadonlyMap<ChecksumName, Hash>;

  constructor(names: Iterable<ChecksumName>) {
    this.#hashes = new Map([...names].map((name) => [name, createHash(name)]));
  }

  update(chunk: Uint8Array): void {
    for (const one of this.#hashes.values()) one.update(chunk);
  }

  /** Once, at the end. */
  finish(): Checksums {
    return Object.fromEntries(Array.from(this.#hashes, ([name, one]) => [name, one.digest('hex')]));
  }
}

/** Checksums of bytes in hand. */
export const checksumsOf = (names: readonly ChecksumName[], bytes: Uint8Array): Checksums =>
  Object.fromEntries(names.map((name) => [name, hash(name, bytes)]));
