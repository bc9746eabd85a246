import { createHash, type Hash } from 'node:crypto';
import { createInflateRaw, type InflateRaw, inflateRawSync } from 'node:zlib';
import type { Checksum } from './checksum.ts';
import { type FilezHeader, filezHeaderLength, PREFIX_BYTES, parseFilezHeader } from './filez-header.ts';
import { FormatError, refuse } from './format-error.ts';
import { ObjectType, objectName } from './object.ts';

/** Bytes of content that verifyFilez inflates at once, in memory; a larger file goes through filezVerifier. */
export const MAX_INFLATED_IN_HAND = 64 * 1024 * 1024;
/** Where the header says how large the content is. */
const SIZE_AT = PREFIX_BYTES;
/** zlib takes no smaller output buffer. */
const MIN_CHUNK = 64;
const MAX_CHUNK = 256 * 1024;
const STREAM_CHUNK = 64 * 1024;

/**
 * Whether verifyFilez takes this file: its header says that it inflates to MAX_INFLATED_IN_HAND at most. Compressed a thousandfold, a
 * small body may be a large file.
 */
export const inflatesInHand = (bytes: Buffer): boolean =>
  bytes.length < SIZE_AT + 8 || bytes.readBigUInt64BE(SIZE_AT) <= BigInt(MAX_INFLATED_IN_HAND);

/**
 * FormatError, naming the object, unless the bytes are a filez whose content and header have the expected checksum: sha256 over the
 * header without the size, and the inflated content. The bytes themselves may differ from server to server. For what
 * inflatesInHand; a larger file is refused.
 */
export function verifyFilez(bytes: Buffer, expected: Checksum): void {
  const name = objectName(expected, ObjectType.file);
  const length = bytes.length < PREFIX_BYTES ? refuse(name, 'it is truncated') : filezHeaderLength(bytes, name);
  if (bytes.length < length) refuse(name, 'it is truncated');
  const header = parseFilezHeader(bytes.subarray(0, length), name);
  if (header.size > MAX_INFLATED_IN_HAND) refuse(name, `it is larger than ${MAX_INFLATED_IN_HAND} bytes`);
  const hash = createHash('sha256').update(header.hashed);
  const payload = bytes.subarray(length);
  if (header.kind === 'regular') hash.update(inflate(payload, header.size, name));
  else refuseLinkPayload(payload, name);
  checkHash(hash, expected, name);
}

function inflate(payload: Buffer, size: number, name: string): Buffer {
  const chunkSize = Math.min(Math.max(size + 1, MIN_CHUNK), MAX_CHUNK);
  const { buffer, engine } = inflateWhole(payload, { maxOutputLength: size + 1, chunkSize, info: true }, size, name);
  checkSize(buffer.length, size, name);
  if (engine.bytesWritten !== payload.length) refuseTrailing(name);
  return buffer;
}

/** What zlib answers where it is asked for `info`; its types do not know the option. */
interface Inflated {
  readonly buffer: Buffer;
  /** `bytesWritten`: bytes of the input up to the end of the deflate stream. */
  readonly engine: { readonly bytesWritten: number };
}

function inflateWhole(payload: Buffer, options: Parameters<typeof inflateRawSync>[1], size: number, name: string): Inflated {
  try {
    return inflateRawSync(payload, options) as unknown as Inflated;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') checkSize(size + 1, size, name);
    throw inflateError(error as Error, name);
  }
}

/** Checks a filez that passes by: `update` with each chunk in order, `finish` once at the end. */
export interface FilezVerifier {
  /** Resolves when there is room for the next chunk. FormatError, naming the object, as soon as the bytes cannot be the object. */
  update(chunk: Uint8Array): Promise<void>;
  /** FormatError, naming the object, unless the bytes were the whole object. */
  finish(): Promise<void>;
  /** Lets go of what it holds; for whoever stops before `finish`. */
  destroy(): void;
}

/** As verifyFilez, for a file of any size: it holds one header and a few chunks. */
export const filezVerifier = (expected: Checksum): FilezVerifier => new StreamingVerifier(expected);

