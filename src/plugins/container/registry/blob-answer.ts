import type { IncomingMessage, ServerResponse } from 'node:http';
import { type OpenArtifact, UnavailableArtifactError } from '../../../core/plugin-api.ts';
import type { Digest } from '../../../lib/digest.ts';
import { blobHeaders, isStored, type KnownBlob } from './blob.ts';
import { writeChunk } from './blob-body.ts';
import { blobUnknown, RegistryError } from './registry-error.ts';
import type { ServedVersion } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';

interface Http {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** How often an answer looks again because a blob was stored, or taken away, between two steps. */
const TRIES = 3;

/**
 * Answers a GET or HEAD with a blob of the version: from the storage, or, where it is only known, from its upstream. Throws a
 * RegistryError before anything is sent: BLOB_UNKNOWN where the version does not hold it, 502 where no upstream gives it.
 */
export async function answerBlob(registry: ServedRegistry, http: Http, version: ServedVersion, digest: Digest): Promise<void> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const blob = await registry.blobs.find(version, digest);
    if (!blob) throw blobUnknown(digest);
    if (isStored(blob)) {
      if (await registry.blobs.send(http.request, http.response, blob)) return;
      registry.services.log.error({ digest, file: blob.file }, 'stored file is missing; fetching it again');
      registry.blobs.forget(version, digest);
    }
    if (await answerFromUpstream(registry, http, version, blob)) return;
  }
  throw new RegistryError(503, 'UNAVAILABLE', 'The blob is being stored or removed; try again.', {
    headers: { 'retry-after': '1' },
  });
}

/** False, with nothing sent, where the blob turns out to be stored meanwhile. */
async function answerFromUpstream(
  registry: ServedRegistry,
  { request, response }: Http,
  version: ServedVersion,
  blob: KnownBlob,
): Promise<boolean> {
  if (request.method === 'HEAD') {
    response.writeHead(200, headersOf(blob, blob.size));
    response.end();
    return true;
  }
  const opened = await open(registry, version, blob);
  if (opened === 'stored') return false;
  await relay(registry, { request, response }, opened, blob);
  return true;
}

/** Sends what comes. A body that fails before its first bytes is still answered in words; later only a broken connection is left. */
async function relay(registry: ServedRegistry, { response }: Http, { body, size }: OpenArtifact, blob: KnownBlob): Promise<void> {
  const leave = () => void body.return();
  response.once('close', leave);
  try {
    let step = await body.next().catch((error: unknown) => {
      throw unavailable(blob.digest, error);
    });
    response.writeHead(200, headersOf(blob, size));
    for (; !step.done; step = await body.next()) if (!(await writeChunk(response, step.value))) break;
    response.end();
  } catch (error) {
    if (!response.headersSent) throw error;
    // The length was promised: the broken connection tells the client. The cause is logged where it was noticed.
    registry.services.log.debug({ err: error, digest: blob.digest }, 'client cut off');
    response.destroy();
  } finally {
    response.off('close', leave);
    await body.return();
  }
}

const headersOf = (blob: KnownBlob, size: number | null | undefined): Record<string, string> => ({
  ...blobHeaders(blob.digest),
  ...(typeof size === 'number' ? { 'Content-Length': String(size) } : {}),
});

const unavailable = (digest: string, cause: unknown): RegistryError =>
  new RegistryError(502, 'UNAVAILABLE', 'The blob is not stored here and its upstream does not give it now; the log tells why.', {
    detail: { digest },
    headers: { 'retry-after': '30' },
    cause,
  });

async function open(registry: ServedRegistry, version: ServedVersion, blob: KnownBlob) {
  const { content_id, digest, size } = blob;
  try {
    const wanted = { content_id, digest, size, repository_id: version.repository_id };
    return await registry.onDemand.open(wanted, registry.upstreams.fetcher(blob));
  } catch (error) {
    if (!(error instanceof UnavailableArtifactError)) throw error;
    registry.services.log.warn({ err: error, digest }, 'blob on demand not available');
    if (error.sources === 0) throw blobUnknown(digest);
    throw unavailable(digest, error);
  }
}
