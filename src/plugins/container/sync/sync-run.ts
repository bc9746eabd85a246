import { anyOf, contentIds } from '../../../core/plugin-api.ts';
import { UpstreamError } from '../../../download/upstream-error.ts';
import type { Progress, TaskContext } from '../../../kit/define-task.ts';
import { forEachConcurrent } from '../../../lib/concurrent-map.ts';
import type { Digest } from '../../../lib/digest.ts';
import { HeldBytes } from '../../../lib/held-bytes.ts';
import type { Manifest } from '../oci/manifest.ts';
import type { Registry } from '../oci/registry-client.ts';
import { BlobFetcher } from './blob-fetcher.ts';
import { DeclaredQueue } from './declared-queue.ts';
import type { HeadProbe } from './head-probe.ts';
import { type KnownTag, manifestDigests, missingBlobs, rememberSource } from './known-content.ts';
import type { ContainerRemote } from './load-container-remote.ts';
import type { ManifestProgress } from './manifest-progress.ts';
import type { ManifestSignatures } from './manifest-signatures.ts';
import { ManifestWalk } from './manifest-walk.ts';
import { ContentSaver } from './save-declared.ts';
import { syncing } from './sync-error.ts';

/** References that are worked on at once; how many requests that makes is the upstream's matter. */
const REFERENCES_AT_ONCE = 256;
/** Bytes in memory above which no further reference is begun. */
const HELD_BYTES = 48 * 1024 * 1024;

/** A reference of the selection. */
export type Reference =
  | {
      readonly tag: string;
      /** Whether a HEAD may tell that nothing is to be fetched; a probe where that is to be found out. */
      readonly head: boolean | HeadProbe;
      /** What a HEAD has told already. */
      readonly digest?: Digest | undefined;
      /** Nothing happens where the upstream does not have it (any longer). */
      readonly optional?: boolean;
    }
  | { readonly digest: Digest }
  | Referrer;

/** A manifest that the upstream lists as a referrer of another. */
export interface Referrer {
  readonly digest: Digest;
  readonly subject: Digest;
}

export interface SyncRunOptions {
  readonly context: TaskContext;
  readonly remote: ContainerRemote;
  readonly registry: Registry;
  /** Tags of the latest version, by name. */
  readonly latest: ReadonlyMap<string, KnownTag>;
  readonly signatures: ManifestSignatures | undefined;
  readonly signedOnly: boolean;
  /** Whether a manifest of this digest is wanted, under this tag or under none. */
  readonly wants: (digest: Digest, tag?: string) => boolean;
  /** The report of fetched blobs. */
  readonly downloads: Progress;
  readonly stop: AbortController;
  readonly signal: AbortSignal;
}

/** One run of a sync: fetches references with all below them, and saves them while it fetches. */
export class SyncRun {
  readonly #options: SyncRunOptions;
  readonly #held = new HeldBytes(HELD_BYTES);
  readonly #saver: ContentSaver;
  readonly #declared: DeclaredQueue;
  readonly #blobs: BlobFetcher;
  readonly #walk: ManifestWalk;
  readonly #unchanged: string[] = [];
  #absent = 0;

