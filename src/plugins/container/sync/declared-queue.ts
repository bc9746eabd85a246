import { type Channel, channel } from '../../../core/plugin-api.ts';
import type { HeldBytes } from '../../../lib/held-bytes.ts';
import type { DeclaredContent } from './declared-content.ts';
import type { ContentSaver } from './save-declared.ts';

/** Rows of a batch: large enough that statements and commits do not count, small enough that a crash loses little. */
const BATCH_ITEMS = 3_000;
const BATCH_MS = 100;
/** What an item costs in memory beside the body of a manifest; roughly. */
const ITEM_BYTES = 512;

const costOf = (item: DeclaredContent): number => ITEM_BYTES + (item.kind === 'manifest' ? item.manifest.body.length : 0);

/** What has been declared and is not saved yet. It is saved while more is being fetched; its bytes count as held. */
export class DeclaredQueue {
  readonly #channel: Channel<DeclaredContent> = channel();
  readonly #held: HeldBytes;
  readonly #saved: Promise<{ readonly error: unknown } | undefined>;

  /** `onError` is called when a batch cannot be saved; nothing is saved after it. */
  constructor(saver: ContentSaver, held: HeldBytes, onError: (error: unknown) => void) {
    this.#held = held;
    this.#saved = this.#saveAll(saver).then(
      () => undefined,
      (error: unknown) => {
        onError(error);
        return { error };
      },
    );
  }

  push(item: DeclaredContent): void {
    this.#held.add(costOf(item));
    this.#channel.push(item);
  }

  /** Saves what is left; answers why something could not be saved. */
  async close(): Promise<{ readonly error: unknown } | undefined> {
    this.#channel.close();
    return this.#saved;
  }

  async #saveAll(saver: ContentSaver): Promise<void> {
    for await (const batch of this.#channel.batches(BATCH_ITEMS, BATCH_MS)) {
      await saver.save(batch);
      for (const item of batch) this.#held.release(costOf(item));
    }
  }
}
