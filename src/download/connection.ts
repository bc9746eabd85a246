import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TlsOptions } from './dispatcher.ts';
import type { NetworkPolicy } from './network-policy.ts';
import type { Timeouts } from './remote-settings.ts';
import { MalformedResponseError, type ResponseHead, ResponseParser } from './response-parser.ts';

/** One read's worth. Reused for all reads of a connection: a fresh buffer each costs half of the CPU (docs: speed). */
const BUFFER_BYTES = 256 * 1024;

export interface ConnectionOptions {
  readonly policy: NetworkPolicy;
  readonly tls: TlsOptions;
  readonly timeouts: Timeouts;
}

/** What becomes of one answer. */
export interface AnswerSink {
  /** The head is there. Throwing ends the exchange. */
  head(head: ResponseHead): void;
  /** A part of the body, to be used up before returning. Throwing ends the exchange. */
  data(part: Buffer): void;
}

interface Exchange {
  readonly parser: ResponseParser;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const failure = (code: string, message: string): Error => Object.assign(new Error(message), { code });

/**
 * A kept HTTP/1.1 connection that reads into one buffer and hands out slices of it. GET only, one request at a time. Errors
 * have undici's codes, so that failure.ts words them once.
 */
export class Connection {
  readonly origin: string;
  readonly #socket: Socket;
  readonly #timeouts: Timeouts;
  #exchange: Exchange | undefined;
  #failure: Error | undefined;
  #connected = false;
  #used = false;
  #reusable = true;
  onClose: () => void = () => undefined;

  constructor(url: URL, { policy, tls, timeouts }: ConnectionOptions) {
    this.origin = url.origin;
    this.#timeouts = timeouts;
    const secure = url.protocol === 'https:';
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port) || (secure ? 443 : 80);
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const options = {
      host,
      port,
      lookup: policy.lookup(port),
      onread: { buffer, callback: (length: number) => this.#read(buffer.subarray(0, length)) },
    };
    this.#socket = secure
      ? connectTls({ ...options, ...tls, ...(isIP(host) === 0 ? { servername: host } : {}), ALPNProtocols: ['http/1.1'] })
      : connectTcp(options);
    this.#socket.setNoDelay(true);
    this.#socket.setTimeout(timeouts.connect);
    this.#socket.once(secure ? 'secureConnect' : 'connect', () => {
      this.#connected = true;
      this.#socket.setTimeout(timeouts.read);
    });
    this.#socket.on('timeout', () => this.#timeout());
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#end());
    this.#socket.on('close', () => {
      this.#end();
      this.onClose();
    });
  }

  /** An earlier exchange has left it in order, so the upstream may have closed it meanwhile: a failure before the head means little. */
  get reused(): boolean {
    return this.#used;
  }

  /** Whether another request may follow. */
  get reusable(): boolean {
    return this.#reusable && this.#exchange === undefined && !this.#socket.destroyed;
  }

  /** Sends a GET and passes its answer to the sink; resolves when it is complete. */
  exchange(url: URL, headers: Readonly<Record<string, string>>, sink: AnswerSink): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const text = requestText(url, headers);
      const parser = new ResponseParser({
        head: (head) => {
          this.#reusable = head.keepAlive;
          sink.head(head);
        },
        data: (part) => sink.data(part),
      });
      this.#exchange = { parser, resolve, reject };
      if (this.#connected) this.#socket.setTimeout(this.#timeouts.read);
      this.#socket.ref();
      this.#socket.write(text, 'latin1');
    });
  }

  /** Ends it at once; a running exchange fails with this error. */
  destroy(error: Error): void {
    this.#fail(error);
  }

  /** Keeps it for the next exchange, closing it after a while; it does not keep the thread alive. */
  idle(ms: number): void {
    this.#used = true;
    this.#socket.setTimeout(ms);
    this.#socket.unref();
  }

  #read(bytes: Buffer): boolean {
    const exchange = this.#exchange;
    if (!exchange) {
      this.#fail(failure('UND_ERR_SOCKET', 'bytes that nobody asked for'));
      return false;
    }
    try {
      const used = exchange.parser.feed(bytes);
      if (used < bytes.byteLength) this.#reusable = false;
      if (exchange.parser.done) this.#finish(exchange);
      return true;
    } catch (error) {
      const malformed = error instanceof MalformedResponseError;
      this.#fail(malformed ? failure('HPE_INVALID', error.message) : (error as Error));
      return false;
    }
  }

  #finish(exchange: Exchange): void {
    this.#exchange = undefined;
    if (!this.#reusable) this.#socket.destroy();
    exchange.resolve();
  }

  #end(): void {
    const exchange = this.#exchange;
    this.#reusable = false;
    if (!exchange) return;
    try {
      exchange.parser.end();
      this.#finish(exchange);
    } catch {
      // The only reason for `end` to throw is the early end, which is what is reported.
      this.#fail(failure('UND_ERR_SOCKET', 'other side closed'));
    }
  }

  #timeout(): void {
    if (!this.#connected) this.#fail(failure('UND_ERR_CONNECT_TIMEOUT', 'connect timeout'));
    else if (this.#exchange) this.#fail(failure('UND_ERR_BODY_TIMEOUT', 'idle'));
    else this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#reusable = false;
    this.#failure ??= error;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    exchange?.reject(error);
  }
}

/** The request's text. Header values come from the remote's row: a line break in one would be a header of its own. */
function requestText(url: URL, headers: Readonly<Record<string, string>>): string {
  const lines = [`GET ${url.pathname}${url.search} HTTP/1.1`];
  if (headers.host === undefined) lines.push(`host: ${url.host}`);
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      throw new Error(`the header ${JSON.stringify(name)} of the remote cannot be sent`);
    }
    lines.push(`${name}: ${value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