  constructor(options: SyncRunOptions) {
    const { context, remote, registry, signatures, signedOnly, downloads, stop, signal } = options;
    const { services } = context;
    const domainId = context.task.domain_id;
    this.#options = options;
    this.#saver = new ContentSaver(services, domainId, remote.id);
    this.#declared = new DeclaredQueue(this.#saver, this.#held, (error) => stop.abort(error));
    const common = { registry, domainId, declared: this.#declared, held: this.#held, signal };
    this.#blobs = new BlobFetcher({ ...common, services, progress: downloads });
    this.#walk = new ManifestWalk({
      ...common,
      db: services.db,
      saver: this.#saver,
      blobs: this.#blobs,
      immediate: remote.policy === 'immediate',
      signatures,
      signedOnly,
    });
  }

  /** Tags that are in the latest version as they are upstream. */
  get unchanged(): readonly string[] {
    return this.#unchanged;
  }

  /** All else that was selected; complete once the run is closed. */
  get roots(): readonly string[] {
    return this.#saver.roots;
  }

  /** How many optional references the upstream did not have. */
  get absent(): number {
    return this.#absent;
  }

  /** Syncs references; resolves when all below them is fetched. The first error ends all. `more`: the report goes on after them. */
  async sync(references: readonly Reference[], progress: ManifestProgress, more = false): Promise<void> {
    const { signal, stop } = this.#options;
    const source = this.#begun(references, () => more || progress.seal());
    const run = async (reference: Reference): Promise<void> => {
      try {
        await this.#sync(reference, progress);
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    };
    await forEachConcurrent(source, run, { limit: REFERENCES_AT_ONCE, signal });
  }

  /** Digests of the manifests that were not found under unchanged tags. */
  get walkedDigests(): Iterable<Digest> {
    return this.#walk.digests;
  }

  /** Digests of all manifests that belong to what was synced so far. */
  async digests(): Promise<ReadonlySet<Digest>> {
    const unchanged = await manifestDigests(this.#options.context.services.db, contentIds(this.#unchanged));
    return new Set([...this.#walk.digests, ...unchanged]);
  }

  /**
   * Fetches the blobs that known images lack: after a change of policy, after reclaimed space, or where they were only half
   * synced. Remembers the remote as a source of all that is known.
   */
  async completeKnown(): Promise<void> {
    const { context, remote, signal } = this.#options;
    const known = anyOf([contentIds(this.#unchanged), contentIds(this.#walk.knownIds)]);
    if (this.#unchanged.length + this.#walk.knownIds.length === 0) return;
    const { db } = context.services;
    await rememberSource(db, known, remote.id);
    const missing = await missingBlobs(db, known, remote.policy === 'immediate' ? 'all' : 'configs');
    const store = (blob: (typeof missing)[number]) =>
      syncing(`blob ${blob.digest} of ${this.#place}`, signal, () => this.#blobs.store(blob));
    await forEachConcurrent(missing, store, { limit: REFERENCES_AT_ONCE, signal });
  }

  /** Saves what is left, after an error too: the next sync goes on from there. Throws where it cannot be saved. */
  async close(): Promise<void> {
    await this.#blobs.settled();
    const failure = await this.#declared.close();
    if (failure) throw failure.error;
  }

  get #place(): string {
    const { remote } = this.#options;
    return `${remote.upstream_name} at ${new URL(remote.url).origin}`;
  }

  async *#begun(references: readonly Reference[], onEnd: () => void): AsyncGenerator<Reference, void, void> {
    for (const reference of references) {
      await this.#held.room(this.#options.signal);
      yield reference;
    }
    onEnd();
  }

  #sync(reference: Reference, progress: ManifestProgress): Promise<void> {
    const what = 'tag' in reference ? `tag "${reference.tag}"` : `manifest ${reference.digest}`;
    return syncing(`${what} of ${this.#place}`, this.#options.signal, async () => {
      if ('tag' in reference) return this.#syncTag(reference, progress);
      if ('subject' in reference) return this.#syncReferrer(reference, progress);
      if (!this.#options.wants(reference.digest)) return;
      const walked = await this.#walk.reference(reference.digest, undefined, progress);
      if (walked.accepted) this.#declared.push({ kind: 'root', digest: walked.digest });
    });
  }

  async #syncTag(reference: Extract<Reference, { tag: string }>, progress: ManifestProgress): Promise<void> {
    const { latest, signatures, signedOnly, wants, signal } = this.#options;
    const { tag } = reference;
    progress.begin();
    const found = await progress.reporting(signal, () => this.#resolve(reference));
    if (!found || !wants(found.digest, tag)) {
      progress.end();
      return;
    }
    const known = latest.get(tag);
    if (known?.digest === found.digest && !signatures && !signedOnly) {
      this.#unchanged.push(known.id);
      progress.countReference();
      progress.end();
      return;
    }
    const walk = this.#walk.reference(found.digest, found.fetched, progress);
    progress.end();
    const walked = await walk;
    if (walked.accepted) this.#declared.push({ kind: 'tag', name: tag, digest: walked.digest });
  }

  async #syncReferrer({ digest, subject }: Referrer, progress: ManifestProgress): Promise<void> {
    const { context, registry, signal } = this.#options;
    progress.begin();
    const found = await progress.reporting(signal, async () => {
      if (await this.#walk.knows(digest)) return { fetched: undefined };
      try {
        return { fetched: await registry.manifest(digest, digest, signal) };
      } catch (error) {
        if (!isNotFound(error)) throw error;
        return undefined;
      }
    });
    if (!found) {
      context.log.warn({ digest, subject }, 'the upstream lists a referrer that it does not have; it is left out');
      progress.end();
      return;
    }
    const walk = this.#walk.reference(digest, found.fetched, progress, true);
    progress.end();
    const walked = await walk;
    if (walked.subject === subject) {
      if (walked.accepted) this.#declared.push({ kind: 'root', digest });
      return;
    }
    // One without a subject is listed because of a fallback tag, and comes with that.
    if (walked.subject !== undefined)
      context.log.warn(
        { digest, subject, names: walked.subject },
        'the upstream lists a referrer that names another subject; it is left out',
      );
  }

  /** The digest that a tag has upstream, with the manifest where that had to be fetched to learn it; undefined where it is optional and absent. */
  async #resolve(reference: Extract<Reference, { tag: string }>): Promise<{ digest: Digest; fetched?: Manifest } | undefined> {
    const { tag, digest, head } = reference;
    try {
      if (digest) return { digest };
      return await (typeof head === 'boolean' ? this.#ask(tag, head) : head.ask((first) => this.#ask(tag, first)));
    } catch (error) {
      if (!reference.optional || !isNotFound(error)) throw error;
      this.#absent += 1;
      return undefined;
    }
  }

  /** Asks the upstream for a tag, by HEAD where `head` says so and the answer names a digest. */
  async #ask(tag: string, head: boolean): Promise<{ digest: Digest; fetched?: Manifest }> {
    const { registry, signal } = this.#options;
    const told = head ? await registry.head(tag, signal) : undefined;
    if (told) return { digest: told };
    const fetched = await registry.manifest(tag, undefined, signal);
    return { digest: fetched.digest, fetched };
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof UpstreamError && error.status === 404;
