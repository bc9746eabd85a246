import { type FileHandle, open, rm } from 'node:fs/promises';
import { namedError } from './full-disk.ts';
import type { PendingFile } from './storage.ts';
import type { Writer } from './writer.ts';

export interface PendingLocalFileOptions {
  /** Of the temporary file, absolute. */
  readonly path: string;
  /** The storage's folder, to be named when it is full. */
  readonly root: string;
  readonly writer: Writer;
  /** Checks a key and makes it an absolute path. */
  readonly resolveKey: (key: string) => string;
}

/** A temporary file on the local disk. A failed write or commit removes it at once; abort is then nothing more to do. */
export class PendingLocalFile implements PendingFile {
  readonly path: string;
  readonly #options: PendingLocalFileOptions;
  readonly #handle: FileHandle;
  #ended = false;

  private constructor(handle: FileHandle, options: PendingLocalFileOptions) {
    this.#handle = handle;
    this.#options = options;
    this.path = options.path;
  }

  static async open(options: PendingLocalFileOptions): Promise<PendingLocalFile> {
    try {
      // Appending, so that what a thread has written to the path by itself is never overwritten.
      return new PendingLocalFile(await open(options.path, 'ax', 0o644), options);
    } catch (error) {
      throw namedError(error, options.root);
    }
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#checkOpen();
    await this.#attempt(async () => {
      for (let at = 0; at < chunk.byteLength; ) at += (await this.#handle.write(chunk, at)).bytesWritten;
    });
  }

  async commit(key: string): Promise<void> {
    this.#checkOpen();
    await this.#attempt(async () => {
      const target = this.#options.resolveKey(key);
      await this.#handle.datasync();
      await this.#handle.close();
      await this.#options.writer.place([{ target, temporary: this.path }]);
    });
    this.#ended = true;
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#handle.close();
    await rm(this.path, { force: true });
  }

  #checkOpen(): void {
    if (this.#ended) throw new Error('this pending file was already committed, aborted or has failed');
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      await this.abort();
      throw namedError(error, this.#options.root);
    }
  }
}
