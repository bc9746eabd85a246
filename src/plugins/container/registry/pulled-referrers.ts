import { forEachConcurrent } from '../../../lib/concurrent-map.ts';
import type { Digest } from '../../../lib/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { OCI_INDEX } from '../oci/media-types.ts';
import { fallbackTag } from '../oci/reference.ts';
import { isCache } from '../pull-through/cache.ts';
import { mayPullNew } from './pull-access.ts';
import { pulledManifest } from './pulled-manifest.ts';
import { RegistryError } from './registry-error.ts';
import type { ReadableRepository } from './request-access.ts';
import type { ServedRegistry } from './served-registry.ts';

const AT_ONCE = 4;
/** An image has a handful. More are not brought for somebody who wants to see a list. */
const MOST = 100;

/**
 * Has the referrers of a digest brought that the upstream lists, where the repository is pulled through: a client that is told of none looks no
 * further, and takes what is signed for unsigned. As with tags: if the client may have that done, and unless the upstream was asked lately.
 * While it does not answer, what is cached is all there is. Answers whether there may be a later version now.
 */
export async function bringReferrers(
  registry: ServedRegistry,
  repository: ReadableRepository,
  { name, digest }: { readonly name: string; readonly digest: Digest },
): Promise<boolean> {
  const { served, caller } = repository;
  const { pullThrough, services } = registry;
  if (isCache(served) || served.remote_id === null || pullThrough.areReferrersFresh(name, digest)) return false;
  if (!(await mayPullNew(services, await caller(), served))) return false;
  const { remote_id, cache_id } = served;
  const wanted = { name, reference: digest, through: { remote_id, cache_id }, indexes: [] };
  await pullThrough.bringReferrers(wanted, digest, async (listed) =>
    bring(registry, repository, name, listed ?? (await listedByTag(registry, repository, name, digest))),
  );
  return true;
}

/** What the fallback tag lists, where the upstream has that tag. */
async function listedByTag(
  registry: ServedRegistry,
  repository: ReadableRepository,
  name: string,
  digest: Digest,
): Promise<readonly Digest[]> {
  const list = await orAbsent(pulledManifest(registry, repository, { name, reference: fallbackTag(digest) }));
  return list ? parseManifest(list.body, { contentType: OCI_INDEX }).children.map((child) => child.digest) : [];
}

/** Brings manifests by their digests; one that the upstream lists and does not have is left out. */
async function bring(
  registry: ServedRegistry,
  repository: ReadableRepository,
  name: string,
  digests: readonly Digest[],
): Promise<void> {
  if (digests.length > MOST)
    registry.services.log.warn(
      { name, listed: digests.length, brought: MOST },
      'the upstream lists more referrers than are brought',
    );
  const one = (reference: Digest) => orAbsent(pulledManifest(registry, repository, { name, reference }));
  await forEachConcurrent(digests.slice(0, MOST), one, { limit: AT_ONCE });
}

/** Undefined where the upstream does not have it. */
async function orAbsent<T>(pull: Promise<T>): Promise<T | undefined> {
  try {
    return await pull;
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return undefined;
    throw error;
  }
}
