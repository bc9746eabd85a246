import { parseDigest } from '../../../lib/digest.ts';
import { isTag } from '../oci/reference.ts';
import { isCache } from '../pull-through/cache.ts';
import { indexesListing } from '../pull-through/listed-manifest.ts';
import type { PullWanted } from '../pull-through/pull-through.ts';
import type { StoredManifest } from './manifest.ts';
import { mayPullNew } from './pull-access.ts';
import type { ReadableRepository } from './request-access.ts';
import type { ServedDistribution } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';

/** Whether the upstream should be asked if the tag has moved. What a digest names never does. */
export const isToBeRenewed = (
  { pullThrough }: ServedRegistry,
  { remote_id, base_path }: Pick<ServedDistribution, 'remote_id' | 'base_path'>,
  reference: string,
): boolean => remote_id !== null && isTag(reference) && !pullThrough.isFresh(base_path, reference);

/**
 * The manifest that a client gets for a tag or digest; undefined where there is none. What a cache does not hold, or a tag that may have
 * moved, is looked for upstream, if the client may have that done: everybody else gets what is cached. Throws RegistryError where nothing is
 * cached and the upstream does not give it.
 */
export async function pulledManifest(
  registry: ServedRegistry,
  repository: ReadableRepository,
  { name, reference }: { readonly name: string; readonly reference: string },
): Promise<StoredManifest | undefined> {
  const { served, version } = repository;
  const { manifests, pullThrough } = registry;
  const stored = await manifests.find(version, reference);
  if (!isCache(served) && stored && !isToBeRenewed(registry, served, reference)) return stored;
  const wanted = await wantedFrom(registry, repository, name, reference);
  if (!wanted) return stored;
  const found = stored ? await pullThrough.renewed(wanted, stored.digest) : await pullThrough.pulled(wanted);
  return found ? manifests.find(found, reference) : stored;
}

/** Undefined where nothing is pulled through, or not for this client. */
async function wantedFrom(
  registry: ServedRegistry,
  { served, version, caller }: ReadableRepository,
  name: string,
  reference: string,
): Promise<PullWanted | undefined> {
  const { services } = registry;
  if (isCache(served))
    return (await mayPullNew(services, await caller(), served)) ? { name, reference, through: served, indexes: [] } : undefined;
  const { remote_id, cache_id } = served;
  if (remote_id === null) return undefined;
  const digest = parseDigest(reference);
  const indexes = digest ? await indexesListing(services.db, version, digest) : [];
  // What a cached index lists is part of it, for everybody who may pull it.
  if (indexes.length === 0 && !(await mayPullNew(services, await caller(), served))) return undefined;
  return { name, reference, through: { remote_id, cache_id }, indexes };
}
