import { close, fdatasync, open, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { codeOf } from './full-disk.ts';
import { foldersUpTo, Journal, syncFolder } from './journal.ts';
import type { WriterFolders } from './writer-batch.ts';

/** A journal of so many bytes gets no more; its files are made durable in their places while the next one fills. */
const JOURNAL_BYTES = 32 * 1024 * 1024;
/** Full journals whose files are not durable in their places yet; with more of them the writer waits. */
const MAX_FULL = 4;

const openFile = promisify(open);
const syncFile = promisify(fdatasync);
const closeFile = promisify(close);

/** A journal, and where the files are that it keeps. */
interface Generation {
  readonly journal: Journal;
  readonly targets: Set<string>;
}

/** The journals of one writer: the one that is written to, and full ones. */
export class Journals {
  readonly #folders: WriterFolders;
  #current: Generation | undefined;
  #opened = 0;
  #full = 0;
  #settling: Promise<void> = Promise.resolve();
  readonly #onUnsettled: (journal: string, error: unknown) => void;

  /** `onUnsettled` is told of a journal whose files could not be made durable in their places: it stays for the next start. */
  constructor(folders: WriterFolders, onUnsettled: (journal: string, error: unknown) => void) {
    this.#folders = folders;
    this.#onUnsettled = onUnsettled;
  }

  /**
   * Makes the bodies durable; they have to be put in their places before `settle`. Throws the file system's error: then none is
   * kept.
   */
  keep(files: readonly { readonly target: string; readonly body: Uint8Array }[]): void {
    if (files.length === 0) return;
    this.#current ??= this.#open();
    const { journal, targets } = this.#current;
    journal.append(files.map(({ target, body }) => ({ key: relative(this.#folders.root, target), body })));
    for (const { target } of files) targets.add(target);
  }

  /** To be called when all that is kept is in its place. Resolves when there is room for more. */
  async makeRoom(): Promise<void> {
    if (this.#current && this.#current.journal.bytes >= JOURNAL_BYTES) this.#retire(this.#current);
    if (this.#full >= MAX_FULL) await this.#settling;
  }

  /** Makes all files durable in their places, and removes the journals. To be called when all that is kept is in its place. */
  async settle(): Promise<void> {
    if (this.#current) this.#retire(this.#current);
    await this.#settling;
  }

  #open(): Generation {
    const { root, journals } = this.#folders;
    this.#opened += 1;
    return { journal: new Journal(join(journals, String(this.#opened)), root), targets: new Set() };
  }

  #retire(generation: Generation): void {
    this.#current = undefined;
    this.#full += 1;
    this.#settling = this.#settling.then(async () => {
      try {
        await this.#settleOne(generation);
      } catch (error) {
        generation.journal.close();
        this.#onUnsettled(generation.journal.path, error);
      }
      this.#full -= 1;
    });
  }

  /** One file at a time: nobody waits for it, and others want the disk. */
  async #settleOne({ journal, targets }: Generation): Promise<void> {
    const folders = new Set<string>();
    for (const target of targets) {
      await syncIfThere(target);
      for (const folder of foldersUpTo(this.#folders.root, target)) folders.add(folder);
    }
    for (const folder of folders) syncFolder(folder);
    journal.close();
    rmSync(journal.path, { force: true });
  }
}

/** A file that was deleted meanwhile needs no syncing. */
async function syncIfThere(path: string): Promise<void> {
  let descriptor: number;
  try {
    descriptor = await openFile(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    await syncFile(descriptor);
  } finally {
    await closeFile(descriptor);
  }
}
