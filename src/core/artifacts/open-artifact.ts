import { LRUCache } from 'lru-cache';
import { sql } from '../../db/sql.ts';
import type { ChecksumName, UpstreamStream } from '../../download/upstream.ts';
import { UpstreamError } from '../../download/upstream-error.ts';
import type { ContentFile } from '../../kit/served-file.ts';
import type { Services } from '../../kit/services.ts';
import { singleFlight } from '../../lib/single-flight.ts';
import { artifactKey } from '../../storage/layout.ts';
import type { PendingFile } from '../../storage/storage.ts';
import type { DownloadPolicy } from '../remotes/load-remote.ts';
import { Flight, type FlightReader } from './flight.ts';
import { linkArtifacts, saveArtifacts } from './save-artifacts.ts';

/** Content whose bytes are not here. `proven` are checksums that the fetched body has when it has ended well. */
export type WantedArtifact = Pick<ContentFile, 'content_id' | 'repository_id' | 'name' | 'size' | 'proven' | 'fetchFrom'>;

/** A body that is on its way. */
export interface OpenArtifact {
  /** Bytes; undefined where neither descriptor nor upstream say. */
  readonly size: number | undefined;
  /** The bytes. Fails, before the last ones are given out, where they turn out wrong or break off. */
  readonly body: FlightReader;
}

/** No remote has the bytes, or none can be asked now. The cause is what the last one said. */
export class UnavailableArtifactError extends Error {
  override readonly name = 'UnavailableArtifactError';
  /** Remotes that are known to have it; with 0 there is nobody to ask. */
  readonly sources: number;
  constructor(wanted: string, sources: number, cause?: unknown) {
    super(
      sources === 0
        ? `${wanted} is not stored and no remote is known to have it; sync its repository again`
        : `${wanted} is not stored and ${sources === 1 ? 'its remote does not give' : `none of its ${sources} remotes gives`} it now`,
      { cause },
    );
    this.sources = sources;
  }
}

interface Source {
  readonly remote_id: string;
  readonly policy: DownloadPolicy;
}

/** A fetch that has begun. */
interface Fetch {
  readonly wanted: WantedArtifact;
  readonly source: Source;
  readonly stream: UpstreamStream;
  /** The artifact whose file is not there any more. */
  readonly lost: string | undefined;
}

/** A source that gave wrong bytes is not asked again for five minutes (as Pulp does), one that failed otherwise for half a minute. */
const WRONG_BYTES_MS = 300_000;
const FAILED_MS = 30_000;
const MAX_COOLING = 100_000;

/** Fetches content that is known but not stored, when somebody asks for it. */
export class OnDemandArtifacts {
  readonly #services: Pick<Services, 'db' | 'storage' | 'config' | 'log' | 'clock' | 'domain'>;
  readonly #start = singleFlight<string, Flight | 'stored'>();
  readonly #flights = new Map<string, Flight>();
  readonly #work = new Set<Promise<void>>();
  readonly #cooling = new LRUCache<string, number>({ max: MAX_COOLING });
  readonly #closing = new AbortController();

