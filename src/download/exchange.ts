import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { onAbort } from './abort.ts';
import { MAX_HEADERS } from './dispatcher.ts';
import { totalTimeoutError, upstreamErrorOf } from './failure.ts';
import type { Hop } from './redirect.ts';
import type { Timeouts } from './remote-settings.ts';
import type { ResponseHeaders } from './upstream.ts';
import { publicUrl, UpstreamError } from './upstream-error.ts';

export interface ExchangeOptions {
  readonly method: 'GET' | 'HEAD';
  readonly maxBytes: number;
  readonly timeouts: Timeouts;
  readonly validatesTls: boolean;
  readonly signal: AbortSignal | undefined;
}

export interface Exchanged {
  readonly status: number;
  readonly reason: string;
  readonly headers: ResponseHeaders;
  readonly body: Buffer;
}

/** Header lines as one string a name. Throws where there are too many. */
export function responseHeaders(
  lines: IncomingHttpHeaders | Record<string, string | string[] | undefined>,
  url: URL,
): ResponseHeaders {
  const headers: Record<string, string> = {};
  let count = 0;
  for (const [name, value] of Object.entries(lines)) {
    if (value === undefined) continue;
    count += Array.isArray(value) ? value.length : 1;
    headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  if (count > MAX_HEADERS) {
    throw new UpstreamError('too-large', publicUrl(url), `The answer of ${publicUrl(url)} has more than ${MAX_HEADERS} headers`);
  }
  return headers;
}

/**
 * One request and its whole answer, of any status, in memory. By `dispatch` with an own handler: half the time of `request`
 * and a third of the CPU of `fetch` for small bodies (docs: speed).
 */
export function exchange(dispatcher: Dispatcher, hop: Hop, options: ExchangeOptions): Promise<Exchanged> {
  return new Promise((resolve, reject) => {
    const handler = new SmallBody(hop, options, resolve, reject);
    dispatcher.dispatch(
      {
        origin: hop.url.origin,
        path: hop.url.pathname + hop.url.search,
        method: options.method,
        headers: hop.headers,
        headersTimeout: options.timeouts.read,
        bodyTimeout: options.timeouts.read,
        // undici would close the connection after every HEAD.
        reset: false,
      },
      handler,
    );
  });
}

class SmallBody implements Dispatcher.DispatchHandler {
  readonly #hop: Hop;
  readonly #options: ExchangeOptions;
  readonly #resolve: (answer: Exchanged) => void;
  readonly #reject: (error: unknown) => void;
  #release: () => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #status = 0;
  #reason = '';
  #headers: ResponseHeaders = {};
  #length = 0;
  readonly #chunks: Buffer[] = [];

  constructor(hop: Hop, options: ExchangeOptions, resolve: (answer: Exchanged) => void, reject: (error: unknown) => void) {
    this.#hop = hop;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { signal, timeouts } = this.#options;
    this.#settle();
    this.#release = onAbort(signal, (reason) => controller.abort(reason));
    if (timeouts.total > 0) {
      this.#timer = setTimeout(() => controller.abort(totalTimeoutError(this.#hop.url.href, timeouts)), timeouts.total);
    }
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    reason?: string,
  ): void {
    // 1xx come first, then the answer.
    this.#status = status;
    this.#reason = reason ?? '';
    try {
      this.#headers = responseHeaders(headers, this.#hop.url);
    } catch (error) {
      controller.abort(error as Error);
      return;
    }
    if (this.#options.method === 'GET' && Number(this.#headers['content-length']) > this.#options.maxBytes) {
      controller.abort(this.#tooLarge());
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#length += chunk.byteLength;
    if (this.#length > this.#options.maxBytes) controller.abort(this.#tooLarge());
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#settle();
    // A copy: a chunk is a part of a read of 64 KiB, all of which a small body would keep from being freed.
    const body = Buffer.concat(this.#chunks, this.#length);
    this.#resolve({ status: this.#status, reason: this.#reason, headers: this.#headers, body });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle();
    const { timeouts, validatesTls } = this.#options;
    this.#reject(upstreamErrorOf(error, { url: this.#hop.url.href, timeouts, validatesTls, answered: this.#status >= 200 }));
  }

  #settle(): void {
    this.#release();
    clearTimeout(this.#timer);
  }

  #tooLarge(): UpstreamError {
    const shown = publicUrl(this.#hop.url);
    return new UpstreamError('too-large', shown, `The answer of ${shown} is larger than ${this.#options.maxBytes} bytes`);
  }
}
