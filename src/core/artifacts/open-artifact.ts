import { buffer } from 'node:stream/consumers';
import { LRUCache } from 'lru-cache';
import type { Claim, ForeignClaim } from '../../db/claims.ts';
import { sql } from '../../db/sql.ts';
import type { UpstreamStream } from '../../download/upstream.ts';
import { UpstreamError } from '../../download/upstream-error.ts';
import type { ContentFile } from '../../kit/served-file.ts';
import type { Services } from '../../kit/services.ts';
import { atMost } from '../../lib/cache-limit.ts';
import { type ChecksumName, checksumsOf } from '../../lib/checksums.ts';
import { inGroups } from '../../lib/in-groups.ts';
import { singleFlight } from '../../lib/single-flight.ts';
import { artifactKey } from '../../storage/layout.ts';
import type { PendingFile } from '../../storage/storage.ts';
import type { DownloadPolicy } from '../remotes/load-remote.ts';
import { failureIn, failureNews, growingFileIn, growingFileNews, WHOLE } from './fetch-news.ts';
import { Flight, type FlightReader } from './flight.ts';
import { HeldBody } from './held-body.ts';
import { assertStored, linkArtifacts, type StoredFile, saveArtifacts, storedFile } from './save-artifacts.ts';
import { UnavailableArtifactError } from './unavailable-artifact-error.ts';

/** Content whose bytes are not here. `proven` are checksums that the fetched body has when it has ended well. */
export type WantedArtifact = Pick<ContentFile, 'content_id' | 'repository_id' | 'name' | 'size' | 'proven' | 'fetchFrom'>;

/** A body that is on its way. */
export interface OpenArtifact {
  /** Bytes; undefined where neither descriptor nor upstream say. */
  readonly size: number | undefined;
  /** The bytes. Fails, before the last ones are given out, where they turn out wrong or break off. */
  readonly body: FlightReader;
}

interface Source {
  readonly remote_id: string;
  readonly policy: DownloadPolicy;
}

/** What is known of the content: where its file should be, and who has it. */
interface Whereabouts {
  readonly artifact: { readonly id: string; readonly file: string } | undefined;
  readonly sources: readonly Source[];
}

/** A fetch that has begun, for all processes. */
interface Fetch {
  readonly claim: Claim;
  readonly wanted: WantedArtifact;
  readonly source: Source;
  /** The artifact whose file is not there any more. */
  readonly lost: string | undefined;
}

/** A file that is durable, of content that does not know yet. */
interface Arrival {
  readonly content_id: string;
  readonly lost: string | undefined;
  readonly file: StoredFile;
}

/** Why a source is not asked, and until when, in milliseconds since 1970. */
interface Failure {
  readonly error: UpstreamError;
  readonly until: number;
}

/** A source that gave wrong bytes is not asked again for five minutes (as Pulp does), one that failed otherwise for half a minute. */
const WRONG_BYTES_MS = 300_000;
const FAILED_MS = 30_000;
const MAX_COOLING = 10_000;
/** A body of this size at most is held in memory until it is stored: ten thousands of small files cost a fraction of the work. */
const MAX_HELD_BYTES = 64 * 1024;
/** Rows of one statement. */
const MAX_GROUP = 500;

const NOT_STORED = 'content on demand was passed on and could not be stored';

const ifAbsent = (error: NodeJS.ErrnoException): undefined => {
  if (error.code !== 'ENOENT') throw error;
};
const isSmall = ({ size }: UpstreamStream): boolean => size !== undefined && size <= MAX_HELD_BYTES;

/** Fetches content that is known but not stored, when somebody asks for it. */
export class OnDemandArtifacts {
  readonly #services: Pick<Services, 'db' | 'storage' | 'config' | 'log' | 'clock' | 'domain'>;
  readonly #start = singleFlight<string, Flight | HeldBody | 'stored'>();
  readonly #flights = new Map<string, Flight | HeldBody>();
  readonly #record: (arrival: Arrival) => Promise<void>;
  readonly #work = new Set<Promise<void>>();
  readonly #cooling = new LRUCache<string, Failure>(atMost(MAX_COOLING));
  readonly #closing = new AbortController();

  constructor(services: Pick<Services, 'db' | 'storage' | 'config' | 'log' | 'clock' | 'domain'>) {
    this.#services = services;
    this.#record = inGroups((arrivals) => this.#recordAll(arrivals), MAX_GROUP);
  }

  /**
   * The bytes as they come from one of the content's remotes; whoever asks meanwhile shares the fetch. They are stored when they
   * are whole, which no client waits for, unless the remote's policy is `streamed`. 'stored': somebody has stored them meanwhile.
   * Throws UnavailableArtifactError.
   */
  async open(wanted: WantedArtifact): Promise<OpenArtifact | 'stored'> {
    const flight = this.#flights.get(wanted.content_id) ?? (await this.#start(wanted.content_id, () => this.#begin(wanted)));
    return flight === 'stored' ? flight : { size: flight.size, body: flight.read() };
  }

