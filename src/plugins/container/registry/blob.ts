import { open } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { LRUCache } from 'lru-cache';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import { parseRange } from '../../../lib/http-range.ts';
import { MissingFileError } from '../../../storage/storage.ts';
import { readSmall, streamFile } from './blob-body.ts';
import { matchesEtag, STANDING_HEADERS } from './headers.ts';
import { errorBody, RegistryError } from './registry-error.ts';
import type { ServedVersion } from './served-distribution.ts';
import { inVersion } from './version-content.ts';

/** A blob of a version. */
export interface KnownBlob {
  readonly content_id: string;
  readonly digest: Digest;
  /** Bytes; null where no descriptor says (a layer of schema 1 that is not stored). */
  readonly size: number | null;
  /** Key of the stored file; null while the blob is only known. */
  readonly file: string | null;
}

/** A blob whose bytes are here. */
export interface StoredBlob extends KnownBlob {
  readonly size: number;
  readonly file: string;
}

/** Bytes from `start`, or an answer without a body. */
interface Plan {
  readonly status: 200 | 206 | 304 | 416;
  readonly start: number;
  readonly length: number;
  readonly headers: Record<string, string>;
}

const SMALL_BYTES = 64 * 1024;
const BODY_CACHE_BYTES = 64 * 1024 * 1024;
const MAX_KNOWN = 100_000;
const REDIRECT_SECONDS = 3600;

const openFile = promisify(open);
export const isStored = (blob: KnownBlob): blob is StoredBlob => blob.file !== null && blob.size !== null;
const isMissing = (error: unknown): boolean =>
  error instanceof MissingFileError || (error as NodeJS.ErrnoException).code === 'ENOENT';
const keyOf = (version: ServedVersion, digest: string): string => `${version.repository_id} ${version.number} ${digest}`;

/** Blobs by version and digest, and their bytes from the storage. */
export class Blobs {
  readonly #services: Pick<Services, 'db' | 'storage' | 'config' | 'log'>;
  readonly #known: LRUCache<string, StoredBlob> | undefined;
  readonly #bodies: LRUCache<string, Buffer> | undefined;

  constructor(services: Pick<Services, 'db' | 'storage' | 'config' | 'log'>) {
    this.#services = services;
    if (!services.config.PULP_CACHE_ENABLED) return;
    this.#known = new LRUCache({ max: MAX_KNOWN });
    this.#bodies = new LRUCache({ maxSize: BODY_CACHE_BYTES, sizeCalculation: (body) => body.byteLength + 256 });
  }

  /** A stored blob that was found in this version before. A version never changes; only the file may be taken back. */
  cached(version: ServedVersion, digest: string): StoredBlob | undefined {
    return this.#known?.get(keyOf(version, digest));
  }

