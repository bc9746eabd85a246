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

/** Checks bytes that pass by in another's loop: `update` with each chunk, `finish` once at the end. Both throw what is wrong with them. */
export interface StreamCheck<Result> {
  update(chunk: Uint8Array): void | Promise<void>;
  finish(): Result | Promise<Result>;
  /** Lets go of what it holds, where the stream ends before `finish`. */
  destroy?(): void;
}

export interface Verifier extends StreamCheck<Verified> {
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
 * Passes the bytes through while they are checked, and returns what the check makes of them. A chunk is let go only when the next
 * one has come, the last one only when everything is right: so whoever passes them on never sends a whole wrong body. Throws what
 * the check throws. The source must not reuse its buffers.
 */
export async function* checkedStream<Result>(
  source: AsyncIterable<Uint8Array>,
  check: StreamCheck<Result>,
): AsyncGenerator<Uint8Array, Result, undefined> {
  let held: Uint8Array | undefined;
  let finished = false;
  try {
    for await (const chunk of source) {
      if (chunk.byteLength === 0) continue;
      const checking = check.update(chunk);
      if (checking) await checking;
      if (held) yield held;
      held = chunk;
    }
    const result = await check.finish();
    finished = true;
    if (held) yield held;
    return result;
  } finally {
    if (!finished) check.destroy?.();
  }
}

/** A checked stream of bytes that are known by digest or size. Throws SizeMismatchError or DigestMismatchError. */
export const verifiedStream = (
  source: AsyncIterable<Uint8Array>,
  expected: Expectation,
): AsyncGenerator<Uint8Array, Verified, undefined> => checkedStream(source, verifier(expected));
