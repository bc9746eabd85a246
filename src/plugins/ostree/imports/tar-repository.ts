import { type FileHandle, open } from 'node:fs/promises';
import type { Downloaded, DownloadTarget } from '../../../download/upstream.ts';
import type { Services } from '../../../kit/services.ts';
import { checksumsOf, RunningChecksums } from '../../../lib/checksums.ts';
import type { PendingFile } from '../../../storage/storage.ts';
import { type Checksum, checkBytes, parseChecksum } from '../format/checksum.ts';
import { type Commit, parseCommit } from '../format/commit.ts';
import { MAX_CONFIG_LENGTH, parseRepoConfig } from '../format/config.ts';
import { filezVerifier, inflatesInHand, verifyFilez } from '../format/filez.ts';
import { refuse } from '../format/format-error.ts';
import { MAX_METADATA_BYTES, type MetadataType, ObjectType, objectName, objectPath, verifyMetadata } from '../format/object.ts';
import { type FetchedBytes, type FetchedFile, MAX_HELD_BYTES, type OstreeClient } from '../format/ostree-client.ts';
import { isRefName, MAX_REF_BYTES } from '../format/ref-name.ts';
import { MAX_SUMMARY_BYTES } from '../format/summary.ts';
import { insidePath, tarReader } from './tar-stream.ts';

const CHUNK_BYTES = 256 * 1024;
const REFS = 'refs/heads/';
/** What of a repository's folder is content: the rest is locks, caches and unfinished files. */
const CONTENT = /^(?:config|summary|summary\.sig|(?:refs\/heads|objects|deltas|delta-indexes)\/.+)$/;

/** For bytes that are only looked at. */
const NOWHERE: DownloadTarget = { path: undefined, write: () => Promise.resolve() };

/** Where the bytes of a file are, in the copy. */
interface Place {
  readonly start: number;
  readonly size: number;
}

export interface TarRepositoryOptions {
  readonly services: Services;
  /** Key of the stored tar. */
  readonly file: string;
  /** Folder of the repository in the tar. */
  readonly name: string;
  readonly signal: AbortSignal;
}

/**
 * A repository in a tar, as if it were on an upstream: what has a checksum is verified while it is read. A tar can only be read from its
 * start to its end, objects are asked for in any order: so the repository's files are copied into one file that nobody sees, at once and
 * without their names, and read from there. Methods throw FormatError, naming the file.
 */
export class TarRepository implements OstreeClient {
  readonly #services: Services;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #copy: PendingFile;
  readonly #handle: FileHandle;

  private constructor(services: Services, places: ReadonlyMap<string, Place>, copy: PendingFile, handle: FileHandle) {
    this.#services = services;
    this.#places = places;
    this.#copy = copy;
    this.#handle = handle;
  }

  /** Reads the tar once. Throws FormatError for what tarReader refuses, and where the folder holds no repository. */
  static async open({ services, file, name, signal }: TarRepositoryOptions): Promise<TarRepository> {
    const folder = insidePath(name.replace(/^\/+/, ''));
    if (folder === undefined) throw new Error(`An invalid path to the repository provided: ${name}`);
    const copy = await services.storage.create();
    try {
      const tar = unlessAborted(await services.storage.read(file), signal);
      const places = await copyFiles(tar, folder === '' ? '' : `${folder}/`, copy);
      if (!places.has('config')) throw new Error(`An invalid path to the repository provided: ${name}`);
      if (copy.path === undefined) throw new Error('this storage has no temporary files that can be read before they are whole');
      return new TarRepository(services, places, copy, await open(copy.path, 'r'));
    } catch (error) {
      await copy.abort();
      throw error;
    }
  }

  place(path: string): string {
    return `${path} of the tar`;
  }