  /** The blob, if the version holds it: a digest that another repository has is unknown here. */
  async find(version: ServedVersion, digest: Digest): Promise<KnownBlob | undefined> {
    const known = this.cached(version, digest);
    if (known) return known;
    const [blob] = await this.#services.db.query<KnownBlob>(sql`
      select b.id as content_id, b.digest, coalesce(a.size, b.size) as size, a.file
      from container_blob b
        join content c on c.id = b.id
        join repository_content rc on rc.content_id = b.id
        left join artifact a on a.id = c.artifact_id
      where b.digest = ${digest} and ${inVersion(version)}`);
    if (blob && isStored(blob)) this.#known?.set(keyOf(version, digest), blob);
    return blob;
  }

  /** Forgets where the blob is, for the next request to look again. */
  forget(version: ServedVersion, digest: string): void {
    this.#known?.delete(keyOf(version, digest));
    this.#bodies?.delete(digest);
  }

  /**
   * Answers a GET or HEAD with a stored blob, in this turn of the event loop, if that can be: small, and in memory or on a local disk.
   * False where it cannot, or where the file is gone; nothing is sent then.
   */
  sendSmall(request: IncomingMessage, response: ServerResponse, blob: StoredBlob): boolean {
    if (blob.size > SMALL_BYTES) return false;
    let body = this.#bodies?.get(blob.digest);
    if (!body) {
      const path = this.#services.storage.localPath(blob.file);
      if (path === undefined) return false;
      try {
        body = readSmall(path, 0, blob.size);
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
      this.#bodies?.set(blob.digest, body);
    }
    const plan = planOf(request, blob);
    response.writeHead(plan.status, plan.headers);
    response.end(request.method === 'HEAD' || plan.length === 0 ? tailOf(plan, request) : part(body, plan));
    return true;
  }

  /**
   * Answers a GET or HEAD with a stored blob of any size: where the storage has a public URL by a redirect to it, else with the bytes, or
   * the range of them that is asked for. False, with nothing sent, where the file is gone.
   */
  async send(request: IncomingMessage, response: ServerResponse, blob: StoredBlob): Promise<boolean> {
    if (this.sendSmall(request, response, blob)) return true;
    const { storage } = this.#services;
    const location = await storage.redirectUrl(blob.file, {
      filename: blob.digest,
      contentType: 'application/octet-stream',
      expiresInSeconds: REDIRECT_SECONDS,
    });
    const plan = planOf(request, blob);
    if (location !== undefined && request.method === 'GET' && (plan.status === 200 || plan.status === 206)) {
      response.writeHead(307, {
        ...STANDING_HEADERS,
        'Docker-Content-Digest': blob.digest,
        Location: location,
        'Content-Length': '0',
      });
      response.end();
      return true;
    }
    if (request.method === 'HEAD' || plan.length === 0) {
      response.writeHead(plan.status, plan.headers);
      response.end(tailOf(plan, request));
      return true;
    }
    return this.#sendBytes(response, blob, plan);
  }

  async #sendBytes(response: ServerResponse, blob: StoredBlob, plan: Plan): Promise<boolean> {
    const { storage, log } = this.#services;
    const path = storage.localPath(blob.file);
    try {
      if (path !== undefined) {
        const fd = await openFile(path, 'r');
        response.writeHead(plan.status, plan.headers);
        await streamFile(response, fd, plan.start, plan.length);
      } else {
        const body = await storage.read(blob.file, plan);
        response.writeHead(plan.status, plan.headers);
        await pipeline(body, response);
      }
    } catch (error) {
      if (!response.headersSent) {
        if (isMissing(error)) return false;
        throw error;
      }
      // The length was promised: a broken connection is how the client learns that the bytes are not all there.
      response.destroy();
      if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') {
        log.error({ err: error, digest: blob.digest, file: blob.file }, 'sending a stored blob broke off');
      }
    }
    return true;
  }
}

const part = (body: Buffer, plan: Plan): Buffer =>
  plan.length === body.byteLength ? body : body.subarray(plan.start, plan.start + plan.length);

/** What follows the head of an answer that has no bytes of the blob: the error of a 416, else nothing. */
const tailOf = (plan: Plan, request: IncomingMessage): string | undefined =>
  plan.status === 416 && request.method === 'GET' ? errorBody(rangeInvalid()) : undefined;

const rangeInvalid = (): RegistryError => new RegistryError(416, 'SIZE_INVALID', 'The range begins behind the end of the blob.');

/** Headers of a blob whose bytes are sent as they are. */
export const blobHeaders = (digest: string): Record<string, string> => ({
  ...STANDING_HEADERS,
  'Content-Type': 'application/octet-stream',
  'Docker-Content-Digest': digest,
});

/** What the conditions and the range of the request come to (RFC 9110, 13.2.2). */
function planOf({ method, headers: asked }: IncomingMessage, { digest, size }: StoredBlob): Plan {
  const etag = `"${digest}"`;
  const headers = { ...blobHeaders(digest), ETag: etag, 'Accept-Ranges': 'bytes' };
  if (matchesEtag(asked['if-none-match'], digest)) return { status: 304, start: 0, length: 0, headers };
  const current = asked['if-range'] === undefined || asked['if-range'] === etag;
  const range = method === 'GET' && current ? parseRange(asked.range, size) : 'whole';
  if (range === 'whole') return { status: 200, start: 0, length: size, headers: { ...headers, 'Content-Length': String(size) } };
  if (range === 'unsatisfiable') {
    const length = String(Buffer.byteLength(errorBody(rangeInvalid())));
    const refused = { 'Content-Type': 'application/json', 'Content-Length': length, 'Content-Range': `bytes */${size}` };
    return { status: 416, start: 0, length: 0, headers: { ...STANDING_HEADERS, ...refused } };
  }
  const contentRange = `bytes ${range.start}-${range.start + range.length - 1}/${size}`;
  return {
    status: 206,
    ...range,
    headers: { ...headers, 'Content-Length': String(range.length), 'Content-Range': contentRange },
  };
}
