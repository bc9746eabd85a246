import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** A small file that a journal keeps until it is durable in its own place. */
export interface JournalEntry {
  readonly key: string;
  readonly body: Uint8Array;
}

/** Length of the key and of the body, 32 bits each, and the SHA-256 of both. */
const HEAD_BYTES = 4 + 4 + 32;

const checksumOf = (key: Uint8Array, body: Uint8Array): Buffer => createHash('sha256').update(key).update(body).digest();

/**
 * Makes many small files durable with one write to the disk: they are in the journal before they are put in their places, and stay
 * in it until they are durable there. What was lost in between is restored from it (restore-journals.ts).
 */
export class Journal {
  readonly path: string;
  readonly #descriptor: number;
  #bytes = 0;

  /** A new one, whose folders up to `root` are made durable too. Throws the file system's error. */
  constructor(path: string, root: string) {
    this.path = path;
    this.#descriptor = openSync(path, 'wx', 0o600);
    for (const folder of foldersUpTo(root, path)) syncFolder(folder);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** All are durable when it returns. Throws the file system's error: then none is in the journal. */
  append(entries: readonly JournalEntry[]): void {
    const record = Buffer.concat(entries.flatMap(recordOf));
    try {
      for (let at = 0; at < record.byteLength; ) {
        at += writeSync(this.#descriptor, record, at, record.byteLength - at, this.#bytes + at);
      }
      fdatasyncSync(this.#descriptor);
    } catch (error) {
      ftruncateSync(this.#descriptor, this.#bytes);
      throw error;
    }
    this.#bytes += record.byteLength;
  }

  /** Nothing more is appended. */
  close(): void {
    closeSync(this.#descriptor);
  }
}

function recordOf({ key, body }: JournalEntry): Uint8Array[] {
  const name = Buffer.from(key);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(name.byteLength, 0);
  head.writeUInt32LE(body.byteLength, 4);
  checksumOf(name, body).copy(head, 8);
  return [head, name, body];
}

/** The entries of a journal, up to a last one that was not written whole: nobody has been told that it is stored. */
export function* journalEntries(journal: Buffer): Generator<JournalEntry, void, void> {
  for (let at = 0; at + HEAD_BYTES <= journal.byteLength; ) {
    const start = at + HEAD_BYTES;
    const middle = start + journal.readUInt32LE(at);
    const end = middle + journal.readUInt32LE(at + 4);
    if (end > journal.byteLength) return;
    const [key, body] = [journal.subarray(start, middle), journal.subarray(middle, end)];
    if (!checksumOf(key, body).equals(journal.subarray(at + 8, start))) return;
    yield { key: key.toString(), body };
    at = end;
  }
}

/** The folder of the file, and all above it up to the root. */
export function foldersUpTo(root: string, path: string): string[] {
  const folder = dirname(path);
  return folder === root ? [root] : [folder, ...foldersUpTo(root, folder)];
}

/** Makes the names of the folder's files durable. Throws the file system's error. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
