export interface MapOptions {
  /** Runs at once; also how many results may wait for the reader. */
  readonly limit: number;
  /** Results in the order of the source; otherwise in the order in which they are ready. */
  readonly ordered?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Work on one item; `signal` is aborted by the caller's signal, and when the iteration ends before this run does. */
export type MapRun<In, Out> = (item: In, signal: AbortSignal) => Promise<Out>;

/**
 * Maps with up to `limit` runs at once. The source is asked for an item only when a slot is free for it, and a result that
 * nobody has taken keeps its slot: that is the backpressure. The first error, of the source or of a run, ends the iteration;
 * so does an abort, with the signal's reason. In any case the iteration ends only after all runs have.
 */
export async function* mapConcurrent<In, Out>(
  source: AsyncIterable<In> | Iterable<In>,
  run: MapRun<In, Out>,
  options: MapOptions,
): AsyncGenerator<Out, void, undefined> {
  const { signal } = options;
  const map = new ConcurrentMap(source, run, options);
  const abort = (): void => map.fail(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (let result = await map.next(); result; result = await map.next()) yield result.value;
  } finally {
    signal?.removeEventListener('abort', abort);
    await map.end();
  }
}

/** Works on each item as `mapConcurrent` does, whose results nobody wants. Ends after all runs have. Throws the first error, or what an abort is for. */
export async function forEachConcurrent<In>(
  source: AsyncIterable<In> | Iterable<In>,
  run: MapRun<In, unknown>,
  options: Omit<MapOptions, 'ordered'>,
): Promise<void> {
  for await (const _ of mapConcurrent(source, run, options));
}

interface Slot<Out> {
  /** Resolves, never rejects, when the run has ended. */
  ended: Promise<void>;
  result: { readonly value: Out } | undefined;
}

class ConcurrentMap<In, Out> {
  readonly #items: AsyncIterator<In> | Iterator<In>;
  readonly #run: MapRun<In, Out>;
  readonly #limit: number;
  readonly #ordered: boolean;
  readonly #stop = new AbortController();
  /** In the order of the source. */
  readonly #slots = new Set<Slot<Out>>();
  /** Slots with a result, in the order in which they got it. */
  readonly #ready = new Set<Slot<Out>>();
  #pulling = false;
  #exhausted = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(source: AsyncIterable<In> | Iterable<In>, run: MapRun<In, Out>, { limit, ordered = false }: MapOptions) {
    this.#items = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    this.#run = run;
    this.#limit = limit;
    this.#ordered = ordered;
  }

  /** The next result, or undefined at the end. Throws the first error. */
  async next(): Promise<{ readonly value: Out } | undefined> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      this.#fill();
      const [slot] = this.#ordered ? this.#slots : this.#ready;
      if (slot?.result) {
        this.#slots.delete(slot);
        this.#ready.delete(slot);
        return slot.result;
      }
      if (this.#exhausted && this.#slots.size === 0) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stop.abort(error);
    this.#wake?.();
  }

  /** Stops what is at work and waits for it. */
  async end(): Promise<void> {
    const whole = this.#exhausted;
    this.#exhausted = true;
    this.#stop.abort();
    await Promise.all(Array.from(this.#slots, (slot) => slot.ended));
    if (!whole) await this.#items.return?.();
  }

  #fill(): void {
    if (!this.#pulling && !this.#exhausted && !this.#failure && this.#slots.size < this.#limit) {
      this.#pulling = true;
      this.#pull().catch((error: unknown) => {
        this.#exhausted = true;
        this.fail(error);
      });
    }
  }

  async #pull(): Promise<void> {
    const item = await this.#items.next();
    this.#pulling = false;
    if (item.done) this.#exhausted = true;
    else if (!this.#exhausted) this.#launch(item.value);
    this.#fill();
    this.#wake?.();
  }

  #launch(item: In): void {
    const slot: Slot<Out> = { ended: Promise.resolve(), result: undefined };
    this.#slots.add(slot);
    slot.ended = this.#work(slot, item);
  }

  async #work(slot: Slot<Out>, item: In): Promise<void> {
    try {
      slot.result = { value: await this.#run(item, this.#stop.signal) };
      this.#ready.add(slot);
      this.#wake?.();
    } catch (error) {
      this.fail(error);
    }
  }
}
