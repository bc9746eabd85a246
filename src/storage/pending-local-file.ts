import { type FileHandle, open, rm } from 'node:fs/promises';
import type { ChecksumName } from '../lib/checksums.ts';
import type { Appended, Appender } from './appender.ts';
import { namedError } from './full-disk.ts';
import type { PendingFile } from './storage.ts';
import type { Writer } from './writer.ts';

export interface PendingLocalFileOptions {
  /** Of the temporary file, absolute. */
  readonly path: string;
  /** The storage's folder, to be named when it is full. */
  readonly root: string;
  readonly writer: Writer;
  readonly appender: Appender;
  /** Checks a key and makes it an absolute path. */
  readonly resolveKey: (key: string) => string;
}

/** A temporary file on the local disk. A failed write or commit removes it at once; abort is then nothing more to do. */
export class PendingLocalFile implements PendingFile {
  readonly path: string;
  readonly #options: PendingLocalFileOptions;
  #handle: Promise<FileHandle> | undefined;
  #ended = false;

  /** Nothing is there before `open` or the first `write`. */
  constructor(options: PendingLocalFileOptions) {
    this.#options = options;
    this.path = options.path;
  }

  /** Makes the temporary file. */
  async open(): Promise<void> {
    await this.#attempt(async () => {
      await this.#opened();
    });
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#checkOpen();
    await this.#attempt(async () => {
      const handle = await this.#opened();
      for (let at = 0; at < chunk.byteLength; ) at += (await handle.write(chunk, at)).bytesWritten;
    });
  }

  async append(bytes: AsyncIterable<Uint8Array>, checksums: Iterable<ChecksumName>): Promise<Appended> {
    this.#checkOpen();
    return this.#attempt(() => this.#options.appender.append(this.path, bytes, [...checksums]));
  }

  async commit(key: string): Promise<void> {
    this.#checkOpen();
    await this.#attempt(async () => {
      const target = this.#options.resolveKey(key);
      const handle = await this.#opened();
      await handle.datasync();
      await handle.close();
      await this.#options.writer.place([{ target, temporary: this.path }]);
    });
    this.#ended = true;
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    // Where it could not be opened, whoever asked for it has the error.
    const handle = await this.#handle?.catch(() => undefined);
    await handle?.close();
    await rm(this.path, { force: true });
  }

  /** Appending, so that what a thread has written to the path by itself is never overwritten. */
  #opened(): Promise<FileHandle> {
    this.#handle ??= open(this.path, 'a', 0o644);
    return this.#handle;
  }

  #checkOpen(): void {
    if (this.#ended) throw new Error('this pending file was already committed, aborted or has failed');
  }

  async #attempt<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      await this.abort();
      throw namedError(error, this.#options.root);
    }
  }
}
