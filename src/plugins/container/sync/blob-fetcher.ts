import { type BatchedLookup, batchedLookup, type StoredFile, storedFile } from '../../../core/plugin-api.ts';
import type { Progress } from '../../../kit/define-task.ts';
import type { Services } from '../../../kit/services.ts';
import { type ChecksumName, checksumsOf } from '../../../lib/checksums.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { HeldBytes } from '../../../lib/held-bytes.ts';
import { artifactKey } from '../../../storage/layout.ts';
import type { BlobDescriptor, Registry } from '../oci/registry-client.ts';
import type { DeclaredQueue } from './declared-queue.ts';
import { findBlobs, type KnownBlob } from './known-content.ts';

/** Up to this size a blob is held and written in a group with others; larger ones flow into a file of their own. */
const SMALL_BYTES = 256 * 1024;

/** Where there is a config, it is held: its limit (security rule 9). */
export const CONFIG_BYTES = 8 * 1024 * 1024;

export interface BlobFetcherOptions {
  readonly services: Services;
  readonly registry: Registry;
  readonly domainId: string;
  readonly declared: DeclaredQueue;
  readonly held: HeldBytes;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Where the bytes of a blob are; `bytes` while they are in hand from being fetched. */
interface StoredBlob {
  readonly key: string;
  readonly bytes: Buffer | undefined;
}

/** Fetches and declares the blobs of a sync: each digest once, however many images have it, and none whose bytes the server has. */
export class BlobFetcher {
  readonly #options: BlobFetcherOptions;
  readonly #checksums: readonly ChecksumName[];
  readonly #lookup: BatchedLookup<Digest, KnownBlob>;
  readonly #declarations = new Map<Digest, Promise<void>>();
  readonly #stores = new Map<Digest, Promise<StoredBlob>>();

  constructor(options: BlobFetcherOptions) {
    const { services, domainId } = options;
    this.#options = options;
    this.#checksums = services.config.PULP_ALLOWED_CONTENT_CHECKSUMS;
    this.#lookup = batchedLookup((digests) => findBlobs(services.db, domainId, digests));
  }

  /** Declares the blob, without fetching it: bytes that are stored are linked, whatever the policy. */
  declare(blob: BlobDescriptor): Promise<void> {
    let declaration = this.#declarations.get(blob.digest);
    if (!declaration) {
      declaration = this.#lookup(blob.digest).then((known) => this.#push(blob, undefined, known?.artifact?.id));
      this.#declarations.set(blob.digest, declaration);
    }
    return declaration;
  }

  /** Declares the blob once its bytes are stored. */
  async store(blob: BlobDescriptor): Promise<void> {
    await this.#storeOnce(blob, SMALL_BYTES);
  }

  /** As `store`, for a config; answers its bytes too. */
  async config(blob: BlobDescriptor): Promise<Buffer> {
    const stored = await this.#storeOnce(blob, CONFIG_BYTES);
    return stored.bytes ?? this.#options.services.storage.readWhole(stored.key);
  }

  /** Resolves, never rejects, when nothing is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#declarations.values(), ...this.#stores.values()]);
  }

  #storeOnce(blob: BlobDescriptor, smallBytes: number): Promise<StoredBlob> {
    let stored = this.#stores.get(blob.digest);
    if (!stored) {
      stored = this.#reporting(() => this.#store(blob, smallBytes));
      this.#stores.set(blob.digest, stored);
      // Whoever has asked by now gets the bytes that were in hand; later ones read them from the storage.
      stored.then(
        ({ key }) => this.#stores.set(blob.digest, Promise.resolve({ key, bytes: undefined })),
        () => undefined,
      );
    }
    return stored;
  }

  /** An error of `step`, but no abort, is this stage's: its report shows it. */
  async #reporting<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (!this.#options.signal.aborted) this.#options.progress.fail();
      throw error;
    }
  }

  async #store(blob: BlobDescriptor, smallBytes: number): Promise<StoredBlob> {
    const known = await this.#lookup(blob.digest);
    if (known?.artifact) {
      this.#push(blob, undefined, known.artifact.id);
      return { key: known.artifact.file, bytes: undefined };
    }
    const small = blob.size !== undefined && blob.size <= smallBytes;
    const { file, bytes } = small ? await this.#fetchSmall(blob) : await this.#fetchLarge(blob);
    this.#push(blob, file, undefined);
    this.#options.progress.increment();
    return { key: artifactKey(file.checksums.sha256), bytes };
  }

  async #fetchSmall(blob: BlobDescriptor): Promise<{ file: StoredFile; bytes: Buffer }> {
    const { registry, services, held, signal } = this.#options;
    const bytes = await registry.blob(blob, signal);
    const file = storedFile(bytes.length, checksumsOf(this.#checksums, bytes));
    held.add(bytes.length);
    try {
      await services.storage.putSmall([{ key: artifactKey(file.checksums.sha256), body: bytes }]);
    } finally {
      held.release(bytes.length);
    }
    return { file, bytes };
  }

  async #fetchLarge(blob: BlobDescriptor): Promise<{ file: StoredFile; bytes: undefined }> {
    const { registry, services, signal } = this.#options;
    const target = await services.storage.create();
    try {
      const { size, checksums } = await registry.downloadBlob(blob, target, this.#checksums, signal);
      const file = storedFile(size, checksums);
      await target.commit(artifactKey(file.checksums.sha256));
      return { file, bytes: undefined };
    } catch (error) {
      await target.abort();
      throw error;
    }
  }

  #push({ digest, size }: BlobDescriptor, file: StoredFile | undefined, artifact_id: string | undefined): void {
    this.#options.declared.push({ kind: 'blob', digest, size, file, artifact_id });
  }
}
