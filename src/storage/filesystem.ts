import { close, createReadStream, open } from 'node:fs';
import { mkdir, stat, statfs, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { codeOf } from './full-disk.ts';
import { checkKey } from './layout.ts';
import { PendingLocalFile } from './pending-local-file.ts';
import { restoreJournals } from './restore-journals.ts';
import { MissingFileError, type Storage } from './storage.ts';
import { openTemporaryFolder, settleOthers } from './temporary-folder.ts';
import { startWriter } from './writer.ts';

/** One read per MiB: half the time of Node's usual 64 KiB for large blobs. */
const READ_BYTES = 1024 * 1024;

const openFile = promisify(open);
const closeFile = promisify(close);

export interface FilesystemStorageOptions {
  /** The folder for all stored files; made if it is not there. */
  readonly root: string;
  readonly log: Logger;
}

/**
 * Stores files under a local (or shared) folder. A file is written to `root/tmp`, synced, renamed to its place, and the folder
 * synced, before it is answered for; of small files all of a group are made durable at once, in a journal. Several processes
 * may share a root. Throws the file system's error if the root cannot be
 * made or written.
 */
export async function filesystemStorage({ root: given, log }: FilesystemStorageOptions): Promise<Storage> {
  const root = resolve(given);
  await mkdir(root, { recursive: true });
  const unfinished = join(root, 'tmp');
  const temporary = await openTemporaryFolder(unfinished, log);
  const writer = startWriter({ root, temporary: temporary.path });
  await settleOthers(unfinished, temporary, (folder) => restoreJournals(folder, { root, writer, log }), log);
  let created = 0;
  const resolveKey = (key: string): string => {
    checkKey(key);
    return join(root, key);
  };

  const reserve = (): PendingLocalFile => {
    created += 1;
    return new PendingLocalFile({ path: join(temporary.path, `file-${created}`), root, writer, resolveKey });
  };

  return {
    async create() {
      const file = reserve();
      await file.open();
      return file;
    },
    reserve,
    async putSmall(files) {
      await writer.place(files.map(({ key, body }) => ({ target: resolveKey(key), body })));
    },
    async size(key) {
      const path = resolveKey(key);
      return await absentAs(undefined, async () => (await stat(path)).size);
    },
    async read(key, range) {
      const path = resolveKey(key);
      const fd = await absentAs(undefined, () => openFile(path, 'r'));
      if (fd === undefined) throw new MissingFileError(key);
      if (range?.length === 0) {
        await closeFile(fd);
        return Readable.from([]);
      }
      const bounds = range ? { start: range.start, end: range.start + range.length - 1 } : {};
      return createReadStream(path, { fd, highWaterMark: READ_BYTES, ...bounds });
    },
    localPath: resolveKey,
    async redirectUrl(key) {
      checkKey(key);
      return undefined;
    },
    async delete(key) {
      const path = resolveKey(key);
      await absentAs(undefined, () => unlink(path));
    },
    async capacity() {
      const { bsize, blocks, bfree, bavail } = await statfs(root);
      return { total: blocks * bsize, used: (blocks - bfree) * bsize, free: bavail * bsize };
    },
    async close() {
      await writer.close();
      await temporary.close();
    },
  };
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
