import { answerFile, type Http, UnavailableArtifactError, UnsettledFileError } from '../../../core/plugin-api.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Digest } from '../../../lib/digest.ts';
import { blobUnknown, RegistryError } from './registry-error.ts';
import type { ServedRegistry } from './served-registry.ts';

/**
 * Answers a GET or HEAD with a blob of the version: from the storage, or, where it is only known, from its upstream. Throws a
 * RegistryError before anything is sent: BLOB_UNKNOWN where the version does not hold it, 429 or 502 where no upstream gives it.
 */
export async function answerBlob(registry: ServedRegistry, http: Http, version: ServedVersion, digest: Digest): Promise<void> {
  const { blobs, onDemand, services } = registry;
  const house = { files: blobs.files, onDemand, log: services.log };
  const lookup = { find: () => blobs.find(version, digest), forget: () => blobs.forget(version, digest) };
  const answered = await answerFile(house, http, lookup).catch((error: unknown) => {
    throw registryErrorOf(error, digest);
  });
  if (!answered) throw blobUnknown(digest);
}

function registryErrorOf(error: unknown, digest: Digest): unknown {
  if (error instanceof UnsettledFileError) {
    return new RegistryError(503, 'UNAVAILABLE', 'The blob is being stored or removed; try again.', {
      headers: { 'retry-after': '1' },
    });
  }
  if (!(error instanceof UnavailableArtifactError)) return error;
  if (error.sources === 0) return blobUnknown(digest);
  if (error.retryAfter !== undefined) {
    return new RegistryError(429, 'TOOMANYREQUESTS', 'The blob is not stored here and its upstream takes no more requests now.', {
      detail: { digest },
      headers: { 'retry-after': error.retryAfter },
      cause: error,
    });
  }
  return new RegistryError(
    502,
    'UNAVAILABLE',
    'The blob is not stored here and its upstream does not give it now; the log tells why.',
    {
      detail: { digest },
      headers: { 'retry-after': '30' },
      cause: error,
    },
  );
}
