/** Counts what a pipeline holds in memory, so that its source can wait while that is too much. */
export class HeldBytes {
  readonly #limit: number;
  #held = 0;
  #waiting: (() => void)[] = [];

  /** `limit` in bytes: a mark, not a wall. What has begun may go over it; nothing new begins above it. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(bytes: number): void {
    this.#held += bytes;
  }

  release(bytes: number): void {
    this.#held -= bytes;
    if (this.#held < this.#limit) this.#wake();
  }

  /** Resolves when there is room, or the signal is aborted. */
  async room(signal: AbortSignal): Promise<void> {
    if (this.#held < this.#limit || signal.aborted) return;
    const wake = (): void => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    signal.removeEventListener('abort', wake);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
