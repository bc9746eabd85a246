import { createHash, randomBytes } from 'node:crypto';
import { imageOf } from '../src/demo/image.ts';
import { type BlobContent, type Layer, largeLayer } from '../src/demo/layer.ts';

/** A blob to push. */
export interface PushBlob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** Its bytes, anew with each call. */
  chunks(): Iterable<Uint8Array>;
}

/** An image to push. */
export interface PushImage {
  readonly mediaType: string;
  readonly digest: string;
  /** Of the manifest. */
  readonly bytes: Buffer;
  readonly blobs: readonly PushBlob[];
}

const CHUNK_BYTES = 1024 * 1024;
const NAME_BYTES = 16;

/** Blobs of one size that share all bytes but the first, so that any number of them can be pushed from memory without being made meanwhile. */
export class SharedBytes {
  readonly #rest: Buffer;

  constructor(size: number) {
    this.#rest = randomBytes(size - NAME_BYTES);
  }

  blob(): PushBlob {
    const name = randomBytes(NAME_BYTES);
    const rest = this.#rest;
    const digest = `sha256:${createHash('sha256').update(name).update(rest).digest('hex')}`;
    const chunks = function* () {
      yield name;
      for (let at = 0; at < rest.length; at += CHUNK_BYTES) yield rest.subarray(at, at + CHUNK_BYTES);
    };
    return { digest, size: NAME_BYTES + rest.length, chunks };
  }
}

/** An image of small layers, unlike any other. */
export function smallImage(seed: string, layers: number, bytes: number): PushImage {
  const made = Array.from({ length: layers }, (_, number) => largeLayer(`${seed} ${number}`, bytes));
  return imageToPush(seed, made, []);
}

/** An image of such blobs. */
export function largeImage(seed: string, blobs: readonly PushBlob[]): PushImage {
  const layers = blobs.map(({ digest, size }): Layer => ({ digest, size, diffId: digest, bytes: null, copy: () => 0 }));
  return imageToPush(seed, layers, blobs);
}

function imageToPush(seed: string, layers: readonly Layer[], given: readonly PushBlob[]): PushImage {
  const image = imageOf({ layers, labels: { seed } });
  const known = new Map(given.map((blob) => [blob.digest, blob]));
  return { ...image, blobs: image.blobs.map((blob) => known.get(blob.digest) ?? inMemory(blob)) };
}

function inMemory({ digest, size, copy }: BlobContent): PushBlob {
  const bytes = Buffer.alloc(size);
  copy(0, bytes);
  return { digest, size, chunks: () => [bytes] };
}
