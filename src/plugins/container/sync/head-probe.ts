import type { Digest } from '../../../lib/digest.ts';

/**
 * Decides for tags that may be known whether a HEAD is worth its request: the first one is asked for by GET, and the others by
 * HEAD if the server had what that one names. So a first sync makes no request more, and one of known content a single GET.
 */
export class HeadProbe {
  readonly #isKnown: (digest: Digest) => Promise<boolean>;
  #decision: Promise<boolean> | undefined;

  /** `isKnown`: whether the server has the manifest. */
  constructor(isKnown: (digest: Digest) => Promise<boolean>) {
    this.#isKnown = isKnown;
  }

  /** Asks for a tag: at once for the first one, for others when that has been answered. Throws what `ask` and `isKnown` do. */
  async ask<T extends { readonly digest: Digest }>(ask: (head: boolean) => Promise<T>): Promise<T> {
    if (this.#decision) return ask(await this.#decision);
    const first = ask(false);
    // Its error is the first tag's own; the others go on as if nothing were known.
    this.#decision = first.then(
      ({ digest }) => this.#isKnown(digest),
      () => false,
    );
    await this.#decision;
    return first;
  }
}
