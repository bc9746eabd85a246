import { createHash } from 'node:crypto';
import { algorithmOf, type Digest, type DigestAlgorithm } from './digest.ts';

/** What the bytes have to be. `size` in bytes. What is absent is not checked, only counted or computed. */
export interface Expectation {
  readonly digest?: Digest | undefined;
  readonly size?: number | undefined;
}

/** What the bytes were. The digest is in the expected one's algorithm, sha256 where none was expected. */
export interface Verified {
  readonly digest: Digest;
  readonly size: number;
}

export class DigestMismatchError extends Error {
  override readonly name = 'DigestMismatchError';
  readonly expected: Digest;
  readonly actual: Digest;
  constructor(expected: Digest, actual: Digest) {
    super(`expected bytes with the digest ${expected}, received ${actual}`);
    this.expected = expected;
    this.actual = actual;
  }
}

export class SizeMismatchError extends Error {
  override readonly name = 'SizeMismatchError';
  readonly expected: number;
  /** Bytes received until it was noticed. */
  readonly actual: number;
  constructor(expected: number, actual: number) {
    super(`expected ${expected} bytes, received ${actual > expected ? 'more' : actual}`);
    this.expected = expected;
    this.actual = actual;
  }
}

/** Checks bytes that pass by in another's loop: `update` with each chunk, `finish` once at the end. */
export interface Verifier {
  /** Throws SizeMismatchError as soon as there are too many bytes. */
  update(chunk: Uint8Array): void;
  /** Throws SizeMismatchError or DigestMismatchError. */
  finish(): Verified;
}

export function verifier(expected: Expectation): Verifier {
  const algorithm: DigestAlgorithm = expected.digest ? algorithmOf(expected.digest) : 'sha256';
  const hash = createHash(algorithm);
  let size = 0;
  return {
    update(chunk) {
      size += chunk.byteLength;
      if (expected.size !== undefined && size > expected.size) throw new SizeMismatchError(expected.size, size);
      hash.update(chunk);
    },
    finish() {
      if (expected.size !== undefined && size !== expected.size) throw new SizeMismatchError(expected.size, size);
      const digest = `${algorithm}:${hash.digest('hex')}` as Digest;
      if (expected.digest && digest !== expected.digest) throw new DigestMismatchError(expected.digest, digest);
      return { digest, size };
    },
  };
}

/**
 * Passes the bytes through while they are hashed and counted, and returns what they were. A chunk is let go only when the next
 * one has come, the last one only when everything matches: so whoever passes them on never sends a whole wrong body. Throws
 * SizeMismatchError or DigestMismatchError. The source must not reuse its buffers.
 */
export async function* verifiedStream(
  source: AsyncIterable<Uint8Array>,
  expected: Expectation,
): AsyncGenerator<Uint8Array, Verified, undefined> {
  const check = verifier(expected);
  let held: Uint8Array | undefined;
  for await (const chunk of source) {
    if (chunk.byteLength === 0) continue;
    check.update(chunk);
    if (held) yield held;
    held = chunk;
  }
  const verified = check.finish();
  if (held) yield held;
  return verified;
}
