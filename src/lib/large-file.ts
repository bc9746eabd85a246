import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Files from this size on go past the page cache: filling it costs more CPU than fetching and hashing do. */
const DIRECT_FROM_BYTES = 4 * 1024 * 1024;
/** Where writing past it may begin: at a page. */
const PAGE_BYTES = 4 * 1024;
/** What goes past it at once: a multiple of what any disk wants. */
const BLOCK_BYTES = 512 * 1024;
/**
 * Bytes of one write by the page cache: for larger ones, kernels with large folios (ext4 from 6.16 on) look for contiguous memory, which
 * takes ten times as long as all else where memory is scattered, as it is after some days.
 */
const WRITE_BYTES = 64 * 1024;
const WASM_PAGE_BYTES = 64 * 1024;
/** Linux alone has it. */
const O_DIRECT: number | undefined = constants.O_DIRECT;

/** As much of it as is used here: the types of Node leave it to the browser's. */
declare const WebAssembly: {
  readonly Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

/** Blocks that no file uses. */
const free: Buffer[] = [];

/** Memory that begins at a page, as writing past the page cache wants; Node's own buffers begin anywhere. */
function newBlock(): Buffer {
  const pages = BLOCK_BYTES / WASM_PAGE_BYTES;
  return Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
}

/** Bytes that are gathered for a descriptor that takes nothing but whole blocks. */
interface Direct {
  readonly descriptor: number;
  readonly block: Buffer;
  filled: number;
}

/** Undefined where the file system has no such thing. */
function openDirect(path: string): Direct | undefined {
  if (O_DIRECT === undefined) return undefined;
  try {
    return { descriptor: openSync(path, constants.O_WRONLY | O_DIRECT), block: free.pop() ?? newBlock(), filled: 0 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined;
    throw error;
  }
}

/**
 * A file that is written to its end, by calls that block: for a thread that has nothing else to do. What is large goes past the page
 * cache (ADR 013). All methods throw the file system's error.
 */
export class LargeFile {
  readonly #path: string;
  /** Bytes from which on it goes past the page cache; undefined where it does not. */
  #directFrom: number | undefined;
  readonly #descriptor: number;
  #direct: Direct | undefined;
  /** Bytes in the file. */
  #written = 0;

  /** Opens the file, whose end is written to, or makes it. `size`: bytes that it will have, where that is known. */
  constructor(path: string, size?: number) {
    this.#path = path;
    if (size === undefined) this.#directFrom = DIRECT_FROM_BYTES;
    else if (size >= DIRECT_FROM_BYTES) this.#directFrom = 0;
    this.#descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o644);
    this.#written = fstatSync(this.#descriptor).size;
  }

  append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const direct = this.#direct ?? this.#open();
      if (!direct) {
        const part = bytes.subarray(at, at + this.#untilDirect());
        this.#write(part);
        at += part.byteLength;
        continue;
      }
      const taken = bytes.subarray(at, at + BLOCK_BYTES - direct.filled);
      direct.block.set(taken, direct.filled);
      direct.filled += taken.byteLength;
      at += taken.byteLength;
      if (direct.filled === BLOCK_BYTES) this.#flush(direct);
    }
  }

  /** Everything is in the file afterwards. */
  finish(): void {
    const direct = this.#direct;
    if (!direct) return;
    this.#write(direct.block.subarray(0, direct.filled));
    this.#release(direct);
  }

  /** The file is empty afterwards. */
  restart(): void {
    ftruncateSync(this.#descriptor, 0);
    this.#written = 0;
    if (this.#direct) this.#direct.filled = 0;
  }

  close(): void {
    if (this.#direct) this.#release(this.#direct);
    closeSync(this.#descriptor);
  }

  /** Bytes until it goes past the page cache: to the page where that may begin. */
  #untilDirect(): number {
    if (this.#directFrom === undefined) return Number.POSITIVE_INFINITY;
    return Math.ceil(Math.max(this.#directFrom, this.#written) / PAGE_BYTES) * PAGE_BYTES - this.#written;
  }

  /** Undefined where it does not go past the cache, or not yet. */
  #open(): Direct | undefined {
    if (this.#untilDirect() > 0) return undefined;
    this.#direct = openDirect(this.#path);
    // Not tried again where the file system does not have it.
    if (!this.#direct) this.#directFrom = undefined;
    return this.#direct;
  }

  /** What the disk does not take whole goes there as usual, and so does all that follows; that also tells why it did not. */
  #flush(direct: Direct): void {
    const written = writeDirect(direct, this.#written);
    this.#written += written;
    direct.filled = 0;
    if (written === BLOCK_BYTES) return;
    this.#write(direct.block.subarray(written));
    this.#release(direct);
  }

  #release({ descriptor, block }: Direct): void {
    this.#direct = undefined;
    this.#directFrom = undefined;
    free.push(block);
    closeSync(descriptor);
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const written = writeSync(this.#descriptor, bytes, at, Math.min(WRITE_BYTES, bytes.byteLength - at), this.#written);
      at += written;
      this.#written += written;
    }
  }
}

/** Answers how much of the block was written. */
function writeDirect({ descriptor, block }: Direct, position: number): number {
  try {
    return writeSync(descriptor, block, 0, BLOCK_BYTES, position);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return 0;
    throw error;
  }
}
