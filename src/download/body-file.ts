import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';

/** Files from this size on go past the page cache: filling it costs more CPU than fetching and hashing do. */
const DIRECT_FROM_BYTES = 4 * 1024 * 1024;
/** What goes past it at once: a multiple of what any disk wants. */
const BLOCK_BYTES = 512 * 1024;
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
 * A file that is written from its beginning on, by calls that block: for a thread that has nothing else to do. All methods throw
 * the file system's error.
 */
export class BodyFile {
  readonly #path: string;
  readonly #isLarge: boolean;
  readonly #descriptor: number;
  #direct: Direct | undefined;
  /** Bytes in the file. */
  #written = 0;

  /** Opens the file, or makes it. `size`: bytes that it will have, where that is known. */
  constructor(path: string, size: number | undefined) {
    this.#path = path;
    this.#isLarge = size !== undefined && size >= DIRECT_FROM_BYTES;
    this.#descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    this.#open();
  }

  append(bytes: Buffer): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const direct = this.#direct;
      if (!direct) {
        this.#write(bytes.subarray(at));
        return;
      }
      const taken = bytes.copy(direct.block, direct.filled, at);
      direct.filled += taken;
      at += taken;
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
    else this.#open();
  }

  close(): void {
    if (this.#direct) this.#release(this.#direct);
    closeSync(this.#descriptor);
  }

  #open(): void {
    if (this.#isLarge) this.#direct = openDirect(this.#path);
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
    free.push(block);
    closeSync(descriptor);
  }

  #write(bytes: Buffer): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const written = writeSync(this.#descriptor, bytes, at, bytes.byteLength - at, this.#written);
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
