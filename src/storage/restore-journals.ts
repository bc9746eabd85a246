import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { codeOf } from './full-disk.ts';
import { journalEntries } from './journal.ts';
import { checkKey } from './layout.ts';
import type { Writer, WriterFile } from './writer.ts';

export interface RestoreOptions {
  /** The storage's folder. */
  readonly root: string;
  readonly writer: Writer;
  readonly log: Logger;
}

/**
 * Puts back what journals of another process have and the storage has not, or not whole: the machine went down before the
 * files were durable in their places. `folder` is that process's for journals. A process that is at work loses nothing
 * by it, so that nobody has to know who is. A file that was deleted in the last moments may come back too, with nothing that
 * points at it. Throws the file system's error.
 */
export async function restoreJournals(folder: string, options: RestoreOptions): Promise<void> {
  for (const name of (await unlessGone(() => readdir(folder))) ?? []) await restore(join(folder, name), options);
}

async function restore(path: string, { root, writer, log }: RestoreOptions): Promise<void> {
  const journal = await unlessGone(() => readFile(path));
  if (!journal) return;
  const lost: WriterFile[] = [];
  for (const { key, body } of journalEntries(journal)) {
    checkKey(key);
    const target = join(root, key);
    const found = await unlessGone(() => readFile(target));
    if (found?.equals(body)) continue;
    await rm(target, { force: true });
    lost.push({ target, body });
  }
  if (lost.length === 0) return;
  await writer.place(lost);
  log.info({ journal: path, files: lost.length }, 'stored files that were not durable in their places are restored');
}

/** What `read` answers; undefined where the file, or the folder, has gone: its process has ended in order. */
async function unlessGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
