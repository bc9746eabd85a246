import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { codeOf } from './full-disk.ts';

/** A folder that nobody has touched for so long was left by a process that is gone. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;
/** How often a process touches its own. */
const TOUCH_EVERY_MS = 10 * 60 * 1000;

/** This process's own folder for unfinished files. */
export interface TemporaryFolder {
  readonly path: string;
  /** Removes it, with what is left in it. */
  close(): Promise<void>;
}

/**
 * Makes a folder in `parent` for this process and keeps it fresh. Several processes, on several machines, may share `parent`:
 * the clock of the folders tells who is alive, not a process id.
 */
export async function openTemporaryFolder(parent: string, log: Logger): Promise<TemporaryFolder> {
  const path = join(parent, randomUUID());
  await mkdir(path, { recursive: true });
  const touch = async (): Promise<void> => {
    try {
      // It may be gone if this process was suspended for a day.
      await mkdir(path, { recursive: true });
      const now = new Date();
      await utimes(path, now, now);
    } catch (err) {
      log.warn(
        { err, folder: path },
        'the folder for unfinished files cannot be touched; another process may remove it after a day',
      );
    }
  };
  const timer = setInterval(touch, TOUCH_EVERY_MS).unref();
  return {
    path,
    async close() {
      clearInterval(timer);
      await rm(path, { recursive: true, force: true });
    },
  };
}

/**
 * Settles what other processes left in `parent`: `restore` sees to the journals in each of their folders, and those that are
 * abandoned are removed then. A folder with which that fails is no reason not to start: it stays. Two processes may well be at
 * the same one.
 */
export async function settleOthers(
  parent: string,
  own: TemporaryFolder,
  restore: (folder: string) => Promise<void>,
  log: Logger,
): Promise<void> {
  for (const name of await readdir(parent)) {
    const folder = join(parent, name);
    if (folder === own.path) continue;
    try {
      await restore(folder);
    } catch (err) {
      const message =
        'stored files of a process that is gone cannot be restored from its journals: some may be missing until a start can';
      log.error({ err, folder }, message);
      continue;
    }
    await removeIfAbandoned(folder, log);
  }
}

async function removeIfAbandoned(folder: string, log: Logger): Promise<void> {
  try {
    const age = Date.now() - (await stat(folder)).mtimeMs;
    if (age < ABANDONED_AFTER_MS) return;
    await rm(folder, { recursive: true, force: true });
    log.info({ folder }, 'removed unfinished files of a process that is gone');
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return;
    log.warn({ err, folder }, 'unfinished files of a process that is gone cannot be removed; remove the folder by hand');
  }
}
