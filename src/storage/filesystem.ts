import { close, createReadStream, open } from 'node:fs';
import { mkdir, open as openHandle, readdir, readFile, rename, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { Appender } from './appender.ts';
import { codeOf } from './full-disk.ts';
import { syncFolder } from './journal.ts';
import { asidePath, checkKey } from './layout.ts';
import { PendingLocalFile } from './pending-local-file.ts';
import { ProcessFolder } from './process-folder.ts';
import { restoreJournals } from './restore-journals.ts';
import {
  type AsideReason,
  type ByteRange,
  type Capacity,
  MissingFileError,
  type PendingFile,
  type Storage,
  type StoredStat,
} from './storage.ts';
import { startWriter, type Writer } from './writer.ts';

/** One read per MiB: half the time of Node's usual 64 KiB for large blobs. */
const READ_BYTES = 1024 * 1024;

/** How long an answer to the question for free space holds: the file system is asked once for many uploads. */
const CAPACITY_MS = 20;

const openFile = promisify(open);
const closeFile = promisify(close);

export interface FilesystemStorageOptions {
  /** The folder for all stored files; made if it is not there. */
  readonly root: string;
  readonly log: Logger;
}

/**
 * Stores files under a local (or shared) folder. A file is written to `root/tmp`, synced, renamed to its place, and the folder
 * synced, before it is answered for; of small files all of a group are made durable at once, by a journal in `root/journal`.
 * Several processes may share a root. Throws the file system's error if the root cannot be made or written.
 */
export async function filesystemStorage({ root: given, log }: FilesystemStorageOptions): Promise<Storage> {
  const root = resolve(given);
  await mkdir(root, { recursive: true });
  const temporary = new ProcessFolder(join(root, 'tmp'), log);
  const journals = new ProcessFolder(join(root, 'journal'), log);
  const writer = startWriter({ root, temporary: temporary.path, journals: journals.path }, log);
  await temporary.open();
  await journals.open((folder) => restoreJournals(folder, { root, writer, log }));
  return new FilesystemStorage(root, writer, temporary, journals);
}

class FilesystemStorage implements Storage {
  readonly #root: string;
  readonly #writer: Writer;
  readonly #appender = new Appender();
  readonly #temporary: ProcessFolder;
  readonly #journals: ProcessFolder;
  readonly #asideFolders = new Set<string>();
  #capacity: { readonly at: number; readonly answer: Promise<Capacity> } | undefined;
  #created = 0;

  constructor(root: string, writer: Writer, temporary: ProcessFolder, journals: ProcessFolder) {
    this.#root = root;
    this.#writer = writer;
    this.#temporary = temporary;
    this.#journals = journals;
  }

  async create(): Promise<PendingFile> {
    const file = this.reserve();
    await file.open();
    return file;
  }

  reserve(): PendingLocalFile {
    this.#created += 1;
    const path = join(this.#temporary.path, `file-${this.#created}`);
    return new PendingLocalFile({
      path,
      root: this.#root,
      writer: this.#writer,
      appender: this.#appender,
      resolveKey: (key) => this.localPath(key),
    });
  }

  async putSmall(files: readonly { readonly key: string; readonly body: Buffer }[]): Promise<void> {
    await this.#writer.place(files.map(({ key, body }) => ({ target: this.localPath(key), body })));
  }

  async stat(key: string): Promise<StoredStat | undefined> {
    const path = this.localPath(key);
    return absentAs(undefined, async () => {
      const { size, mtime } = await stat(path);
      return { size, modified: mtime };
    });
  }

  async size(key: string): Promise<number | undefined> {
    return (await this.stat(key))?.size;
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const path = this.localPath(key);
    const fd = await absentAs(undefined, () => openFile(path, 'r'));
    if (fd === undefined) throw new MissingFileError(key);
    if (range?.length === 0) {
      await closeFile(fd);
      return Readable.from([]);
    }
    const bounds = range ? { start: range.start, end: range.start + range.length - 1 } : {};
    // A buffer is made for each read, however few bytes come.
    const highWaterMark = Math.min(READ_BYTES, range?.length ?? READ_BYTES);
    return createReadStream(path, { fd, highWaterMark, ...bounds });
  }

  async readWhole(key: string): Promise<Buffer> {
    const bytes = await absentAs(undefined, () => readFile(this.localPath(key)));
    if (!bytes) throw new MissingFileError(key);
    return bytes;
  }

  localPath(key: string): string {
    checkKey(key);
    return join(this.#root, key);
  }

  async redirectUrl(key: string): Promise<undefined> {
    checkKey(key);
  }

  async move(key: string, to: string): Promise<void> {
    const placed = this.#writer.place([{ target: this.localPath(to), temporary: this.localPath(key) }]);
    await placed.catch((error: unknown) => {
      throw codeOf(error) === 'ENOENT' ? new MissingFileError(key) : error;
    });
  }

  async delete(key: string): Promise<void> {
    const path = this.localPath(key);
    await absentAs(undefined, () => unlink(path));
  }

  async *list(folder: string): AsyncGenerator<readonly string[]> {
    checkKey(`${folder}/any`);
    yield* this.#list(this.#root, folder);
  }

  async *listAside(folder: string, reason: AsideReason): AsyncGenerator<readonly string[]> {
    checkKey(`${folder}/any`);
    yield* this.#list(join(this.#root, 'aside', reason), folder);
  }

  /** One group a folder. */
  async *#list(root: string, folder: string): AsyncGenerator<readonly string[]> {
    const entries = await absentAs([], () => readdir(join(root, folder), { withFileTypes: true }));
    const keys = entries.filter((entry) => entry.isFile()).map(({ name }) => `${folder}/${name}`);
    if (keys.length > 0) yield keys;
    for (const entry of entries) if (entry.isDirectory()) yield* this.#list(root, `${folder}/${entry.name}`);
  }

  async setAside(key: string, reason: AsideReason): Promise<void> {
    const [path, aside] = [this.localPath(key), this.#asidePath(key, reason)];
    await this.#makeAsideFolder(dirname(aside));
    await absentAs(undefined, () => rename(path, aside));
  }

  async bringBack(key: string): Promise<void> {
    const [path, aside] = [this.localPath(key), this.#asidePath(key, 'doomed')];
    if ((await this.stat(key)) === undefined) {
      const handle = await absentAs(undefined, () => openHandle(aside, 'r'));
      if (!handle) throw new MissingFileError(key);
      try {
        // Its journal may have gone while it was not in its place.
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(aside, path);
      syncFolder(dirname(path));
    }
    await this.dropAside(key, 'doomed');
  }

  async dropAside(key: string, reason: AsideReason): Promise<void> {
    const aside = this.#asidePath(key, reason);
    await absentAs(undefined, () => unlink(aside));
  }

  #asidePath(key: string, reason: AsideReason): string {
    checkKey(key);
    return join(this.#root, asidePath(key, reason));
  }

  /** Made once: no folder of the storage is ever removed. */
  async #makeAsideFolder(folder: string): Promise<void> {
    if (this.#asideFolders.has(folder)) return;
    await mkdir(folder, { recursive: true });
    this.#asideFolders.add(folder);
  }

  capacity(): Promise<Capacity> {
    const now = performance.now();
    if (!this.#capacity || now - this.#capacity.at > CAPACITY_MS) this.#capacity = { at: now, answer: capacityOf(this.#root) };
    return this.#capacity.answer;
  }

  async close(): Promise<void> {
    await this.#appender.close();
    await this.#writer.close();
    await this.#temporary.close();
    await this.#journals.leave();
  }
}

async function capacityOf(folder: string): Promise<Capacity> {
  const { bsize, blocks, bfree, bavail } = await statfs(folder);
  return { total: blocks * bsize, used: (blocks - bfree) * bsize, free: bavail * bsize };
}

/** What `step` answers, or `fallback` where the file is not there. */
async function absentAs<T, Fallback>(fallback: Fallback, step: () => Promise<T>): Promise<T | Fallback> {
  try {
    return await step();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return fallback;
    throw error;
  }
}
