import { publicUrl, UpstreamError } from './upstream-error.ts';

/** Slower than this, on average over a window, an upstream holds a connection for nothing (spec: security, rule 9). */
const MIN_BYTES_PER_SECOND = 1024;
const WINDOW_MS = 60_000;

/** Watches the rate of a body. */
export class SlowBody {
  readonly #url: string;
  readonly #windowMs: number;
  #bytes = 0;
  #ms = 0;

  constructor(url: string, windowMs = WINDOW_MS) {
    this.#url = url;
    this.#windowMs = windowMs;
  }

  /** Counts what came in how much time. Throws at the end of a window that had too little. */
  add(bytes: number, ms: number): void {
    this.#bytes += bytes;
    this.#ms += ms;
    if (this.#ms < this.#windowMs) return;
    const enough = this.#bytes >= (MIN_BYTES_PER_SECOND * this.#ms) / 1000;
    this.#bytes = 0;
    this.#ms = 0;
    if (!enough) {
      const shown = publicUrl(this.#url);
      throw new UpstreamError(
        'timeout',
        shown,
        `The answer of ${shown} is too slow: under ${MIN_BYTES_PER_SECOND} bytes a second for ${this.#windowMs / 1000} s`,
      );
    }
  }
}