  constructor(services: Pick<Services, 'db' | 'storage' | 'config' | 'log' | 'clock' | 'domain'>) {
    this.#services = services;
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

  async #begin(wanted: WantedArtifact): Promise<Flight | 'stored'> {
    // Asked again here, where nobody else can be fetching: the fetch that the caller just missed may have stored it.
    const artifact = await this.#artifactOf(wanted);
    if (artifact && (await this.#services.storage.size(artifact.file)) !== undefined) return 'stored';
    const sources = await this.#sources(wanted);
    let cause: unknown;
    for (const source of sources) {
      if (this.#isCooling(wanted, source)) continue;
      let stream: UpstreamStream;
      try {
        stream = await wanted.fetchFrom(source.remote_id, this.#closing.signal);
      } catch (error) {
        cause = error;
        this.#cool(wanted, source, error);
        continue;
      }
      return this.#take({ wanted, source, stream, lost: artifact?.id });
    }
    throw new UnavailableArtifactError(wanted.name, sources.length, cause);
  }

  async #take(fetch: Fetch): Promise<Flight> {
    const { wanted, source, stream } = fetch;
    const pending = await this.#services.storage.create().catch((error: unknown) => {
      stream.body.destroy();
      throw error;
    });
    try {
      if (pending.path === undefined) throw new Error('this storage has no temporary files that can be read while they grow');
      // Bytes that are to be stored are worth having even when nobody waits for them any more.
      const onDeserted = () => source.policy === 'streamed' && stream.body.destroy(new Error('the client went away'));
      const flight = await Flight.open(wanted.size ?? stream.size, pending, pending.path, onDeserted);
      this.#flights.set(wanted.content_id, flight);
      const work = this.#carry(fetch, flight, pending).finally(() => this.#work.delete(work));
      this.#work.add(work);
      return flight;
    } catch (error) {
      stream.body.destroy();
      await pending.abort();
      throw error;
    }
  }

  async #carry(fetch: Fetch, flight: Flight, pending: PendingFile): Promise<void> {
    const { wanted, source, stream } = fetch;
    const { config, log } = this.#services;
    try {
      const names = new Set<ChecksumName>(['sha256', ...config.PULP_ALLOWED_CONTENT_CHECKSUMS]);
      const computed = await flight.fill(
        stream.body,
        [...names].filter((name) => wanted.proven[name] === undefined),
      );
      const checksums = { ...computed, ...wanted.proven };
      if (source.policy !== 'streamed') {
        await pending.commit(artifactKey(checksums.sha256));
        await this.#record(fetch, flight.written, checksums);
      }
    } catch (error) {
      const facts = { err: error, name: wanted.name, remote_id: source.remote_id };
      if (flight.whole) log.error(facts, 'content on demand was passed on and could not be stored');
      else {
        this.#cool(wanted, source, error);
        stream.body.destroy();
        flight.fail(error);
        log.warn(facts, 'content on demand broke off; nothing stored');
      }
    } finally {
      this.#flights.delete(wanted.content_id);
      await flight.end();
      await pending.abort();
    }
  }

  /** The file is durable; now the rows that say so. Bytes that came in another form than the lost ones take their place. */
  #record({ wanted: { content_id }, lost }: Fetch, size: number, checksums: Record<ChecksumName, string>): Promise<void> {
    const { db, domain } = this.#services;
    return db.transaction(async (tx) => {
      const ids = await saveArtifacts(tx, domain.id, [{ size, checksums }]);
      const artifact_id = ids.get(checksums.sha256);
      if (artifact_id === undefined) throw new Error(`the artifact ${checksums.sha256} went while it was saved`);
      if (lost === undefined) await linkArtifacts(tx, [{ content_id, artifact_id }]);
      else
        await tx.execute(sql`
          update content set artifact_id = ${artifact_id}::uuid where id = ${content_id}::uuid and artifact_id = ${lost}::uuid`);
    });
  }

  async #artifactOf({ content_id }: WantedArtifact): Promise<{ readonly id: string; readonly file: string } | undefined> {
    const [row] = await this.#services.db.query<{ id: string; file: string }>(sql`
      select a.id, a.file from content c join artifact a on a.id = c.artifact_id where c.id = ${content_id}::uuid`);
    return row;
  }

  #sources({ content_id, repository_id }: WantedArtifact): Promise<Source[]> {
    return this.#services.db.query<Source>(sql`
      select r.id as remote_id, r.policy
      from remote_content rc join remote r on r.id = rc.remote_id
      where rc.content_id = ${content_id}::uuid
      order by exists (select from repository p where p.id = ${repository_id}::uuid and p.remote_id = r.id) desc, r.id desc`);
  }

  #isCooling(wanted: WantedArtifact, source: Source): boolean {
    const until = this.#cooling.get(`${wanted.content_id} ${source.remote_id}`);
    return until !== undefined && until > this.#services.clock().getTime();
  }

  /** What went wrong on this side (a full disk, the database) is not the source's fault. */
  #cool(wanted: WantedArtifact, source: Source, error: unknown): void {
    if (!(error instanceof UpstreamError)) return;
    const wrong = error.kind === 'checksum' || error.kind === 'size';
    const until = this.#services.clock().getTime() + (wrong ? WRONG_BYTES_MS : FAILED_MS);
    this.#cooling.set(`${wanted.content_id} ${source.remote_id}`, until);
  }
}
