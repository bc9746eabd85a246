import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChecksumName, type Checksums, RunningChecksums } from '../../lib/checksums.ts';
import type { PendingFile } from '../../storage/storage.ts';

const READ_BYTES = 256 * 1024;
/** How often is looked whether a file has grown that another process writes. */
const LOOK_MS = 20;

/** One client's way through a flight. */
export interface FlightReader extends AsyncIterableIterator<Buffer, undefined> {
  return(): Promise<IteratorReturnResult<undefined>>;
}

/**
 * One body on its way from an upstream into a temporary file, read by any number of clients while it grows, each from its
 * beginning and at its own pace: the file, not the memory, holds what a slow client has not taken yet. It is this process that
 * writes the file (`fill`), or another one (`follow`).
 */
export class Flight {
  /** Bytes in all; undefined where nobody says. */
  readonly size: number | undefined;
  readonly #file: FileHandle;
  readonly #onDeserted: () => void;
  #written = 0;
  #whole = false;
  #ended = false;
  #error: unknown;
  #readers = 0;
  #waiting: (() => void)[] = [];

  private constructor(size: number | undefined, file: FileHandle, onDeserted: () => void) {
    this.#onDeserted = onDeserted;
    this.size = size;
    this.#file = file;
  }

  /**
   * Reads from the file at `path`, which is being written; the open file outlives its renaming and its removal.
   * `onDeserted` is called when the last reader leaves before the end.
   */
  static async open(size: number | undefined, path: string, onDeserted: () => void = () => undefined): Promise<Flight> {
    return new Flight(size, await open(path, 'r'), onDeserted);
  }

  /**
   * Writes the body to the file that is read, and answers its checksums; readers end when they have read it all. Throws what the body
   * or the file throws. `end` has to follow, in the second case after `fail`.
   */
  async fill(body: AsyncIterable<Uint8Array>, pending: PendingFile, names: readonly ChecksumName[]): Promise<Checksums> {
    const checksums = new RunningChecksums(names);
    for await (const chunk of body) {
      checksums.update(chunk);
      await pending.write(chunk);
      this.#written += chunk.byteLength;
      this.#wake();
    }
    this.#whole = true;
    this.#wake();
    return checksums.finish();
  }

  /**
   * Hands out what another process writes to the file until it is whole: it has all its bytes, the last of which are written when they
   * are known to be right, or `over` says so. Throws where `over` is false before that. `end` has to follow, in the second case after `fail`.
   */
  async follow(over: Promise<boolean>): Promise<void> {
    for (let outcome: boolean | undefined; !this.#whole; ) {
      outcome = await Promise.race([over, delay(LOOK_MS, undefined)]);
      this.#written = (await this.#file.stat()).size;
      if (outcome === true || this.#written === this.size) this.#whole = true;
      else if (outcome === false) throw new Error('the process that fetched it has not brought it to its end');
      this.#wake();
    }
  }

  get written(): number {
    return this.#written;
  }

  /** Whether the body is all there, and right. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Nobody begins to read any more: the file is closed when those who do have read it all. */
  end(): Promise<void> {
    this.#ended = true;
    return this.#closeWhenIdle();
  }

  /** The body will never be whole: readers fail. `end` still has to follow. */
  fail(error: unknown): void {
    this.#error = error;
    this.#wake();
  }

  /** The bytes from the beginning; `next` throws what `fail` was given. To be read to the end, or ended by `return`. */
  read(): FlightReader {
    this.#readers += 1;
    let at = 0;
    let over = false;
    const leave = async (): Promise<IteratorReturnResult<undefined>> => {
      if (!over) {
        over = true;
        this.#readers -= 1;
        if (this.#readers === 0 && !this.#whole) this.#onDeserted();
        this.#wake();
        await this.#closeWhenIdle();
      }
      return { done: true, value: undefined };
    };
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      while (!over && this.#error === undefined && at === this.#written && !this.#whole) {
        await new Promise<void>((wake) => this.#waiting.push(wake));
      }
      if (over || (this.#error === undefined && at === this.#written)) return leave();
      if (this.#error !== undefined) {
        await leave();
        throw this.#error;
      }
      const length = Math.min(READ_BYTES, this.#written - at);
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(length), 0, length, at);
      at += bytesRead;
      return { done: false, value: buffer.subarray(0, bytesRead) };
    };
    const reader: FlightReader = { next, return: leave, [Symbol.asyncIterator]: () => reader };
    return reader;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#ended && this.#readers === 0) await this.#file.close();
  }
}
