import type { Caller } from '../../../kit/api.ts';
import type { Services } from '../../../kit/services.ts';
import { cacheAbove, isCache, type PullThroughCache } from '../pull-through/cache.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { pullThroughDistribution } from '../resources/pull-through-distribution.ts';
import type { ServedDistribution } from './served-distribution.ts';

type AccessServices = Pick<Services, 'access' | 'db' | 'domain' | 'catalog'>;

const askedBy = (services: AccessServices, caller: Caller | null) => ({ services, caller, body: undefined, params: {} });

/** Whether the caller (null: nobody) may have the cache bring what it does not have. */
const mayPullThrough = (services: AccessServices, caller: Caller | null, cacheId: string): Promise<boolean> =>
  services.access.may(askedBy(services, caller), pullThroughDistribution, 'pull_new_distribution', { id: cacheId });

/**
 * Whether the caller (null: nobody) may pull what has the name: a distribution, or what a cache would bring. Who may pull through a cache may
 * pull all that it has made.
 */
export async function mayPull(
  services: AccessServices,
  caller: Caller | null,
  name: string,
  distribution: ServedDistribution | undefined,
): Promise<boolean> {
  const cache = distribution ? undefined : await cacheAbove(services, name);
  if (cache) return mayPullThrough(services, caller, cache.id);
  const row = distribution && { ...distribution };
  if (await services.access.may(askedBy(services, caller), containerDistribution, 'pull', row)) return true;
  return distribution !== undefined && distribution.cache_id !== null && mayPullThrough(services, caller, distribution.cache_id);
}

/** Whether the caller may have brought what is not cached yet: by a right on the cache, or on the namespace of what it has made. */
export async function mayPullNew(
  services: AccessServices,
  caller: Caller | null,
  through: ServedDistribution | PullThroughCache,
): Promise<boolean> {
  if (isCache(through)) return mayPullThrough(services, caller, through.id);
  if (await services.access.may(askedBy(services, caller), containerDistribution, 'pull_new_content', { ...through }))
    return true;
  return through.cache_id !== null && mayPullThrough(services, caller, through.cache_id);
}
