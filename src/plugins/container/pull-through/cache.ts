import type { ServedDistribution } from '../../../core/plugin-api.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import { selectReferences } from '../sync/reference-selection.ts';

/** A pull-through distribution, and what its remote says may be pulled. */
export interface PullThroughCache extends Pick<ServedDistribution, 'id' | 'base_path' | 'content_guard_id' | 'guard_type'> {
  readonly hidden: boolean;
  readonly private: boolean;
  readonly remote_id: string;
  /** Patterns of upstream repositories; null or none: all, or nothing is left out. */
  readonly includes: readonly string[] | null;
  readonly excludes: readonly string[] | null;
}

/** Tells a cache from what it has made. */
export const isCache = (one: PullThroughCache | { readonly cache_id: string | null }): one is PullThroughCache =>
  !('cache_id' in one);

type CacheServices = Pick<Services, 'db' | 'domain'>;

async function findCache({ db, domain }: CacheServices, where: Sql): Promise<PullThroughCache | undefined> {
  const [cache] = await db.query<PullThroughCache>(sql`
    select d.id, d.base_path, d.content_guard_id, guard.pulp_type as guard_type, d.hidden, c.private, d.remote_id, r.includes, r.excludes
    from distribution d join container_pull_through_distribution c on c.id = d.id
      join container_pull_through_remote r on r.id = d.remote_id
      left join content_guard guard on guard.id = d.content_guard_id
    where d.domain_id = ${domain.id}::uuid and ${where}`);
  return cache;
}

/** The cache of this id; undefined where it is gone, or has no remote any more. */
export const cacheOf = (services: CacheServices, id: string): Promise<PullThroughCache | undefined> =>
  findCache(services, sql`d.id = ${id}::uuid`);

/** The cache that a repository of this name would be made by: its base path begins the name, and its remote lets the rest through. */
export async function cacheAbove(services: CacheServices, name: string): Promise<PullThroughCache | undefined> {
  const parts = name.split('/');
  const prefixes = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
  if (prefixes.length === 0) return undefined;
  const cache = await findCache(services, sql`d.base_path = any(${prefixes}::text[])`);
  return cache && letsThrough(cache, upstreamNameIn(cache, name)) ? cache : undefined;
}

/** `cache/library/app` -> `library/app`: what the upstream calls the repository. */
export const upstreamNameIn = ({ base_path }: PullThroughCache, name: string): string => name.slice(base_path.length + 1);

/** Whether the remote's patterns let an upstream repository through. */
export const letsThrough = ({ includes, excludes }: PullThroughCache, upstreamName: string): boolean =>
  selectReferences(includes, excludes).takes(upstreamName);
