import { gunzipSync, constants as zlib } from 'node:zlib';
import { Header } from 'tar/header';
import { Parser } from 'tar/parse';
import type { ReadEntry } from 'tar/read-entry';
import { FormatError, refuse } from '../format/format-error.ts';
import { compressionOf, inflatedTar } from './inflated-tar.ts';

/** As much of the start of a file as tarRefusal wants. */
export const TAR_HEAD_BYTES = 8192;

/** Entries of a tar; a large operating system with its history has some 100,000 objects. Bounds the memory for their names. */
const MAX_ENTRIES = 1_000_000;
/** Bytes of one extended header: a long path, some attributes. */
const MAX_EXTENDED_HEADER_BYTES = 64 * 1024;
const MAX_PATH_LENGTH = 4096;
/** Bytes that are taken apart at once, and so the most that is held. */
const SLICE_BYTES = 64 * 1024;
const BLOCK_BYTES = 512;

const SUBJECT = 'tar';
const FOLDERS = ['Directory', 'GNUDumpDir'];
const FILES = ['File', 'OldFile', 'ContiguousFile'];
const KINDS: Readonly<Record<string, string>> = {
  Link: 'a hard link',
  SymbolicLink: 'a symbolic link',
  CharacterDevice: 'a character device',
  BlockDevice: 'a block device',
  FIFO: 'a named pipe',
};

/** A file in a tar. */
export interface TarEntry {
  /** Relative to the tar's root, without `.`, `..` or empty parts. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** To be read once, before the next entry is asked for; what is left unread is skipped. */
  body(): AsyncIterable<Buffer>;
}

/**
 * Why a file that starts with `head` (its first TAR_HEAD_BYTES, or all of it) cannot be imported; undefined where it is a tar, plain or
 * compressed by gzip, or is compressed by bzip2 or xz: what is in those is seen when they are inflated.
 */
export function tarRefusal(head: Buffer): string | undefined {
  const compression = compressionOf(head);
  if (compression?.program) return undefined;
  return startsLikeTar(compression ? inflatedStart(head) : head) ? undefined : 'The artifact is not a tar archive file';
}

/** Whether bytes, not compressed, start as a tar does: with the header of an entry, or with the end of an empty one. */
export function startsLikeTar(bytes: Buffer): boolean {
  if (bytes.length < BLOCK_BYTES || compressionOf(bytes)) return false;
  try {
    const { cksumValid, nullBlock } = new Header(bytes.subarray(0, BLOCK_BYTES));
    return cksumValid || nullBlock;
  } catch {
    // A number that is none: the header is no header.
    return false;
  }
}

function inflatedStart(head: Buffer): Buffer {
  try {
    return gunzipSync(head.subarray(0, TAR_HEAD_BYTES), { finishFlush: zlib.Z_SYNC_FLUSH });
  } catch {
    return Buffer.alloc(0);
  }
}

/**
 * The files of a tar, plain or compressed, whose path `wanted` says yes to, in their order. Holds a slice of the tar at a time.
 * FormatError for what is no tar, is truncated, or has an entry anywhere that is neither a file nor a folder below its root.
 */
export async function* tarReader(
  source: AsyncIterable<Uint8Array>,
  wanted: (path: string) => boolean,
): AsyncGenerator<TarEntry, void, undefined> {
  const slices = sliced(inflatedTar(source));
  const tar = new OpenTar(slices, wanted);
  try {
    for (let entry = await tar.next(); entry; entry = await tar.next()) {
      yield { path: entry.path, size: entry.size, body: () => tar.bodyOf(entry) };
      await tar.skip(entry);
    }
  } finally {
    await slices.return();
  }
}

interface Entry {
  readonly path: string;
  readonly size: number;
  /** What has been read of the body and was not asked for yet. */
  readonly chunks: Buffer[];
  ended: boolean;
}

/** The parser is fed a slice when more is asked for than it has given: whatever a slice holds, it gives before `write` returns. */
class OpenTar {
  readonly #slices: AsyncIterator<Buffer>;
  readonly #wanted: (path: string) => boolean;
  readonly #parser: Parser;
  readonly #entries: Entry[] = [];
  #count = 0;
  #started = false;
  #ended = false;
  #failure: Error | undefined;

