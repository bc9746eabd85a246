import { type BatchedLookup, batchedLookup, type StoredFile } from '../../../core/plugin-api.ts';
import type { Services } from '../../../kit/services.ts';
import { forEachConcurrent } from '../../../lib/concurrent-map.ts';
import { findCommits, type KnownCommit } from '../content/known-objects.ts';
import { readStored, storeBytes } from '../content/stored-bytes.ts';
import type { Checksum } from '../format/checksum.ts';
import { type Commit, parseCommit } from '../format/commit.ts';
import { ObjectType, objectPath } from '../format/object.ts';
import type { OstreeClient } from '../format/ostree-client.ts';
import { parsing } from './parsing.ts';

const REFS_AT_ONCE = 64;

/** A ref of the upstream that is mirrored. */
export interface SelectedRef {
  readonly name: string;
  readonly commit: Checksum;
}

/** A commit that is mirrored. */
export interface ChainedCommit {
  readonly checksum: Checksum;
  readonly commit: Commit;
  /** Its row, where the server has it with all that it consists of. */
  readonly known: KnownCommit | undefined;
  /** Its bytes, where they were fetched now. */
  readonly file: StoredFile | undefined;
}

export interface CommitChainsOptions {
  readonly services: Services;
  readonly client: OstreeClient;
  readonly domainId: string;
  /** Parents of each ref's commit. */
  readonly depth: number;
  /** Told of each commit that was fetched. */
  readonly onFetched: () => void;
  readonly signal: AbortSignal;
}

/** The commits of refs and their parents, as far as they are wanted and the upstream has them: each once, by checksum. */
export class CommitChains {
  readonly #options: CommitChainsOptions;
  readonly #lookup: BatchedLookup<Checksum, KnownCommit>;
  readonly #loads = new Map<Checksum, Promise<ChainedCommit | undefined>>();
  readonly #commits = new Map<Checksum, ChainedCommit>();
  /** How many parents of a commit have been followed, or are about to be. */
  readonly #followed = new Map<Checksum, number>();

  constructor(options: CommitChainsOptions) {
    const { services, domainId } = options;
    this.#options = options;
    this.#lookup = batchedLookup((checksums) => findCommits(services.db, domainId, checksums));
  }

  /** Follows the refs. Throws where the upstream does not have the commit of a ref; where it does not have a parent, history ends there. */
  async follow(refs: readonly SelectedRef[]): Promise<ReadonlyMap<Checksum, ChainedCommit>> {
    const { signal } = this.#options;
    await forEachConcurrent(refs, (ref) => this.#followRef(ref), { limit: REFS_AT_ONCE, signal });
    return this.#commits;
  }

  async #followRef({ name, commit: head }: SelectedRef): Promise<void> {
    const { depth, client } = this.#options;
    let checksum: Checksum | undefined = head;
    for (let left = depth; checksum !== undefined && left >= 0; left -= 1) {
      if ((this.#followed.get(checksum) ?? -1) >= left) return;
      this.#followed.set(checksum, left);
      const chained: ChainedCommit | undefined = await this.#load(checksum);
      if (!chained) {
        if (checksum !== head) return;
        const url = client.place(objectPath(head, ObjectType.commit));
        throw new Error(`the commit ${head} of the ref ${JSON.stringify(name)} is not on the server: ${url} is not found`);
      }
      this.#commits.set(checksum, chained);
      checksum = chained.commit.parent;
    }
  }

  #load(checksum: Checksum): Promise<ChainedCommit | undefined> {
    let load = this.#loads.get(checksum);
    if (!load) {
      load = this.#loadOnce(checksum);
      this.#loads.set(checksum, load);
    }
    return load;
  }

  async #loadOnce(checksum: Checksum): Promise<ChainedCommit | undefined> {
    const { services, client, signal, onFetched } = this.#options;
    const known = await this.#lookup(checksum);
    const stored = known?.file ? await readStored(known.file, services) : undefined;
    if (stored) return { checksum, commit: parseCommit(stored), known, file: undefined };
    const fetched = await client.commit(checksum, signal);
    if (!fetched) return undefined;
    const commit = parsing(client.place(objectPath(checksum, ObjectType.commit)), () => parseCommit(fetched.bytes));
    const file = await storeBytes(fetched.bytes, services);
    onFetched();
    // Where only the stored file was lost, it is in its place again.
    return known?.file ? { checksum, commit, known, file: undefined } : { checksum, commit, known: undefined, file };
  }
}
