import type { ResponseHeaders } from './upstream.ts';

/** The head of an HTTP/1.1 response, and how its body is delimited. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: ResponseHeaders;
  /** The connection may carry another request after this body. */
  readonly keepAlive: boolean;
}

export interface ResponseEvents {
  head(head: ResponseHead): void;
  /** A part of the body. The bytes belong to the caller of `feed` and change after it returns. */
  data(part: Buffer): void;
}

/** Bytes that are not an HTTP/1.1 response. */
export class MalformedResponseError extends Error {
  override readonly name = 'MalformedResponseError';
}

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_HEADERS = 200;
const MAX_CHUNK_LINE = 4096;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: (.*))?$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
const LF = 10;

type State = 'head' | 'fixed' | 'close' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer' | 'done';

/**
 * Reads one response to a GET (RFC 9112), of whatever pieces the socket gives, without keeping a byte of the body: that is
 * what lets one buffer serve a connection for good. Anything ambiguous about where the body ends is refused.
 */
export class ResponseParser {
  readonly #events: ResponseEvents;
  #state: State = 'head';
  #line = '';
  #headBytes = 0;
  #lines: string[] = [];
  /** Bytes left of the body, or of the chunk. */
  #left = 0;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  /** The response is complete. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** Reads on. Returns the number of bytes used: fewer than given only when the response is complete. */
  feed(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.byteLength && this.#state !== 'done') {
      at = this.#state === 'fixed' || this.#state === 'chunk-data' ? this.#body(bytes, at) : this.#other(bytes, at);
    }
    return at;
  }

  /** The connection has ended. Throws unless that is where the body ends. */
  end(): void {
    if (this.#state === 'close') this.#state = 'done';
    if (this.#state !== 'done') throw new MalformedResponseError('the connection ended within the response');
  }

  #body(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.byteLength, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = this.#state === 'fixed' ? 'done' : 'chunk-end';
    this.#events.data(bytes.subarray(at, end));
    return end;
  }

  #other(bytes: Buffer, at: number): number {
    if (this.#state === 'close') {
      this.#events.data(bytes.subarray(at));
      return bytes.byteLength;
    }
    const newline = bytes.indexOf(LF, at);
    const end = newline === -1 ? bytes.byteLength : newline + 1;
    this.#line += bytes.toString('latin1', at, end);
    this.#limit(end - at);
    if (newline === -1) return end;
    const line = this.#line.endsWith('\r\n') ? this.#line.slice(0, -2) : this.#line.slice(0, -1);
    this.#line = '';
    this.#takeLine(line);
    return end;
  }

  #limit(bytes: number): void {
    if (this.#state === 'head' || this.#state === 'trailer') {
      this.#headBytes += bytes;
      if (this.#headBytes > MAX_HEAD_BYTES) throw new MalformedResponseError('the headers are over 64 KiB');
    } else if (this.#line.length > MAX_CHUNK_LINE) throw new MalformedResponseError('a chunk has no size');
  }

  #takeLine(line: string): void {
    if (this.#state === 'chunk-size') this.#takeChunkSize(line);
    else if (this.#state === 'chunk-end') {
      if (line !== '') throw new MalformedResponseError('a chunk is longer than its size');
      this.#state = 'chunk-size';
    } else if (this.#state === 'trailer') {
      if (line === '') this.#state = 'done';
    } else if (line !== '') {
      this.#lines.push(line);
      if (this.#lines.length > MAX_HEADERS + 1) throw new MalformedResponseError(`there are more than ${MAX_HEADERS} headers`);
    } else if (this.#lines.length > 0) this.#takeHead();
  }

  #takeChunkSize(line: string): void {
    const hex = /^([0-9a-fA-F]{1,13})[ \t]*(?:;.*)?$/.exec(line)?.[1];
    if (hex === undefined) throw new MalformedResponseError('a chunk has no size');
    this.#left = Number.parseInt(hex, 16);
    this.#state = this.#left === 0 ? 'trailer' : 'chunk-data';
  }

  #takeHead(): void {
    const [statusLine = '', ...lines] = this.#lines;
    this.#lines = [];
    const [, minor, code, reason = ''] = STATUS_LINE.exec(statusLine) ?? [];
    if (code === undefined) throw new MalformedResponseError('the answer does not begin with HTTP/1.1 and a status');
    const status = Number(code);
    if (status === 101) throw new MalformedResponseError('the upstream wants to switch protocols');
    if (status < 200) return;
    const headers = parseHeaders(lines);
    const delimited = this.#delimit(status, headers);
    const connection = (headers.connection ?? '').toLowerCase();
    const persistent = minor === '1' ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection);
    this.#events.head({ status, reason, headers, keepAlive: persistent && delimited });
  }

  /** Finds where the body ends (RFC 9112, 6.3). Returns false where only the connection's end tells. */
  #delimit(status: number, headers: ResponseHeaders): boolean {
    const coding = headers['transfer-encoding'];
    const length = headers['content-length'];
    if (status === 204 || status === 304) this.#state = 'done';
    else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked' || length !== undefined) {
        throw new MalformedResponseError('Transfer-Encoding and Content-Length contradict each other');
      }
      this.#state = 'chunk-size';
    } else if (length !== undefined) {
      const [first = '', ...others] = length.split(',').map((text) => text.trim());
      if (!/^\d{1,15}$/.test(first) || others.some((other) => other !== first)) {
        throw new MalformedResponseError('Content-Length is not a number');
      }
      this.#left = Number(first);
      this.#state = this.#left === 0 ? 'done' : 'fixed';
    } else {
      this.#state = 'close';
      return false;
    }
    return true;
  }
}

function parseHeaders(lines: readonly string[]): ResponseHeaders {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ''] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined) throw new MalformedResponseError('a header line has no name');
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(headers);
}
