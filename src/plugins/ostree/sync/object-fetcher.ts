import { type BatchedLookup, batchedLookup, type StoredFile, storedFile } from '../../../core/plugin-api.ts';
import type { Progress } from '../../../kit/define-task.ts';
import type { Services } from '../../../kit/services.ts';
import { HeldBytes } from '../../../lib/held-bytes.ts';
import { artifactKey } from '../../../storage/layout.ts';
import type { PendingFile } from '../../../storage/storage.ts';
import { ContentSaver } from '../content/content-saver.ts';
import {
  checksumOfKey,
  findObjects,
  type KnownObject,
  type ObjectKey,
  typeOfKey,
  type UnitType,
} from '../content/known-objects.ts';
import { readStored } from '../content/stored-bytes.ts';
import type { Checksum } from '../format/checksum.ts';
import { parseDirMeta } from '../format/dirmeta.ts';
import { parseDirTree } from '../format/dirtree.ts';
import { ObjectType, objectPath } from '../format/object.ts';
import type { FetchedBytes, OstreeClient } from '../format/ostree-client.ts';
import { ObjectGraph } from './object-graph.ts';
import { ObjectQueue } from './object-queue.ts';
import { parsing } from './parsing.ts';
import { WorkList } from './work-list.ts';

/** Objects that are worked on at once; how many requests that makes is the upstream's matter. */
const OBJECTS_AT_ONCE = 768;
/** Bytes in memory above which no further fetch is begun. */
const HELD_BYTES = 48 * 1024 * 1024;

export interface ObjectFetcherOptions {
  readonly services: Services;
  readonly client: OstreeClient;
  readonly domainId: string;
  /** The remote that has them, if they come from one. */
  readonly remoteId: string | undefined;
  /** Whether file objects are fetched; otherwise they are only noted. */
  readonly immediate: boolean;
  readonly progress: Pick<Progress, 'increment'>;
  readonly stop: AbortController;
  readonly signal: AbortSignal;
}

/**
 * Fetches the objects of commits: each once, however many commits and directories have it, and none whose bytes the server has. What is
 * fetched is stored and saved while more is being fetched, and stays when the sync fails.
 */
export class ObjectFetcher {
  readonly #options: ObjectFetcherOptions;
  readonly #held = new HeldBytes(HELD_BYTES);
  readonly #lookup: BatchedLookup<ObjectKey, KnownObject>;
  readonly #work: WorkList<number>;
  readonly #graph: ObjectGraph;
  readonly #queue: ObjectQueue;
  readonly #known: string[] = [];

  constructor(options: ObjectFetcherOptions) {
    const { services, domainId, remoteId, stop } = options;
    this.#options = options;
    this.#lookup = batchedLookup((keys) => findObjects(services.db, domainId, keys));
    this.#work = new WorkList(OBJECTS_AT_ONCE, (object) => this.#take(object));
    this.#graph = new ObjectGraph((object) => this.#work.push(object));
    const saver = new ContentSaver(services, domainId, remoteId);
    const onSaved = (object: number, id: string): void => this.#graph.saved(object, id);
    this.#queue = new ObjectQueue(saver, this.#held, onSaved, (error) => stop.abort(error));
  }

  /** Begins to fetch a tree; answers what `idsBelow` takes. */
  tree(rootTree: Checksum, rootMeta: Checksum): readonly number[] {
    return [this.#graph.root(rootTree, ObjectType.dirtree), this.#graph.root(rootMeta, ObjectType.dirmeta)];
  }

  /** Begins to fetch an object by itself. */
  object(checksum: Checksum, typ: UnitType): void {
    this.#graph.single(checksum, typ);
  }

  /** Resolves when all is fetched and saved. The first error ends all; what had been fetched before is saved. */
  async finish(): Promise<void> {
    let failed: { readonly error: unknown } | undefined;
    try {
      await this.#work.done();
    } catch (error) {
      failed = { error };
    }
    const unsaved = await this.#queue.close();
    if (failed) throw failed.error;
    if (unsaved) throw unsaved.error;
  }

  /** Ids of the objects that were known before. */
  get known(): readonly string[] {
    return this.#known;
  }

  /** Ids of all objects below these. Only after `finish`. */
  idsBelow(roots: readonly number[]): string[] {
    return this.#graph.idsBelow(roots);
  }

  async #take(object: number): Promise<void> {
    const { signal, stop } = this.#options;
    try {
      signal.throwIfAborted();
      const key = this.#graph.keyOf(object);
      const known = await this.#lookup(key);
      const isComplete = known && (known.file !== null || !this.#isFetched(typeOfKey(key)));
      if (!isComplete || !(await this.#takeKnown(object, known))) await this.#fetch(object, key);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  }

  #isFetched(typ: UnitType): boolean {
    return this.#options.immediate || typ !== ObjectType.file;
  }

  /** Answers false for a dirtree whose stored file is lost. */
  async #takeKnown(object: number, { id, file }: KnownObject): Promise<boolean> {
    if (typeOfKey(this.#graph.keyOf(object)) === ObjectType.dirtree && file !== null) {
      const stored = await readStored(file, this.#options.services);
      if (!stored) return false;
      this.#graph.contents(object, parseDirTree(stored));
    }
    this.#graph.saved(object, id);
    this.#known.push(id);
    return true;
  }

  async #fetch(object: number, key: ObjectKey): Promise<void> {
    const checksum = checksumOfKey(key);
    const typ = typeOfKey(key);
    let file: StoredFile | undefined;
    if (this.#isFetched(typ)) {
      await this.#held.room(this.#options.signal);
      file = await (typ === ObjectType.file ? this.#fetchFile(checksum) : this.#fetchMetadata(object, checksum, typ));
      this.#options.progress.increment();
    }
    this.#queue.push(object, { checksum, typ, file });
  }

  async #fetchMetadata(object: number, checksum: Checksum, typ: 2 | 3): Promise<StoredFile> {
    const { client, signal } = this.#options;
    const fetched = await client.metadata(checksum, typ, signal);
    parsing(client.place(objectPath(checksum, typ)), () => {
      if (typ === ObjectType.dirtree) this.#graph.contents(object, parseDirTree(fetched.bytes));
      else parseDirMeta(fetched.bytes);
    });
    return this.#store(fetched);
  }

  async #fetchFile(checksum: Checksum): Promise<StoredFile> {
    const { client, services, signal } = this.#options;
    let pending: PendingFile | undefined;
    // Few files need one: nothing is made of it before one does.
    const target = async (): Promise<PendingFile> => {
      pending = services.storage.reserve();
      return pending;
    };
    try {
      const fetched = await client.file(checksum, target, signal);
      if (fetched.bytes) return await this.#store(fetched);
      const file = storedFile(fetched.size, fetched.checksums);
      await pending?.commit(artifactKey(file.checksums.sha256));
      return file;
    } catch (error) {
      await pending?.abort();
      throw error;
    }
  }

  async #store({ bytes, checksums }: FetchedBytes): Promise<StoredFile> {
    const file = storedFile(bytes.length, checksums);
    this.#held.add(bytes.length);
    try {
      await this.#options.services.storage.putSmall([{ key: artifactKey(file.checksums.sha256), body: bytes }]);
    } finally {
      this.#held.release(bytes.length);
    }
    return file;
  }
}
