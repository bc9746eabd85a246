import { UpstreamError, type UpstreamErrorKind } from '../../../download/upstream-error.ts';
import { MissingFileError } from '../../../storage/storage.ts';
import { RegistryError as UpstreamContentError } from '../oci/registry-error.ts';
import { manifestUnknown, RegistryError } from '../registry/registry-error.ts';

/** Seconds after which a client may try again where the upstream does not say. */
const RETRY_SECONDS = '60';
const UNREACHABLE: ReadonlySet<UpstreamErrorKind> = new Set(['refused', 'dns', 'connection', 'timeout']);

/**
 * What a client is told whose pull the upstream did not answer well, and for whom nothing is cached (spec: registry, pull-through cache).
 * Answers what is no failure of an upstream as it is.
 */
export function failureOf(error: unknown, reference: string): unknown {
  // The fetch had its time; nothing else aborts with this.
  if (error instanceof DOMException && error.name === 'TimeoutError') return unreachable(reference, error);
  if (error instanceof UpstreamContentError)
    return badGateway(`The upstream's answer cannot be used: ${error.message}`, reference, error);
  if (error instanceof MissingFileError) return removedMeanwhile(reference, error);
  if (!(error instanceof UpstreamError)) return error;
  if (error.status === 404) return manifestUnknown(reference);
  if (error.status === 429) {
    return new RegistryError(429, 'TOOMANYREQUESTS', 'The upstream takes no more requests now; nothing is cached yet.', {
      detail: { reference },
      headers: { 'retry-after': error.retryAfter ?? RETRY_SECONDS },
      cause: error,
    });
  }
  if (UNREACHABLE.has(error.kind)) return unreachable(reference, error);
  return badGateway(`The upstream did not give the manifest: ${error.message}`, reference, error);
}

/** A cleanup took the config for a leftover before its row was written. */
const removedMeanwhile = (reference: string, cause: unknown): RegistryError =>
  new RegistryError(503, 'UNAVAILABLE', 'What was fetched was removed while it was stored; try again.', {
    detail: { reference },
    headers: { 'retry-after': '1' },
    cause,
  });

const unreachable = (reference: string, cause: unknown): RegistryError =>
  new RegistryError(504, 'UNAVAILABLE', 'The upstream does not answer; nothing is cached yet.', { detail: { reference }, cause });

const badGateway = (message: string, reference: string, cause: unknown): RegistryError =>
  new RegistryError(502, 'UNAVAILABLE', message, { detail: { reference }, cause });
