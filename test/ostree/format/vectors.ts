import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Something that the real ostree wrote, and what it means. */
export interface Vector {
  readonly id: string;
  readonly gvariantType?: string;
  readonly hex?: string;
  readonly checksum?: string;
  readonly parsed?: unknown;
  readonly cases?: readonly DeltaCase[];
}

/** A static delta and its paths. */
export interface DeltaCase {
  readonly name: string;
  readonly from: string | null;
  readonly to: string;
  readonly superblock: string;
  readonly part0: string;
  readonly index: string;
}

interface Vectors {
  readonly vectors: readonly Vector[];
  readonly negative: readonly { readonly id: string; readonly hex: string; readonly type: string; readonly want?: string }[];
}

export const { vectors, negative } = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors.json'), 'utf8')) as Vectors;

export function vector(id: string): Vector {
  const found = vectors.find((candidate) => candidate.id === id);
  if (!found) throw new Error(`vectors.json has no ${id}`);
  return found;
}

/** The bytes of a vector. */
export function bytesOf(id: string): Buffer {
  const { hex } = vector(id);
  if (hex === undefined) throw new Error(`the vector ${id} has no bytes`);
  return Buffer.from(hex, 'hex');
}