  /** Breaks off what is on its way and waits until it has cleaned up. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the server is stopping'));
    await Promise.all(this.#work);
  }

  async #begin(wanted: WantedArtifact): Promise<Flight | HeldBody | 'stored'> {
    const { signal } = this.#closing;
    for (;;) {
      signal.throwIfAborted();
      const claim = await this.#services.db.claim(`content ${wanted.content_id}`, signal);
      const begun = claim.mine ? await this.#fetch(wanted, claim) : await this.#join(wanted, claim);
      if (begun) return begun;
    }
  }

  /** What fetches it for all processes, and lets go of the claim when that is done. */
  async #fetch(wanted: WantedArtifact, claim: Claim): Promise<Flight | HeldBody | 'stored'> {
    try {
      const begun = await this.#ask(wanted, claim);
      if (begun === 'stored') await claim.release();
      return begun;
    } catch (error) {
      await claim.release(failureNews(error));
      throw error;
    }
  }

  async #ask(wanted: WantedArtifact, claim: Claim): Promise<Flight | HeldBody | 'stored'> {
    // Asked again here, where nobody else can be fetching: the fetch that the caller just missed may have stored it.
    const whereabouts = await this.#whereabouts(wanted);
    if (await this.#stored(whereabouts)) return 'stored';
    const { artifact, sources } = whereabouts;
    let cause: unknown;
    for (const source of sources) {
      const failure = this.#failureOf(wanted, source);
      if (failure) {
        cause = failure;
        continue;
      }
      const fetch: Fetch = { claim, wanted, source, lost: artifact?.id };
      let stream: UpstreamStream;
      try {
        stream = await wanted.fetchFrom(source.remote_id, this.#closing.signal);
        if (isSmall(stream)) return this.#hold(fetch, await buffer(stream.body));
      } catch (error) {
        cause = error;
        this.#cool(wanted, source, error);
        continue;
      }
      return this.#take(fetch, stream);
    }
    throw new UnavailableArtifactError(wanted.name, sources.length, cause);
  }

  /** Reads along what another process fetches. Undefined where there is nothing to read: it is stored by now, or to be fetched. */
  async #join(wanted: WantedArtifact, claim: ForeignClaim): Promise<Flight | undefined> {
    const growing = growingFileIn(await claim.told);
    const flight = growing && (await Flight.open(growing.size, growing.path).catch(ifAbsent));
    if (flight) {
      this.#atWork(wanted, flight, this.#follow(wanted, flight, claim));
      return flight;
    }
    const failure = failureIn(wanted.name, await claim.over);
    if (failure) throw failure;
    return undefined;
  }

  async #follow(wanted: WantedArtifact, flight: Flight, { over }: ForeignClaim): Promise<void> {
    try {
      // A process that is killed says nothing, and may have come to its end before.
      await flight.follow(over.then(async (news) => news === WHOLE || (await this.#stored(await this.#whereabouts(wanted)))));
    } catch (error) {
      flight.fail(error);
      this.#services.log.warn({ err: error, name: wanted.name }, 'content on demand that another process fetches broke off');
    } finally {
      this.#leave(wanted.content_id, flight);
      await flight.end();
    }
  }

  async #stored({ artifact }: Whereabouts): Promise<boolean> {
    return artifact !== undefined && (await this.#services.storage.size(artifact.file)) !== undefined;
  }

  /** A small body that has arrived: given out at once, and stored meanwhile. */
  #hold(fetch: Fetch, bytes: Buffer): HeldBody {
    const held = new HeldBody(bytes);
    this.#atWork(fetch.wanted, held, this.#keep(fetch, held));
    return held;
  }

  async #keep({ claim, wanted, source, lost }: Fetch, held: HeldBody): Promise<void> {
    const { bytes } = held;
    try {
      if (source.policy === 'streamed') return;
      const computed = checksumsOf(this.#missingChecksums(wanted), bytes);
      const file = storedFile(bytes.byteLength, { ...computed, ...wanted.proven });
      await this.#services.storage.putSmall([{ key: artifactKey(file.checksums.sha256), body: bytes }]);
      await this.#record({ content_id: wanted.content_id, lost, file });
    } catch (error) {
      this.#services.log.error({ err: error, name: wanted.name, remote_id: source.remote_id }, NOT_STORED);
    } finally {
      this.#leave(wanted.content_id, held);
      await claim.release();
    }
  }

  /** Whoever asks for the content gets `body` until the work with it is done. */
  #atWork({ content_id, name }: WantedArtifact, body: Flight | HeldBody, carrying: Promise<void>): void {
    this.#flights.set(content_id, body);
    const work = carrying
      .catch((error: unknown) => this.#services.log.error({ err: error, name }, 'cleaning up after content on demand failed'))
      .finally(() => {
        this.#leave(content_id, body);
        this.#work.delete(work);
      });
    this.#work.add(work);
  }

  /** Whoever asks from now on gets another one. */
  #leave(contentId: string, body: Flight | HeldBody): void {
    if (this.#flights.get(contentId) === body) this.#flights.delete(contentId);
  }

  #missingChecksums({ proven }: WantedArtifact): ChecksumName[] {
    return this.#services.config.PULP_ALLOWED_CONTENT_CHECKSUMS.filter((name) => proven[name] === undefined);
  }

  async #take(fetch: Fetch, stream: UpstreamStream): Promise<Flight> {
    const { claim, wanted, source } = fetch;
    const pending = await this.#services.storage.create().catch((error: unknown) => {
      stream.body.destroy();
      throw error;
    });
    try {
      if (pending.path === undefined) throw new Error('this storage has no temporary files that can be read while they grow');
      // Bytes that are to be stored are worth having even when nobody waits for them any more.
      const onDeserted = () =>
        source.policy === 'streamed' && !claim.wanted && stream.body.destroy(new Error('the client went away'));
      const size = wanted.size ?? stream.size;
      const flight = await Flight.open(size, pending.path, onDeserted);
      claim.tell(growingFileNews({ path: pending.path, size }));
      this.#atWork(wanted, flight, this.#carry(fetch, stream, flight, pending));
      return flight;
    } catch (error) {
      stream.body.destroy();
      await pending.abort();
      throw error;
    }
  }

  async #carry(
    { claim, wanted, source, lost }: Fetch,
    stream: UpstreamStream,
    flight: Flight,
    pending: PendingFile,
  ): Promise<void> {
    const { log } = this.#services;
    try {
      const computed = await flight.fill(stream.body, pending, this.#missingChecksums(wanted));
      if (source.policy !== 'streamed') {
        const file = storedFile(flight.written, { ...computed, ...wanted.proven });
        await pending.commit(artifactKey(file.checksums.sha256));
        await this.#record({ content_id: wanted.content_id, lost, file });
      }
    } catch (error) {
      const facts = { err: error, name: wanted.name, remote_id: source.remote_id };
      if (flight.whole) log.error(facts, NOT_STORED);
      else {
        this.#cool(wanted, source, error);
        stream.body.destroy();
        flight.fail(error);
        log.warn(facts, 'content on demand broke off; nothing stored');
      }
    } finally {
      this.#leave(wanted.content_id, flight);
      await flight.end();
      await pending.abort();
      await claim.release(flight.whole ? WHOLE : undefined);
    }
  }

  /** The files are durable; now the rows that say so. Bytes that came in another form than the lost ones take their place. */
  #recordAll(arrivals: readonly Arrival[]): Promise<void> {
    const { db, storage, domain } = this.#services;
    return db.transaction(async (tx) => {
      const files = arrivals.map(({ file }) => file);
      const ids = await saveArtifacts(tx, storage, domain.id, files);
      await assertStored(storage, files);
      const links = arrivals.map(({ content_id, lost, file: { checksums } }) => {
        const artifact_id = ids.get(checksums.sha256);
        if (artifact_id === undefined) throw new Error(`the artifact ${checksums.sha256} went while it was saved`);
        return { content_id, artifact_id, lost };
      });
      await linkArtifacts(tx, links);
    });
  }

  /** The remotes that have it: that of the repository it is asked of first, then the newest. */
  async #whereabouts({ content_id, repository_id }: WantedArtifact): Promise<Whereabouts> {
    type Row = { artifact_id: string | null; file: string | null; remote_id: string | null; policy: DownloadPolicy | null };
    const rows = await this.#services.db.query<Row>(sql`
      select a.id as artifact_id, a.file, r.id as remote_id, r.policy
      from content c
        left join artifact a on a.id = c.artifact_id
        left join remote_content rc on rc.content_id = c.id
        left join remote r on r.id = rc.remote_id
      where c.id = ${content_id}::uuid
      order by exists (select from repository p where p.id = ${repository_id}::uuid and p.remote_id = r.id) desc, r.id desc`);
    const [{ artifact_id, file } = { artifact_id: null, file: null }] = rows;
    return {
      artifact: artifact_id === null || file === null ? undefined : { id: artifact_id, file },
      sources: rows.flatMap(({ remote_id, policy }) => (remote_id === null || policy === null ? [] : [{ remote_id, policy }])),
    };
  }

  /** What a source has said that is not to be asked again yet. */
  #failureOf(wanted: WantedArtifact, source: Source): UpstreamError | undefined {
    const failure = this.#cooling.get(`${wanted.content_id} ${source.remote_id}`);
    return failure && failure.until > this.#services.clock().getTime() ? failure.error : undefined;
  }

  /** What went wrong on this side (a full disk, the database) is not the source's fault. */
  #cool(wanted: WantedArtifact, source: Source, error: unknown): void {
    if (!(error instanceof UpstreamError)) return;
    const wrong = error.kind === 'checksum' || error.kind === 'size';
    const until = this.#services.clock().getTime() + (wrong ? WRONG_BYTES_MS : FAILED_MS);
    this.#cooling.set(`${wanted.content_id} ${source.remote_id}`, { error, until });
  }
}
