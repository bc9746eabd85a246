import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { codeOf } from './full-disk.ts';

/** A folder that nobody has touched for so long was left by a process that is gone. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;
/** How often a process touches its own. */
const TOUCH_EVERY_MS = 10 * 60 * 1000;

/**
 * A folder of this process alone, beside those of others. Several processes, on several machines, may share `parent`: the clock
 * of the folders tells who is alive, not a process id.
 */
export class ProcessFolder {
  readonly path: string;
  readonly #parent: string;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;

  /** Nothing is there before `open`. */
  constructor(parent: string, log: Logger) {
    this.#parent = parent;
    this.#log = log;
    this.path = join(parent, randomUUID());
  }

  /**
   * Makes it and keeps it fresh, and removes those that were left behind. `settle` sees to what is in the folder of each other
   * process; where it throws, that folder stays. Throws the file system's error where the folder cannot be made.
   */
  async open(settle?: (folder: string) => Promise<void>): Promise<void> {
    await mkdir(this.path, { recursive: true });
    this.#timer = setInterval(() => this.#touch(), TOUCH_EVERY_MS).unref();
    for (const name of await readdir(this.#parent)) {
      const folder = join(this.#parent, name);
      if (folder !== this.path && (await this.#isSettled(folder, settle))) await this.#removeIfAbandoned(folder);
    }
  }

  /** Removes it, with what is left in it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await rm(this.path, { recursive: true, force: true });
  }

  /** Removes it, unless something is left in it, which is for the next start to settle. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    try {
      await rmdir(this.path);
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'ENOENT') throw error;
    }
  }

  async #touch(): Promise<void> {
    try {
      // It may be gone if this process was suspended for a day.
      await mkdir(this.path, { recursive: true });
      const now = new Date();
      await utimes(this.path, now, now);
    } catch (err) {
      this.#log.warn(
        { err, folder: this.path },
        'a folder of this process cannot be touched; another process may remove it after a day',
      );
    }
  }

  /** A folder with which that fails is no reason not to start. Two processes may well be at the same one. */
  async #isSettled(folder: string, settle: ((folder: string) => Promise<void>) | undefined): Promise<boolean> {
    try {
      await settle?.(folder);
      return true;
    } catch (err) {
      this.#log.error({ err, folder }, 'what a process that is gone has left cannot be settled; the next start tries again');
      return false;
    }
  }

  async #removeIfAbandoned(folder: string): Promise<void> {
    try {
      const age = Date.now() - (await stat(folder)).mtimeMs;
      if (age < ABANDONED_AFTER_MS) return;
      await rm(folder, { recursive: true, force: true });
      this.#log.info({ folder }, 'removed what a process that is gone has left');
    } catch (err) {
      if (codeOf(err) === 'ENOENT') return;
      this.#log.warn({ err, folder }, 'what a process that is gone has left cannot be removed; remove the folder by hand');
    }
  }
}
