/** A queue between a stage that finds and a stage that saves; reading it in batches is the second stage's backpressure. */
export interface Channel<T> {
  push(item: T): void;
  /** No more will be pushed: the batches end when all are read. */
  close(): void;
  /** All that has come, at most `size` items at once: as soon as that many are there, or `lingerMs` after the first. */
  batches(size: number, lingerMs: number): AsyncGenerator<T[], void, void>;
}

export function channel<T>(): Channel<T> {
  const items: T[] = [];
  let closed = false;
  let wake: (() => void) | undefined;
  let wanted = 1;
  const wakeIf = (ready: boolean): void => {
    if (!ready) return;
    wake?.();
    wake = undefined;
  };
  /** Resolves when `count` items are there, the channel is closed, or the time is over. */
  const until = async (count: number, ms?: number): Promise<void> => {
    if (closed || items.length >= count) return;
    wanted = count;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (ms !== undefined) timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    wake = undefined;
  };
  return {
    push(item) {
      items.push(item);
      wakeIf(items.length >= wanted);
    },
    close() {
      closed = true;
      wakeIf(true);
    },
    async *batches(size, lingerMs) {
      for (;;) {
        await until(1);
        await until(size, lingerMs);
        if (items.length > 0) yield items.splice(0, size);
        else if (closed) return;
      }
    },
  };
}
