import { type Channel, channel } from '../../../core/plugin-api.ts';
import type { HeldBytes } from '../../../lib/held-bytes.ts';
import type { ContentSaver, DeclaredObject } from '../content/content-saver.ts';

/** Rows of a batch: large enough that statements and commits do not count, small enough that a crash loses little. */
const BATCH_ITEMS = 3_000;
const BATCH_MS = 100;
/** What an item costs in memory; roughly. */
const ITEM_BYTES = 512;

interface Item {
  readonly object: number;
  readonly declared: DeclaredObject;
}

/** Objects that have been fetched and are not saved yet: they are saved while more is being fetched. */
export class ObjectQueue {
  readonly #channel: Channel<Item> = channel();
  readonly #held: HeldBytes;
  readonly #saved: Promise<{ readonly error: unknown } | undefined>;

  /** `onSaved` learns the id of each; `onError` is called when a batch cannot be saved; nothing is saved after it. */
  constructor(
    saver: ContentSaver,
    held: HeldBytes,
    onSaved: (object: number, id: string) => void,
    onError: (error: unknown) => void,
  ) {
    this.#held = held;
    this.#saved = this.#saveAll(saver, onSaved).then(
      () => undefined,
      (error: unknown) => {
        onError(error);
        return { error };
      },
    );
  }

  push(object: number, declared: DeclaredObject): void {
    this.#held.add(ITEM_BYTES);
    this.#channel.push({ object, declared });
  }

  /** Saves what is left; answers why something could not be saved. */
  async close(): Promise<{ readonly error: unknown } | undefined> {
    this.#channel.close();
    return this.#saved;
  }

  async #saveAll(saver: ContentSaver, onSaved: (object: number, id: string) => void): Promise<void> {
    for await (const batch of this.#channel.batches(BATCH_ITEMS, BATCH_MS)) {
      const ids = await saver.objects(batch.map(({ declared }) => declared));
      for (const [index, { object }] of batch.entries()) onSaved(object, ids[index] as string);
      this.#held.release(batch.length * ITEM_BYTES);
    }
  }
}
