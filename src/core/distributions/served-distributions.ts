import { LRUCache } from 'lru-cache';
import { empty, type Sql, sql } from '../../db/sql.ts';
import type { ServedVersion } from '../../kit/served-file.ts';
import type { Services } from '../../kit/services.ts';
import { atMost } from '../../lib/cache-limit.ts';
import { REPOSITORY_CHANNEL } from '../repositories/repository-lock.ts';

/** A distribution and the version that it serves now. */
export interface ServedDistribution {
  readonly id: string;
  readonly pulp_type: string;
  readonly base_path: string;
  /** Null, as is its type, where everybody may read. */
  readonly content_guard_id: string | null;
  readonly guard_type: string | null;
  /** Null, as is `version`, where it serves nothing. */
  readonly repository_id: string | null;
  readonly version: number | null;
  /** Whether it serves one version for good, not the latest. */
  readonly pinned: boolean;
}

/** What a kind of distribution adds: columns, each after a comma, and the joins they need. `d` is the distribution. */
export interface OwnColumns {
  readonly columns: Sql;
  readonly joins: Sql;
}

/** Sent by every transaction that writes a distribution; the payload is the distribution's id, or stands for all of them. */
export const DISTRIBUTION_CHANNEL = 'deckle_distribution';
export const ALL_DISTRIBUTIONS = '*';
const MAX_KEPT = 10_000;

/**
 * Finds distributions by base path and keeps them until a notification says that the distribution or its repository has
 * changed, whichever process changed it; a new latest version takes the place of the one that is kept. While notifications
 * cannot be received nothing is kept.
 */
export class ServedDistributions<Own extends object = object> {
  readonly #services: Pick<Services, 'db' | 'config' | 'domain'>;
  readonly #own: OwnColumns;
  readonly #keeps: boolean;
  readonly #kept = new LRUCache<string, ServedDistribution & Own>(atMost(MAX_KEPT));
  readonly #stops: (() => Promise<void>)[] = [];
  /** Counts the notifications: what was read before one came must not be kept after it. */
  #changes = 0;

  constructor(services: Pick<Services, 'db' | 'config' | 'domain'>, own: OwnColumns = { columns: empty, joins: empty }) {
    this.#services = services;
    this.#own = own;
    this.#keeps = services.config.PULP_CACHE_ENABLED;
  }

  /** Starts to keep what is found. Resolves when both channels are listened to, or could not be reached (they are tried again). */
  async start(): Promise<void> {
    if (!this.#keeps) return;
    await Promise.all([
      this.#listen(REPOSITORY_CHANNEL, (payload) => {
        const [id, latest] = payload.split(' ');
        return (one) => {
          if (one.repository_id !== id) return one;
          return latest === undefined ? undefined : atVersion(one, Number(latest));
        };
      }),
      this.#listen(DISTRIBUTION_CHANNEL, (id) => (one) => (one.id === id || id === ALL_DISTRIBUTIONS ? undefined : one)),
    ]);
  }

  async close(): Promise<void> {
    await Promise.all(this.#stops.splice(0).map((stop) => stop()));
    this.#kept.clear();
  }

  /** What is kept under the base path. */
  cached(basePath: string): (ServedDistribution & Own) | undefined {
    return this.#services.db.upToDate() ? this.#kept.get(basePath) : undefined;
  }

  /** Forgets what is kept under the base path: this process need not wait to be told of its own change. */
  forget(basePath: string): void {
    this.#changes += 1;
    this.#kept.delete(basePath);
  }

  /**
   * The distribution at one of the base paths. Base paths do not overlap, so that of those that begin one path there is one at most, or two:
   * a cache, which serves nothing itself, and what it has made.
   */
  async find(...basePaths: readonly string[]): Promise<(ServedDistribution & Own) | undefined> {
    for (const basePath of basePaths.toReversed()) {
      const kept = this.cached(basePath);
      if (kept) return kept;
    }
    const changes = this.#changes;
    const { db, domain } = this.#services;
    const [found] = await db.query<ServedDistribution & Own>(sql`
      select d.id, d.pulp_type, d.base_path, d.content_guard_id, guard.pulp_type as guard_type,
        coalesce(d.repository_id, pinned.repository_id) as repository_id,
        coalesce(pinned.number,
          (select max(latest.number) from repository_version latest where latest.repository_id = d.repository_id)) as version,
        d.repository_version_id is not null as pinned
        ${this.#own.columns}
      from distribution d
        left join content_guard guard on guard.id = d.content_guard_id
        left join repository_version pinned on pinned.id = d.repository_version_id
        ${this.#own.joins}
      where d.domain_id = ${domain.id}::uuid and d.base_path = any(${basePaths}::text[])
      order by length(d.base_path) desc limit 1`);
    if (found && this.#keeps && changes === this.#changes) this.#kept.set(found.base_path, found);
    return found;
  }

  /** `after` answers what becomes of each that is kept; undefined: it is forgotten. */
  async #listen(
    channel: string,
    after: (payload: string) => (one: ServedDistribution & Own) => (ServedDistribution & Own) | undefined,
  ): Promise<void> {
    const stop = await this.#services.db.listen(
      channel,
      (payload) => {
        this.#changes += 1;
        const become = after(payload);
        const changed = new Map<string, (ServedDistribution & Own) | undefined>();
        for (const [path, one] of this.#kept.entries()) {
          const now = become(one);
          if (now !== one) changed.set(path, now);
        }
        for (const [path, now] of changed) {
          if (now) this.#kept.set(path, now);
          else this.#kept.delete(path);
        }
      },
      () => {
        this.#changes += 1;
        this.#kept.clear();
      },
    );
    this.#stops.push(stop);
  }
}

const atVersion = <One extends ServedDistribution>(one: One, latest: number): One =>
  one.pinned ? one : { ...one, version: latest };

/** The version that the distribution serves; undefined where it serves none. */
export const servedVersion = (distribution: ServedDistribution): ServedVersion | undefined =>
  distribution.repository_id === null || distribution.version === null
    ? undefined
    : { repository_id: distribution.repository_id, number: distribution.version };