  /** Names of the refs. */
  refs(): string[] {
    const names = [...this.#places.keys()].filter((path) => path.startsWith(REFS)).map((path) => path.slice(REFS.length));
    for (const name of names) if (!isRefName(name)) refuse(`${REFS}${name}`, 'it is not the name of a ref');
    return names;
  }

  /** Paths of all files below a folder. */
  pathsBelow(folder: string): string[] {
    return [...this.#places.keys()].filter((path) => path.startsWith(`${folder}/`));
  }

  /** The config, which is that of an archive. */
  async parsedConfig(): Promise<Buffer> {
    const bytes = await this.config();
    parseRepoConfig(bytes.toString());
    return bytes;
  }

  async parsedCommit(checksum: Checksum): Promise<Commit | undefined> {
    const fetched = await this.commit(checksum);
    return fetched && parseCommit(fetched.bytes);
  }

  config(): Promise<Buffer> {
    return this.#required('config', MAX_CONFIG_LENGTH);
  }

  summary(): Promise<Buffer | undefined> {
    return this.#read('summary', MAX_SUMMARY_BYTES);
  }

  summarySignature(): Promise<Buffer | undefined> {
    return this.small('summary.sig');
  }

  async ref(name: string): Promise<Checksum | undefined> {
    const path = `${REFS}${name}`;
    const bytes = await this.#read(path, MAX_REF_BYTES);
    if (!bytes) return undefined;
    return parseChecksum(bytes.toString('latin1').trimEnd()) ?? refuse(path, 'it does not hold the checksum of a commit');
  }

  async commit(checksum: Checksum): Promise<FetchedBytes | undefined> {
    const bytes = await this.#read(objectPath(checksum, ObjectType.commit), MAX_METADATA_BYTES);
    return bytes && this.#verified(bytes, checksum, ObjectType.commit);
  }

  async metadata(checksum: Checksum, type: 2 | 3): Promise<FetchedBytes> {
    const bytes = await this.#read(objectPath(checksum, type), MAX_METADATA_BYTES);
    return bytes ? this.#verified(bytes, checksum, type) : absent(objectName(checksum, type));
  }

  async file(checksum: Checksum, target: () => Promise<DownloadTarget>, signal?: AbortSignal): Promise<FetchedFile> {
    const path = objectPath(checksum, ObjectType.file);
    const place = this.#places.get(path) ?? absent(objectName(checksum, ObjectType.file));
    if (place.size > MAX_HELD_BYTES) {
      const downloaded = await this.#copyVerified(place, checksum, await target(), signal);
      return { ...downloaded, bytes: undefined };
    }
    const bytes = await this.#readPlace(place);
    if (inflatesInHand(bytes)) verifyFilez(bytes, checksum);
    else await this.#copyVerified(place, checksum, NOWHERE, signal);
    return this.#hashed(bytes);
  }

  commitMeta(checksum: Checksum): Promise<Buffer | undefined> {
    return this.small(objectPath(checksum, ObjectType.commitMeta));
  }

  small(path: string): Promise<Buffer | undefined> {
    return this.#read(path, MAX_METADATA_BYTES);
  }

  async provenSmall(path: string, sha256: Checksum): Promise<Buffer> {
    const bytes = await this.#required(path, MAX_METADATA_BYTES);
    checkBytes(bytes, sha256, path);
    return bytes;
  }

  async download(
    path: string,
    sha256: Checksum,
    size: number,
    target: DownloadTarget,
    signal?: AbortSignal,
  ): Promise<Downloaded> {
    const place = this.#places.get(path) ?? absent(path);
    if (place.size !== size) refuse(path, `it has ${place.size} bytes, not ${size}`);
    const downloaded = await this.#copyHashed(place, target, undefined, signal);
    if (downloaded.checksums.sha256 !== sha256) {
      refuse(path, `its bytes have the checksum ${downloaded.checksums.sha256}, not ${sha256}`);
    }
    return downloaded;
  }

  async close(): Promise<void> {
    await this.#handle.close();
    await this.#copy.abort();
  }

  async #required(path: string, maxBytes: number): Promise<Buffer> {
    return (await this.#read(path, maxBytes)) ?? absent(path);
  }

  async #read(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const place = this.#places.get(path);
    if (!place) return undefined;
    if (place.size > maxBytes) refuse(path, `it is larger than ${maxBytes} bytes`);
    return this.#readPlace(place);
  }

  async #readPlace({ start, size }: Place): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(size);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await this.#handle.read(bytes, at, size - at, start + at);
      if (bytesRead === 0) throw new Error('the copy of a tar has become shorter while it was read');
      at += bytesRead;
    }
    return bytes;
  }

  #verified(bytes: Buffer, checksum: Checksum, type: MetadataType): FetchedBytes {
    verifyMetadata(bytes, checksum, type);
    return this.#hashed(bytes);
  }

  #hashed(bytes: Buffer): FetchedBytes {
    return { bytes, checksums: checksumsOf(this.#services.config.PULP_ALLOWED_CONTENT_CHECKSUMS, bytes) };
  }

  async #copyVerified(place: Place, checksum: Checksum, target: DownloadTarget, signal?: AbortSignal): Promise<Downloaded> {
    const verifier = filezVerifier(checksum);
    try {
      const copied = await this.#copyHashed(place, target, (chunk) => verifier.update(chunk), signal);
      await verifier.finish();
      return copied;
    } finally {
      verifier.destroy();
    }
  }

  async #copyHashed(
    { start, size }: Place,
    target: DownloadTarget,
    check: ((chunk: Buffer) => Promise<void>) | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Downloaded> {
    const running = new RunningChecksums(this.#services.config.PULP_ALLOWED_CONTENT_CHECKSUMS);
    for (let at = 0; at < size; ) {
      signal?.throwIfAborted();
      const chunk = await this.#readPlace({ start: start + at, size: Math.min(CHUNK_BYTES, size - at) });
      running.update(chunk);
      await check?.(chunk);
      await target.write(chunk);
      at += chunk.length;
    }
    return { size, checksums: running.finish() };
  }
}

const absent = (what: string): never => refuse(what, 'it is not in the tar');

async function* unlessAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    signal.throwIfAborted();
    yield chunk;
  }
}

/** Copies the content of a repository, file behind file; answers where each is. A path that comes twice is the later file's. */
async function copyFiles(tar: AsyncIterable<Uint8Array>, prefix: string, copy: PendingFile): Promise<ReadonlyMap<string, Place>> {
  const places = new Map<string, Place>();
  const isWanted = (path: string): boolean => path.startsWith(prefix) && CONTENT.test(path.slice(prefix.length));
  let end = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  const flush = async (): Promise<void> => {
    await copy.write(Buffer.concat(held, heldBytes));
    held = [];
    heldBytes = 0;
  };
  for await (const entry of tarReader(tar, isWanted)) {
    places.set(entry.path.slice(prefix.length), { start: end, size: entry.size });
    for await (const chunk of entry.body()) {
      held.push(chunk);
      heldBytes += chunk.length;
      if (heldBytes >= CHUNK_BYTES) await flush();
    }
    end += entry.size;
  }
  if (heldBytes > 0) await flush();
  return places;
}
