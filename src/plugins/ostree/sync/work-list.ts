/**
 * Work that makes more work: a list in place of recursion, so that neither the depth nor the shape of what is walked matters. What came
 * last is done first.
 */
export class WorkList<Item> {
  readonly #limit: number;
  readonly #work: (item: Item) => Promise<void>;
  readonly #waiting: Item[] = [];
  #running = 0;
  #failure: { readonly error: unknown } | undefined;
  #onIdle: (() => void) | undefined;

  /** `limit`: items at work at once. `work` may push more. */
  constructor(limit: number, work: (item: Item) => Promise<void>) {
    this.#limit = limit;
    this.#work = work;
  }

  push(item: Item): void {
    this.#waiting.push(item);
    this.#start();
  }

  /** Resolves when everything is done, or throws the first error once nothing runs any more; what waited is then left. */
  async done(): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#failure) throw this.#failure.error;
  }

  #start(): void {
    while (this.#running < this.#limit && !this.#failure) {
      const item = this.#waiting.pop();
      if (item === undefined) return;
      this.#running += 1;
      this.#run(item);
    }
  }

  #run(item: Item): void {
    this.#work(item)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#running -= 1;
        this.#start();
        if (this.#running === 0) this.#onIdle?.();
      });
  }
}
