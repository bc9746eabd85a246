import type { ChecksumName, Checksums } from '../../../lib/checksums.ts';
import { RunningChecksums } from '../../../lib/checksums.ts';
import type { PendingFile, Storage } from '../../../storage/storage.ts';
import { blobTooLarge } from '../registry/registry-error.ts';

/** So many bytes are held in memory, and by the row of an upload; more flow into a file. */
export const HELD_BYTES = 64 * 1024;

/** How bytes are taken in. */
export interface Reception {
  readonly wanted: Iterable<ChecksumName>;
  /** Bytes that there may be. */
  readonly most: number;
}

/** Bytes of a request that have come whole, in memory or in a pending file. One of `store` and `drop` ends it. */
export class ReceivedBlob {
  readonly size: number;
  readonly checksums: Checksums;
  /** The bytes, while they are few. */
  readonly held: Buffer | undefined;
  readonly #storage: Pick<Storage, 'putSmall'>;
  readonly #pending: PendingFile;

  private constructor(storage: Pick<Storage, 'putSmall'>, pending: PendingFile, held: Buffer | undefined, of: Counted) {
    this.#storage = storage;
    this.#pending = pending;
    this.held = held;
    this.size = of.size;
    this.checksums = of.checksums;
  }

  /** Takes in all bytes. Nothing of them stays where they break off, or are more than `most` (RegistryError 413). */
  static async receive(
    bytes: AsyncIterable<Uint8Array>,
    { wanted, most }: Reception,
    storage: Pick<Storage, 'reserve' | 'putSmall'>,
  ): Promise<ReceivedBlob> {
    const pending = storage.reserve();
    try {
      const checksums = new RunningChecksums(wanted);
      let held: Buffer[] | undefined = [];
      let size = 0;
      for await (const chunk of bytes) {
        size += chunk.byteLength;
        if (size > most) throw blobTooLarge(most);
        checksums.update(chunk);
        if (held && size <= HELD_BYTES) {
          held.push(Buffer.from(chunk));
          continue;
        }
        for (const one of held ?? []) await pending.write(one);
        held = undefined;
        await pending.write(chunk);
      }
      return new ReceivedBlob(storage, pending, held && Buffer.concat(held), { size, checksums: checksums.finish() });
    } catch (error) {
      await pending.abort();
      throw error;
    }
  }

  /** Makes the bytes durable under the key. */
  async store(key: string): Promise<void> {
    if (this.held) await this.#storage.putSmall([{ key, body: this.held }]);
    else await this.#pending.commit(key);
  }

  /** Safe after `store`, and after an error. */
  drop(): Promise<void> {
    return this.#pending.abort();
  }
}

interface Counted {
  readonly size: number;
  readonly checksums: Checksums;
}
