import type { Readable } from 'node:stream';
import type { ChecksumName } from '../lib/checksums.ts';
import type { Appended } from './appender.ts';

/** What a reader wants of a stored file: all of it, or `length` bytes from `start`. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/** Why a file was moved out of its place: it is going to be removed, or its bytes are not what its key says. */
export type AsideReason = 'doomed' | 'damaged';

/** A stored file, as the store knows it. */
export interface StoredStat {
  /** Bytes. */
  readonly size: number;
  /** When it was stored, by the store's clock. */
  readonly modified: Date;
}

/**
 * Where bytes live. A key is a path made by layout.ts, relative, never from user input. What `commit` has not answered for
 * is invisible: a key is either absent or whole and durable.
 */
export interface Storage {
  /** A file to write to; nothing can be read under any key until `commit`. */
  create(): Promise<PendingFile>;
  /**
   * As `create`, for what may turn out to be held in memory: nothing is made until something is written, by whoever, and a file that
   * nothing was written to needs no end.
   */
  reserve(): PendingFile;
  /** Many small, already verified bodies at once, each durable under its key when the promise resolves. Written in groups. */
  putSmall(files: readonly { readonly key: string; readonly body: Buffer }[]): Promise<void>;
  /** What the store knows of the file, or undefined where the key is absent. */
  stat(key: string): Promise<StoredStat | undefined>;
  /** Size in bytes, or undefined where the key is absent. */
  size(key: string): Promise<number | undefined>;
  /** The bytes. Throws MissingFileError where the key is absent. */
  read(key: string, range?: ByteRange): Promise<Readable>;
  /** All bytes of a file that is small enough to be held in memory. Throws MissingFileError where the key is absent. */
  readWhole(key: string): Promise<Buffer>;
  /** Local path of the file, where the store has one: for zero-copy serving; undefined otherwise. */
  localPath(key: string): string | undefined;
  /** A URL that clients may be sent to, where the store can (S3); undefined otherwise. */
  redirectUrl(
    key: string,
    options: { filename: string; contentType: string; expiresInSeconds: number },
  ): Promise<string | undefined>;
  /** Gives a file another key, durably, where a file that is there already is kept, being the same bytes. Throws MissingFileError where neither is there. */
  move(key: string, to: string): Promise<void>;
  /** Removes the key; absent is fine. */
  delete(key: string): Promise<void>;
  /** The keys below a topmost folder, in groups. Files that come or go meanwhile may or may not be among them. */
  list(folder: string): AsyncIterable<readonly string[]>;
  /** As `list`, of what was set aside. */
  listAside(folder: string, reason: AsideReason): AsyncIterable<readonly string[]>;
  /** Moves the file to where no key leads, in place of an older one of the same key and reason. Absent is fine. */
  setAside(key: string, reason: AsideReason): Promise<void>;
  /**
   * Undoes `setAside(key, 'doomed')`, durably: the file has its key again, unless a file has come there meanwhile, which is the same
   * bytes and is kept. Throws MissingFileError where it is in neither place.
   */
  bringBack(key: string): Promise<void>;
  /** Removes what was set aside; absent is fine. */
  dropAside(key: string, reason: AsideReason): Promise<void>;
  /** Bytes in all, used and free, as they were a moment ago: each upload asks. Undefined where the store cannot tell. */
  capacity(): Promise<Capacity | undefined>;
  close(): Promise<void>;
}

/** Bytes of a store. */
export interface Capacity {
  readonly total: number;
  readonly used: number;
  readonly free: number;
}

/** A file being written. Exactly one of commit and abort ends it. */
export interface PendingFile {
  /** Local path of the temporary file, where there is one: a worker thread may write it itself. */
  readonly path: string | undefined;
  /** Appends; resolves when the chunk may be reused. */
  write(chunk: Uint8Array): Promise<void>;
  /** Appends all bytes and computes their checksums, off the event loop where that can be. Throws what `bytes` throws, too. */
  append(bytes: AsyncIterable<Uint8Array>, checksums: Iterable<ChecksumName>): Promise<Appended>;
  /** Makes it durable and visible under `key`. Replaces nothing: an existing file of the same key is kept, being the same bytes. */
  commit(key: string): Promise<void>;
  /** Drops it. Safe after an error. */
  abort(): Promise<void>;
}

export class MissingFileError extends Error {
  override readonly name = 'MissingFileError';
  readonly key: string;
  constructor(key: string) {
    super(`no stored file ${key}`);
    this.key = key;
  }
}

/** The file system (or quota) under `folder` is full. Nothing of what was being written remains. */
export class StorageFullError extends Error {
  override readonly name = 'StorageFullError';
  readonly folder: string;
  constructor(folder: string, options?: ErrorOptions) {
    super(
      `no space left in the storage folder ${folder}: nothing was stored. Enlarge its file system, or delete repository versions ` +
        'that are not needed and run an orphan cleanup, then try again',
      options,
    );
    this.folder = folder;
  }
}