class StreamingVerifier implements FilezVerifier {
  readonly #expected: Checksum;
  readonly #name: string;
  readonly #hash: Hash = createHash('sha256');
  /** Chunks of which the header is not whole yet. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #headerLength = PREFIX_BYTES;
  #header: FilezHeader | undefined;
  #inflate: InflateRaw | undefined;
  #payloadBytes = 0;
  #contentBytes = 0;
  #failure: Error | undefined;
  /** Ends the step that waits for zlib. */
  #wake: (() => void) | undefined;

  constructor(expected: Checksum) {
    this.#expected = expected;
    this.#name = objectName(expected, ObjectType.file);
  }

  async update(chunk: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    try {
      const payload = this.#header ? bytes : this.#readHeader(bytes);
      if (this.#header && payload.length > 0) await this.#readPayload(this.#header, payload);
    } catch (error) {
      this.#fail(error as Error);
      throw error;
    }
  }

  async finish(): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      if (!this.#header) refuse(this.#name, 'it is truncated');
      if (this.#inflate) await this.#end(this.#inflate);
      checkSize(this.#contentBytes, this.#header.size, this.#name);
      checkHash(this.#hash, this.#expected, this.#name);
    } catch (error) {
      this.#fail(error as Error);
      throw error;
    }
  }

  destroy(): void {
    this.#waiting = [];
    this.#inflate?.destroy();
    this.#wake?.();
  }

  /** What is behind the header, once that is whole. */
  #readHeader(chunk: Buffer): Buffer {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes < this.#headerLength) return Buffer.alloc(0);
    const bytes = Buffer.concat(this.#waiting);
    this.#headerLength = filezHeaderLength(bytes, this.#name);
    this.#waiting = [bytes];
    if (bytes.length < this.#headerLength) return Buffer.alloc(0);
    this.#waiting = [];
    this.#header = parseFilezHeader(bytes.subarray(0, this.#headerLength), this.#name);
    this.#hash.update(this.#header.hashed);
    if (this.#header.kind === 'regular') this.#inflate = this.#openInflate(this.#header.size);
    return bytes.subarray(this.#headerLength);
  }

  #openInflate(size: number): InflateRaw {
    const inflate = createInflateRaw({ chunkSize: STREAM_CHUNK });
    inflate.on('data', (content: Buffer) => {
      this.#contentBytes += content.length;
      if (this.#contentBytes > size) this.#fail(new FormatError(tooLarge(this.#name, size)));
      else this.#hash.update(content);
    });
    inflate.on('error', (error) => this.#fail(inflateError(error, this.#name)));
    return inflate;
  }

  async #readPayload({ kind }: FilezHeader, payload: Buffer): Promise<void> {
    const inflate = this.#inflate;
    if (kind === 'symlink' || !inflate) return refuseLinkPayload(payload, this.#name);
    this.#payloadBytes += payload.length;
    await this.#step((done) => inflate.write(payload, done));
    if (inflate.bytesWritten !== this.#payloadBytes) refuseTrailing(this.#name);
  }

  #end(inflate: InflateRaw): Promise<void> {
    return this.#step((done) => inflate.once('close', done).end());
  }

  /** Waits for zlib to be done with a step, or for what is wrong with the bytes. */
  async #step(start: (done: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      start(resolve);
    });
    this.#wake = undefined;
    if (this.#failure) throw this.#failure;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.destroy();
  }
}

function checkHash(hash: Hash, expected: Checksum, name: string): void {
  const actual = hash.digest('hex');
  if (actual !== expected) refuse(name, `its header and content have the checksum ${actual}`);
}

function checkSize(actual: number, size: number, name: string): void {
  if (actual > size) throw new FormatError(tooLarge(name, size));
  if (actual < size) refuse(name, `it inflates to ${actual} bytes, its header says ${size}`);
}

const tooLarge = (name: string, size: number): string => `${name}: it inflates to more than the ${size} bytes of its header`;

function refuseLinkPayload(payload: Buffer, name: string): void {
  if (payload.length > 0) refuse(name, 'it is a symbolic link with bytes behind its header');
}

const refuseTrailing = (name: string): never => refuse(name, 'it has bytes behind the end of its compressed content');

const inflateError = (error: Error, name: string): FormatError =>
  new FormatError(
    (error as NodeJS.ErrnoException).code === 'Z_BUF_ERROR'
      ? `${name}: it is truncated`
      : `${name}: its content is not compressed as a filez is: ${error.message}`,
    { cause: error },
  );
