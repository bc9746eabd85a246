import { LRUCache } from 'lru-cache';
import type { Folder, ServedContent, ServedFile } from '../kit/content-handler.ts';
import type { ServedVersion } from '../kit/served-file.ts';
import { atMost } from '../lib/cache-limit.ts';
import { singleFlight } from '../lib/single-flight.ts';

const MAX_FILES = 50_000;
/** Characters of the paths that are known to hold nothing, which clients make up as they like. */
const MAX_ABSENT = 2_000_000;
/** Entries of all kept folders together. */
const MAX_ENTRIES = 50_000;

/** What was found, and whether it was known before. */
export interface Known<Found> {
  readonly found: Found | undefined;
  readonly hit: boolean;
}

const ABSENT = { maxSize: MAX_ABSENT, sizeCalculation: (_absent: true, key: string): number => key.length };

const keyOf = (version: ServedVersion, path: string): string => `${version.repository_id} ${version.number} ${path}`;

/**
 * The files and folders of versions, kept in memory: a version never changes, nor does what it lacks. Files that are not stored yet
 * are looked up each time.
 */
export class KnownContent {
  readonly #content: ServedContent;
  readonly #keeps: boolean;
  readonly #files = new LRUCache<string, ServedFile>(atMost(MAX_FILES));
  readonly #absent = new LRUCache<string, true>(ABSENT);
  readonly #absentFolders = new LRUCache<string, true>(ABSENT);
  readonly #folders = new LRUCache<string, Folder>({
    maxSize: MAX_ENTRIES,
    sizeCalculation: (folder) => folder.entries.length + 1,
  });
  readonly #listing = singleFlight<string, Folder | undefined>();

  constructor(content: ServedContent, keeps: boolean) {
    this.#content = content;
    this.#keeps = keeps;
  }

  async find(version: ServedVersion, path: string): Promise<Known<ServedFile>> {
    const key = keyOf(version, path);
    const known = this.#files.get(key);
    if (known) return { found: known, hit: true };
    if (this.#absent.has(key)) return { found: undefined, hit: true };
    const found = await this.#content.find(version, path);
    if (this.#keeps && !found) this.#absent.set(key, true);
    else if (this.#keeps && found && ('body' in found || found.stored)) this.#files.set(key, found);
    return { found, hit: false };
  }

  /** The file at the path is not where it was. */
  forget(version: ServedVersion, path: string): void {
    this.#files.delete(keyOf(version, path));
  }

  async list(version: ServedVersion, path: string): Promise<Known<Folder>> {
    const key = keyOf(version, path);
    const known = this.#folders.get(key);
    if (known) return { found: known, hit: true };
    if (this.#absentFolders.has(key)) return { found: undefined, hit: true };
    const found = await this.#listing(key, () => this.#content.list(version, path));
    if (this.#keeps && found) this.#folders.set(key, found);
    else if (this.#keeps) this.#absentFolders.set(key, true);
    return { found, hit: false };
  }

  close(): Promise<void> {
    return this.#content.close();
  }
}
