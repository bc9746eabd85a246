import { LRUCache } from 'lru-cache';
import { type LoadedRemote, loadRemote } from '../../../core/plugin-api.ts';
import type { Claim } from '../../../db/claims.ts';
import { sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import { atMost } from '../../../lib/cache-limit.ts';
import { withDeadline } from '../../../lib/deadline.ts';
import type { Digest } from '../../../lib/digest.ts';
import { singleFlight } from '../../../lib/single-flight.ts';
import type { Manifest } from '../oci/manifest.ts';
import { isManifestMediaType } from '../oci/media-types.ts';
import { isTag } from '../oci/reference.ts';
import type { Registry } from '../oci/registry-client.ts';
import { manifestUnknown, nameUnknown, RegistryError } from '../registry/registry-error.ts';
import { loadContainerRemote, openRepository } from '../sync/load-container-remote.ts';
import { cacheOf, isCache, letsThrough, type PullThroughCache, upstreamNameIn } from './cache.ts';
import { followCache } from './cached-repository.ts';
import { fetchManifest } from './fetched-manifest.ts';
import { keepManifest } from './keep-manifest.ts';
import { newsOf, outcomeIn, type PullOutcome } from './pull-outcome.ts';
import { failureOf } from './upstream-failure.ts';

/** What a client asks for that has to be looked for upstream. */
export interface PullWanted {
  /** Of the repository, here. */
  readonly name: string;
  /** Tag or digest. */
  readonly reference: string;
  /** What the name stands for: a repository that is there, or the cache that would make it. */
  readonly through: { readonly remote_id: string; readonly cache_id: string | null } | PullThroughCache;
  /** Indexes of the repository that list it. */
  readonly indexes: readonly Manifest[];
}

/** Where it is looked for. */
interface Source {
  readonly remote: LoadedRemote;
  readonly upstream_name: string;
  /** The cache that makes the repository where there is none. */
  readonly cache: PullThroughCache | undefined;
}

/** What is served now, as the rest of the registry sees it. */
export interface Served {
  /** The version of the repository that has the manifest; undefined where none is served, or it has none such. */
  find(name: string, reference: string): Promise<ServedVersion | undefined>;
  /** Hears of each repository that has a new version, before the client is answered. */
  published(name: string): Promise<void>;
}

type PullServices = Pick<Services, 'db' | 'storage' | 'config' | 'secrets' | 'log' | 'clock' | 'domain'>;

/** A fetch with all its retries. */
const FETCH_MS = 60_000;
/** How long a client waits to hear whether a tag has moved that is cached. */
const RENEWAL_MS = 5_000;
/** How long a client waits for referrers that are not cached: it may want to verify what it has pulled. */
const REFERRERS_MS = 10_000;
/** No retry waits longer, whatever the upstream asks for: clients have their own patience, and try again. */
const LONGEST_WAIT_MS = 2_000;
const MAX_FRESH = 100_000;
/** Tells of a tag that the upstream was asked for; the payload is its key. */
const FRESH_CHANNEL = 'deckle_pull_through';

const keyOf = (name: string, reference: string): string => `${name} ${reference}`;
/** In the place of a tag, where it is about the question what refers to a digest. */
const referrersOf = (digest: Digest): string => `referrers ${digest}`;

/** Brings manifests from upstream registries: each once, however many clients ask for it at a time, and whichever processes they ask. */
export class PullThrough {
  readonly #services: PullServices;
  readonly #served: Served;
  readonly #fly = singleFlight<string, ServedVersion | undefined>();
  readonly #asking = singleFlight<string, void>();
  readonly #running = new Set<Promise<unknown>>();
  /** By name and tag: until when it need not be asked for. */
  readonly #fresh = new LRUCache<string, number>(atMost(MAX_FRESH));
  readonly #closing = new AbortController();
  #stop: (() => Promise<void>) | undefined;

  constructor(services: PullServices, served: Served) {
    this.#services = services;
    this.#served = served;
  }

  /** Starts to hear which tags others have asked for. */
  async start(): Promise<void> {
    this.#stop = await this.#services.db.listen(FRESH_CHANNEL, (key) => this.#refresh(key));
  }

  /** Whether the upstream was asked for the tag so lately that it need not be asked again. */
  isFresh(name: string, tag: string): boolean {
    const until = this.#fresh.get(keyOf(name, tag));
    return until !== undefined && until > this.#services.clock().getTime();
  }

  /** Brings a manifest that is not cached. Answers the version that holds it; throws RegistryError where the upstream does not give it. */
  async pulled(wanted: PullWanted): Promise<ServedVersion> {
    const { name, reference } = wanted;
    // A flight that somebody else began for what was cached by then may have found nothing new.
    const version = (await this.#flight(wanted, undefined)) ?? (await this.#served.find(name, reference));
    if (!version) throw manifestUnknown(reference);
    return version;
  }

  /**
   * Asks whether a cached tag has moved. Answers the version that holds what it points at now; undefined where the upstream does not say, or
   * not in time: it is looked for on, and found by the next pull.
   */
  async renewed(wanted: PullWanted, digest: string): Promise<ServedVersion | undefined> {
    try {
      const flight = this.#flight(wanted, digest);
      const version = await withDeadline(flight, RENEWAL_MS, `the upstream did not answer within ${RENEWAL_MS / 1000} s`);
      // Who shares the flight may have begun it with a later image than this client has found.
      return version ?? (await this.#served.find(wanted.name, wanted.reference));
    } catch (error) {
      const { name, reference } = wanted;
      if (!this.isFresh(name, reference))
        this.#services.log.warn({ err: error, name, tag: reference }, 'a cached tag could not be renewed; it is served as it is');
      this.#refresh(keyOf(name, reference));
      return undefined;
    }
  }

  /** Whether the upstream was asked what refers to the digest so lately that it need not be asked again. */
  areReferrersFresh(name: string, digest: Digest): boolean {
    return this.isFresh(name, referrersOf(digest));
  }

  /**
   * Asks the upstream what refers to the digest, which is the `reference`; `bring` is told what its Referrers API lists, or undefined where it has
   * none. Once for all clients of this process that want to know, and not again for a while, whatever comes of it. What does not come in time
   * comes for the next client.
   */
  async bringReferrers(
    wanted: PullWanted,
    digest: Digest,
    bring: (listed: readonly Digest[] | undefined) => Promise<void>,
  ): Promise<void> {
    const { name } = wanted;
    const key = keyOf(name, referrersOf(digest));
    const work = async (): Promise<void> => {
      if (this.areReferrersFresh(name, digest)) return;
      await bring(await this.#askReferrers(wanted, digest));
      await this.#tellAsked(key);
    };
    try {
      const flight = this.#asking(key, () => this.#untilClosed(work()));
      await withDeadline(flight, REFERRERS_MS, `the upstream's referrers did not come within ${REFERRERS_MS / 1000} s`);
    } catch (error) {
      if (!this.areReferrersFresh(name, digest))
        this.#services.log.warn({ err: error, name, digest }, 'referrers could not be brought; those that are cached are listed');
      this.#refresh(key);
    }
  }

  /** Breaks off what is on its way and waits for its end. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the server is stopping'));
    await this.#stop?.();
    await Promise.allSettled(this.#running);
  }

  #refresh(key: string): void {
    const ms = this.#services.config.DECKLE_PULL_THROUGH_FRESH_SECONDS * 1000;
    this.#fresh.set(key, this.#services.clock().getTime() + ms);
  }

  #flight(wanted: PullWanted, cached: string | undefined): Promise<ServedVersion | undefined> {
    return this.#fly(keyOf(wanted.name, wanted.reference), () => this.#untilClosed(this.#bring(wanted, cached)));
  }

  /** The work, for which `close` waits. */
  #untilClosed<T>(work: Promise<T>): Promise<T> {
    const end = () => this.#running.delete(work);
    this.#running.add(work);
    work.then(end, end);
    return work;
  }

  /** Undefined where the tag is what is cached, which has the digest `cached`. */
  async #bring(wanted: PullWanted, cached: string | undefined): Promise<ServedVersion | undefined> {
    const { name, reference } = wanted;
    const { signal } = this.#closing;
    for (;;) {
      signal.throwIfAborted();
      const claim = await this.#services.db.claim(`pull-through ${keyOf(name, reference)}`, signal);
      if (claim.mine) return this.#bringForAll(wanted, cached, claim);
      const outcome = outcomeIn(await claim.over);
      if (outcome === 'brought') return this.#served.find(name, reference);
      if (outcome) throw outcome;
    }
  }

  #askReferrers(wanted: PullWanted, digest: Digest): Promise<readonly Digest[] | undefined> {
    return this.#upstream(wanted, async (registry, _source, signal) => {
      const entries = await registry.referrers(digest, signal);
      return entries?.flatMap((entry) => (isManifestMediaType(entry.mediaType) ? [entry.digest] : []));
    });
  }

  /** What one process does while the others wait. */
  async #bringForAll(wanted: PullWanted, cached: string | undefined, claim: Claim): Promise<ServedVersion | undefined> {
    const { name, reference } = wanted;
    let outcome: PullOutcome | undefined;
    try {
      // Asked again here, where nobody else can be fetching it: the flight that the caller just missed may have brought it.
      const known = isTag(reference) && !this.isFresh(name, reference) ? undefined : await this.#served.find(name, reference);
      const version = known ?? (await this.#fetch(wanted, cached));
      if (!known) await this.#asked(wanted, version);
      outcome = 'brought';
      return version;
    } catch (error) {
      const failure = failureOf(error, reference);
      if (cached === undefined && failure !== error)
        this.#services.log.warn({ err: error, name, reference }, 'the upstream did not give what was to be pulled through');
      if (failure instanceof RegistryError) outcome = failure;
      throw failure;
    } finally {
      await claim.release(outcome && newsOf(outcome));
    }
  }

  /** Tells the other processes what is so now; they know it before the claim ends. */
  async #asked({ name, reference }: PullWanted, version: ServedVersion | undefined): Promise<void> {
    const key = keyOf(name, reference);
    if (isTag(reference)) await this.#tellAsked(key);
    if (version) await this.#served.published(name);
  }

  async #tellAsked(key: string): Promise<void> {
    this.#refresh(key);
    await this.#services.db.query(sql`select pg_notify(${FRESH_CHANNEL}, ${key})`);
  }

  #fetch(wanted: PullWanted, cached: string | undefined): Promise<ServedVersion | undefined> {
    const { name, reference, indexes } = wanted;
    return this.#upstream(wanted, async (registry, { remote, cache }, signal) => {
      if (cached !== undefined && (await registry.head(reference, signal)) === cached) return undefined;
      const fetched = await fetchManifest(this.#services, registry, { reference, indexes }, signal);
      if (fetched.manifest.digest === cached) return undefined;
      const tag = isTag(reference) ? reference : undefined;
      return keepManifest(this.#services, { name, tag, fetched, indexes, maker: cache && { cache, remote } });
    });
  }

  /** Asks the upstream that has what is wanted, while this process runs and for no longer than a minute. */
  async #upstream<T>(
    wanted: PullWanted,
    ask: (registry: Registry, source: Source, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(FETCH_MS)]);
    const source = await this.#source(wanted);
    const place = { upstream_name: source.upstream_name, sigstore: null };
    const registry = openRepository(source.remote, place, this.#services, { longestWaitMs: LONGEST_WAIT_MS });
    try {
      return await ask(registry, source, signal);
    } finally {
      await registry.close();
    }
  }

  async #source({ name, reference, through }: PullWanted): Promise<Source> {
    if (isCache(through)) {
      const remote = await loadRemote(this.#services, through.remote_id);
      return { remote, upstream_name: upstreamNameIn(through, name), cache: through };
    }
    const cache = through.cache_id === null ? undefined : await cacheOf(this.#services, through.cache_id);
    if (through.cache_id !== null && !cache) throw nameUnknown(name);
    if (cache) await followCache(this.#services, cache, through.remote_id);
    const remote = await loadContainerRemote(this.#services, through.remote_id);
    if (cache && !letsThrough(cache, remote.upstream_name)) throw manifestUnknown(reference);
    return { remote, upstream_name: remote.upstream_name, cache: undefined };
  }
}