  constructor(slices: AsyncIterator<Buffer>, wanted: (path: string) => boolean) {
    this.#slices = slices;
    this.#wanted = wanted;
    this.#parser = new Parser({
      strict: true,
      brotli: false,
      zstd: false,
      maxMetaEntrySize: MAX_EXTENDED_HEADER_BYTES,
      filter: (path, entry) => this.#takes(path, entry as ReadEntry),
      onReadEntry: (entry) => this.#open(entry),
    });
    this.#parser.on('ignoredEntry', (entry: ReadEntry) => this.#checkIgnored(entry));
    this.#parser.on('error', (error: Error) => this.#fail(error));
  }

  async next(): Promise<Entry | undefined> {
    while (this.#entries.length === 0 && !this.#ended) await this.#feed();
    return this.#entries.shift();
  }

  async *bodyOf(entry: Entry): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const chunk = entry.chunks.shift();
      if (chunk) yield chunk;
      else if (entry.ended) return;
      else await this.#feed();
    }
  }

  async skip(entry: Entry): Promise<void> {
    entry.chunks.length = 0;
    while (!entry.ended) {
      await this.#feed();
      entry.chunks.length = 0;
    }
  }

  async #feed(): Promise<void> {
    if (this.#ended) refuse(SUBJECT, 'it is truncated');
    const { done, value } = await this.#slices.next();
    if (done) {
      this.#ended = true;
      if (!this.#started) refuse(SUBJECT, 'it is empty');
    } else {
      if (!this.#started && compressionOf(value)) refuse(SUBJECT, 'it is compressed twice');
      this.#started = true;
    }
    this.#parse(value);
    if (this.#failure) throw this.#failure;
  }

  /** Undefined: the tar is at its end. Some of what is wrong with a tar the parser throws, the rest it emits. */
  #parse(slice: Buffer | undefined): void {
    try {
      if (slice) this.#parser.write(slice);
      else this.#parser.end();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #open(read: ReadEntry): void {
    const entry: Entry = { path: this.#pathOf(read.path), size: read.size, chunks: [], ended: false };
    this.#entries.push(entry);
    read.on('data', (chunk: Buffer) => {
      entry.chunks.push(chunk);
    });
    read.on('end', () => {
      entry.ended = true;
    });
  }

  /** Asked for every entry that is not a header of another one. */
  #takes(written: string, { type }: ReadEntry): boolean {
    this.#count += 1;
    if (this.#count > MAX_ENTRIES) this.#fail(new FormatError(`${SUBJECT}: it has more than ${MAX_ENTRIES} entries`));
    const path = this.#pathOf(written);
    if (FOLDERS.includes(type)) return false;
    if (!FILES.includes(type)) this.#failKind(written, type);
    return this.#failure === undefined && this.#wanted(path);
  }

  #checkIgnored(entry: ReadEntry): void {
    if (entry.meta) this.#fail(new FormatError(`${SUBJECT}: it has a header of more than ${MAX_EXTENDED_HEADER_BYTES} bytes`));
    else if (!FILES.includes(entry.type) && !FOLDERS.includes(entry.type)) this.#failKind(entry.path, entry.type);
  }

  #failKind(path: string, type: string): void {
    const kind = KINDS[type] ?? `of the type ${JSON.stringify(type)}`;
    this.#fail(new FormatError(`${SUBJECT}: its entry ${quote(path)} is ${kind}: only files and folders can be imported`));
  }

  #pathOf(written: string): string {
    const path = insidePath(written);
    if (path === undefined) this.#fail(new FormatError(`${SUBJECT}: its entry ${quote(written)} leads out of it`));
    return path ?? '';
  }

  #fail(error: Error): void {
    const reason = error.message.replace(/^TAR_[A-Z_]+: /, '');
    this.#failure ??= error instanceof FormatError ? error : new FormatError(`${SUBJECT}: ${reason}`, { cause: error });
  }
}

const quote = (path: string): string => JSON.stringify(path.slice(0, 255));

/** A relative path without `.` and empty parts; undefined where it is absolute, has a `..` or is longer than any path. */
export function insidePath(path: string): string | undefined {
  if (path.startsWith('/') || path.length > MAX_PATH_LENGTH || path.includes('\0')) return undefined;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : parts.join('/');
}

async function* sliced(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) yield bytes.subarray(at, at + SLICE_BYTES);
  }
}
