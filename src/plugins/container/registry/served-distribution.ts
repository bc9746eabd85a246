import { LRUCache } from 'lru-cache';
import { REPOSITORY_CHANNEL } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';

/** A distribution and the version that it serves now. */
export interface ServedDistribution {
  readonly id: string;
  readonly base_path: string;
  readonly private: boolean;
  /** Null, as is `version`, where it serves nothing. */
  readonly repository_id: string | null;
  readonly version: number | null;
}

/** A version that can be read: what content is looked up in. */
export interface ServedVersion {
  readonly repository_id: string;
  readonly number: number;
}

/** Sent by every transaction that writes a distribution; the payload is the distribution's id. */
const DISTRIBUTION_CHANNEL = 'deckle_distribution';
const MAX_KEPT = 10_000;

/**
 * Finds distributions by base path and keeps them until a notification says that the distribution or its repository has
 * changed, whichever process changed it. While notifications cannot be received nothing is kept.
 */
export class ServedDistributions {
  readonly #services: Pick<Services, 'db' | 'config' | 'domain'>;
  readonly #kept = new LRUCache<string, ServedDistribution>({ max: MAX_KEPT });
  readonly #connected = new Set<string>();
  readonly #stops: (() => Promise<void>)[] = [];
  /** Counts the notifications: what was read before one came must not be kept after it. */
  #changes = 0;

  constructor(services: Pick<Services, 'db' | 'config' | 'domain'>) {
    this.#services = services;
  }

  /** Starts to keep what is found. Resolves when both channels are listened to, or could not be reached (they are tried again). */
  async start(): Promise<void> {
    if (!this.#services.config.PULP_CACHE_ENABLED) return;
    await Promise.all([
      this.#listen(REPOSITORY_CHANNEL, (one, id) => one.repository_id === id),
      this.#listen(DISTRIBUTION_CHANNEL, (one, id) => one.id === id),
    ]);
  }

  async close(): Promise<void> {
    await Promise.all(this.#stops.splice(0).map((stop) => stop()));
    this.#connected.clear();
    this.#kept.clear();
  }

  /** What is kept under the base path. */
  cached(basePath: string): ServedDistribution | undefined {
    return this.#kept.get(basePath);
  }

  async find(basePath: string): Promise<ServedDistribution | undefined> {
    const kept = this.#kept.get(basePath);
    if (kept) return kept;
    const changes = this.#changes;
    const { db, domain } = this.#services;
    const [found] = await db.query<ServedDistribution>(sql`
      select d.id, d.base_path, c.private,
        coalesce(d.repository_id, pinned.repository_id) as repository_id,
        coalesce(pinned.number,
          (select max(latest.number) from repository_version latest where latest.repository_id = d.repository_id)) as version
      from distribution d
        join container_distribution c on c.id = d.id
        left join repository_version pinned on pinned.id = d.repository_version_id
      where d.domain_id = ${domain.id}::uuid and d.base_path = ${basePath}`);
    if (found && this.#connected.size === 2 && changes === this.#changes) this.#kept.set(basePath, found);
    return found;
  }

  async #listen(channel: string, concerns: (one: ServedDistribution, id: string) => boolean): Promise<void> {
    const stop = await this.#services.db.listen(
      channel,
      (id) => {
        this.#changes += 1;
        for (const [path, one] of this.#kept.entries()) if (concerns(one, id)) this.#kept.delete(path);
      },
      (connected) => {
        this.#changes += 1;
        this.#kept.clear();
        if (connected) this.#connected.add(channel);
        else this.#connected.delete(channel);
      },
    );
    this.#stops.push(stop);
  }
}

/** The version that the distribution serves; undefined where it serves none. */
export const servedVersion = (distribution: ServedDistribution): ServedVersion | undefined =>
  distribution.repository_id === null || distribution.version === null
    ? undefined
    : { repository_id: distribution.repository_id, number: distribution.version };
