import { closeSync, existsSync, fdatasync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { batches } from '../lib/batches.ts';
import { codeOf } from './full-disk.ts';
import { syncFolder } from './journal.ts';
import { Journals } from './journals.ts';
import type { Batch, BatchAnswer, BatchFile, ToWriter, Unsettled, WriterFolders } from './writer-batch.ts';

/** Descriptors that are open at once, waiting for their turn to be synced. */
const GROUP = 256;

/**
 * Syncs at once: the file system's journal serves several callers with one write to the disk. One thread of libuv's pool of four
 * is left to the rest of the process.
 */
const SYNCS_AT_ONCE = 3;

/** Bodies up to this size go through the journal: beyond it, writing them twice costs more than syncing each. */
const JOURNALLED_BYTES = 64 * 1024;
/** How long nothing has to be written before files are made durable in their places. */
const IDLE_MS = 1000;

const folders = workerData as WriterFolders;
const { root, temporary } = folders;
const journals = new Journals(folders, (journal, error) => {
  const unsettled: Unsettled = { journal, reason: error instanceof Error ? error.message : String(error) };
  parentPort?.postMessage(unsettled);
});
/** Folders that exist and whose own entry is durable, because this thread saw to it. */
const settledFolders = new Set<string>();
/** Folders that exist. */
const madeFolders = new Set<string>();
let written = 0;

/** A file of the batch on its way to its target. */
interface Placement {
  readonly index: number;
  readonly target: string;
  readonly path: string;
  /** Open as long as the file still has to be synced. */
  readonly descriptor: number | undefined;
  /** The journal has it: its folder need not be synced. */
  readonly journalled: boolean;
}

/** What is to be done with the file at `index`. */
interface Work {
  readonly index: number;
  readonly target: string;
  /** Undefined: it is in a temporary file already. */
  readonly body: Uint8Array | undefined;
  readonly path: string;
  readonly journalled: boolean;
}

/**
 * Stores a batch. Small bodies: all into the journal, then each written and renamed. Others: written, synced, renamed, and at
 * the end each folder that got one synced. Calls that block are right here: this thread does nothing else, and for small files
 * they cost a third of what asynchronous ones do.
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
    const all = this.#batch.files.map((file, index) => this.#workOf(file, index));
    const works = this.#journal(all);
    for (const group of batches(works, GROUP)) {
      const placements = group.flatMap((work) => this.#write(work) ?? []);
      for (const placement of await this.#sync(placements)) this.#place(placement);
    }
    for (const [folder, indexes] of this.#folders) this.#syncFolder(folder, indexes);
    await journals.makeRoom();
    return Array.from(this.#failures, ([index, error]) => ({
      index,
      message: error instanceof Error ? error.message : String(error),
      code: codeOf(error),
    }));
  }

  #workOf(file: BatchFile, index: number): Work {
    const { target } = file;
    if ('temporary' in file) return { index, target, body: undefined, path: file.temporary, journalled: false };
    const body = new Uint8Array(this.#batch.bytes, this.#offset, file.length);
    this.#offset += file.length;
    written += 1;
    return { index, target, body, path: join(temporary, `small-${written}`), journalled: file.length <= JOURNALLED_BYTES };
  }

  /** What is left to do when the small bodies are in the journal, or have failed. */
  #journal(works: readonly Work[]): readonly Work[] {
    const small = works.flatMap(({ target, body, journalled }) => (body && journalled ? [{ target, body }] : []));
    try {
      journals.keep(small);
      return works;
    } catch (error) {
      for (const { index, journalled } of works) if (journalled) this.#failures.set(index, error);
      return works.filter(({ journalled }) => !journalled);
    }
  }

  /** A failure is one file's alone, and leaves no temporary file. */
  #fail(index: number, path: string, error: unknown): void {
    this.#failures.set(index, error);
    rmSync(path, { force: true });
  }

  /** Writes the body to a temporary file; undefined where nothing is left to do, or it failed. */
  #write({ index, target, body, path, journalled }: Work): Placement | undefined {
    try {
      if (existsSync(target)) {
        // Another process may have put it there a moment ago: it is durable for us when we have synced the folder.
        if (!journalled) this.#enter(index, dirname(target));
        if (!body) rmSync(path, { force: true });
        return undefined;
      }
      const descriptor = body && writeNew(path, body);
      if (!journalled || descriptor === undefined) return { index, target, path, descriptor, journalled };
      closeSync(descriptor);
      return { index, target, path, descriptor: undefined, journalled };
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

  #place({ index, target, path, journalled }: Placement): void {
    try {
      if (journalled) makeFolder(dirname(target));
      else this.#enter(index, dirname(target));
      renameSync(path, target);
    } catch (error) {
      this.#fail(index, path, error);
    }
  }

  #syncFolder(folder: string, indexes: readonly number[]): void {
    try {
      syncFolder(folder);
    } catch (error) {
      settledFolders.clear();
      for (const index of indexes) this.#failures.set(index, error);
    }
  }

  /** Makes the folder and its ancestors the first time that this thread meets them; notes all that has to be synced. */
  #enter(index: number, folder: string): void {
    if (!settledFolders.has(folder)) {
      makeFolder(folder);
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

/** Made once: it costs a call, and no folder of the storage is ever removed. */
function makeFolder(folder: string): void {
  if (madeFolders.has(folder)) return;
  mkdirSync(folder, { recursive: true });
  madeFolders.add(folder);
}

let idle: NodeJS.Timeout | undefined;

parentPort?.on('message', async (message: ToWriter) => {
  clearTimeout(idle);
  if (message === 'settle') {
    await journals.settle();
    parentPort?.postMessage('settled');
    return;
  }
  parentPort?.postMessage(await new BatchWriter(message).store());
  idle = setTimeout(() => journals.settle(), IDLE_MS);
});
