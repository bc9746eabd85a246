import { type ChecksumName, type Checksums, checksumsOf } from '../../../lib/checksums.ts';
import type { PendingFile, Storage } from '../../../storage/storage.ts';
import { blobTooLarge } from '../registry/registry-error.ts';

/** So many bytes are held in memory, and by the row of an upload; more flow into a file. */
export const HELD_BYTES = 64 * 1024;

/** How bytes are taken in. */
export interface Reception {
  readonly wanted: Iterable<ChecksumName>;
  /** Bytes that there may be, with those that came before. */
  readonly most: number;
  /** Default: none came before. */
  readonly before?: number;
}

/** Bytes of a request that have come whole, in memory or in a pending file. One of `store` and `drop` ends it. */
export class ReceivedBlob {
  readonly size: number;
  readonly checksums: Checksums;
  /** The bytes, while they are few. */
  readonly held: Buffer | undefined;
  readonly #storage: Pick<Storage, 'putSmall'>;
  readonly #pending: PendingFile | undefined;

  private constructor(
    storage: Pick<Storage, 'putSmall'>,
    of: Pick<ReceivedBlob, 'size' | 'checksums' | 'held'>,
    pending?: PendingFile,
  ) {
    this.#storage = storage;
    this.#pending = pending;
    this.held = of.held;
    this.size = of.size;
    this.checksums = of.checksums;
  }

  /** Takes in all bytes. Nothing of them stays where they break off, or are more than `most` (RegistryError 413). */
  static async receive(
    bytes: AsyncIterable<Uint8Array>,
    { wanted, most, before = 0 }: Reception,
    storage: Pick<Storage, 'reserve' | 'putSmall'>,
  ): Promise<ReceivedBlob> {
    const source = upTo(bytes, most, before);
    const { begin, isAll } = await beginningOf(source);
    if (!isAll) {
      const pending = storage.reserve();
      const appended = await pending.append(following([begin], source), wanted);
      return new ReceivedBlob(storage, { ...appended, held: undefined }, pending);
    }
    return new ReceivedBlob(storage, { size: begin.byteLength, checksums: checksumsOf([...wanted], begin), held: begin });
  }

  /** Makes the bytes durable under the key. */
  async store(key: string): Promise<void> {
    if (this.held) await this.#storage.putSmall([{ key, body: this.held }]);
    else await this.#pending?.commit(key);
  }

  /** Safe after `store`, and after an error. */
  async drop(): Promise<void> {
    await this.#pending?.abort();
  }
}

/** Takes so many bytes that there are more than `HELD_BYTES`, or all. The others are still to be taken. */
export async function beginningOf(
  bytes: AsyncIterator<Uint8Array>,
): Promise<{ readonly begin: Buffer; readonly isAll: boolean }> {
  const taken: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const next = await bytes.next();
    if (next.done) return { begin: Buffer.concat(taken), isAll: true };
    taken.push(next.value);
    size += next.value.byteLength;
    if (size > HELD_BYTES) return { begin: Buffer.concat(taken), isAll: false };
  }
}

/** One after the other. */
export async function* following(
  first: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  second: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* first;
  yield* second;
}

async function* upTo(
  bytes: AsyncIterable<Uint8Array>,
  most: number,
  before: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = before;
  for await (const chunk of bytes) {
    size += chunk.byteLength;
    if (size > most) throw blobTooLarge(most);
    yield chunk;
  }
}
