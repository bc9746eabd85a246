import { closeSync, existsSync, fdatasync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { codeOf } from './full-disk.ts';
import type { Batch, BatchAnswer, BatchFile, WriterFolders } from './writer-batch.ts';

/** Descriptors that are open at once, waiting for their turn to be synced. */
const GROUP = 256;

/**
 * Syncs at once: the file system's journal serves several callers with one write to the disk. One thread of libuv's pool of four
 * is left to the rest of the process.
 */
const SYNCS_AT_ONCE = 3;

const { root, temporary } = workerData as WriterFolders;
/** Folders that exist and whose own entry is durable, because this thread saw to it. */
const settledFolders = new Set<string>();
let written = 0;

/** A file of the batch on its way to its target. `descriptor` is there as long as it still has to be synced. */
interface Placement {
  readonly index: number;
  readonly target: string;
  readonly path: string;
  readonly descriptor: number | undefined;
}

/**
 * Stores a batch: write, sync, rename, and at the end sync each folder that got a file. Calls that block are right here: this
 * thread does nothing else, and for small files they cost a third of what asynchronous ones do.
 */
class BatchWriter {
  readonly #batch: Batch;
  readonly #failures = new Map<number, unknown>();
  /** Folder -> files of the batch that are durable once it is synced. */
  readonly #folders = new Map<string, number[]>();
  #offset = 0;

  constructor(batch: Batch) {
    this.#batch = batch;
  }

  async store(): Promise<BatchAnswer> {
    const { files } = this.#batch;
    for (let start = 0; start < files.length; start += GROUP) {
      const placements: Placement[] = [];
      files.slice(start, start + GROUP).forEach((file, at) => {
        const placement = this.#write(start + at, file);
        if (placement) placements.push(placement);
      });
      for (const placement of await this.#sync(placements)) this.#place(placement);
    }
    for (const [folder, indexes] of this.#folders) this.#syncFolder(folder, indexes);
    return Array.from(this.#failures, ([index, error]) => ({
      index,
      message: error instanceof Error ? error.message : String(error),
      code: codeOf(error),
    }));
  }

  /** A failure is one file's alone, and leaves no temporary file. */
  #fail(index: number, path: string, error: unknown): void {
    this.#failures.set(index, error);
    rmSync(path, { force: true });
  }

  /** Writes the body to a temporary file; undefined where nothing is left to do, or it failed. */
  #write(index: number, file: BatchFile): Placement | undefined {
    const { target } = file;
    const body = 'length' in file ? new Uint8Array(this.#batch.bytes, this.#offset, file.length) : undefined;
    if (body) this.#offset += body.byteLength;
    written += 1;
    const path = 'temporary' in file ? file.temporary : join(temporary, `small-${written}`);
    try {
      if (existsSync(target)) {
        // Another process may have put it there a moment ago: it is durable for us when we have synced the folder.
        this.#enter(index, dirname(target));
        if (!body) rmSync(path, { force: true });
        return undefined;
      }
      return { index, target, path, descriptor: body && writeNew(path, body) };
    } catch (error) {
      this.#fail(index, path, error);
      return undefined;
    }
  }

  /** Those that are whole on the disk afterwards. */
  async #sync(placements: readonly Placement[]): Promise<Placement[]> {
    const synced: Placement[] = [];
    const queue = placements.values();
    const work = async (): Promise<void> => {
      for (const placement of queue) {
        const error = placement.descriptor === undefined ? null : await syncAndClose(placement.descriptor);
        if (error) this.#fail(placement.index, placement.path, error);
        else synced.push(placement);
      }
    };
    await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, work));
    return synced;
  }

  #place({ index, target, path }: Placement): void {
    try {
      this.#enter(index, dirname(target));
      renameSync(path, target);
    } catch (error) {
      this.#fail(index, path, error);
    }
  }

  #syncFolder(folder: string, indexes: readonly number[]): void {
    try {
      const descriptor = openSync(folder, 'r');
      try {
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      settledFolders.clear();
      for (const index of indexes) this.#failures.set(index, error);
    }
  }

  /** Makes the folder and its ancestors the first time that this thread meets them; notes all that has to be synced. */
  #enter(index: number, folder: string): void {
    if (!settledFolders.has(folder)) {
      mkdirSync(folder, { recursive: true });
      for (let inner = folder; inner !== root && !settledFolders.has(inner); inner = dirname(inner)) {
        settledFolders.add(inner);
        this.#note(index, dirname(inner));
      }
    }
    this.#note(index, folder);
  }

  #note(index: number, folder: string): void {
    const indexes = this.#folders.get(folder);
    if (indexes) indexes.push(index);
    else this.#folders.set(folder, [index]);
  }
}

/** Answers the descriptor, still open: it has to be synced. */
function writeNew(path: string, body: Uint8Array): number {
  const descriptor = openSync(path, 'wx', 0o644);
  try {
    for (let at = 0; at < body.byteLength; ) at += writeSync(descriptor, body, at);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Answers the error, if there was one. */
const syncAndClose = (descriptor: number): Promise<NodeJS.ErrnoException | null> =>
  new Promise((resolve) => {
    fdatasync(descriptor, (error) => {
      closeSync(descriptor);
      resolve(error);
    });
  });

parentPort?.on('message', async (batch: Batch) => parentPort?.postMessage(await new BatchWriter(batch).store()));
