import { LRUCache } from 'lru-cache';
import { type Http, StoredFiles } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { ContentFile, FileHeaders, ServedVersion, StoredBytes } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import { atMost } from '../../../lib/cache-limit.ts';
import { algorithmOf, type Digest, hexOf } from '../../../lib/digest.ts';
import { STANDING_HEADERS } from './headers.ts';
import { heldIn } from './held-content.ts';
import { errorBody, RegistryError } from './registry-error.ts';
import type { UpstreamBlobs } from './upstream-blob.ts';

/** A blob whose bytes are here. */
export interface StoredBlob extends ContentFile {
  readonly stored: StoredBytes;
}

interface BlobRow {
  readonly content_id: string;
  readonly digest: Digest;
  /** Bytes; null where no descriptor says (a layer of schema 1 that is not stored). */
  readonly size: number | null;
  /** Key of the stored file; null while the blob is only known. */
  readonly file: string | null;
  /** It is in no version yet. */
  readonly waits: boolean;
}

const BODY_CACHE_BYTES = 64 * 1024 * 1024;
const MAX_KNOWN = 100_000;

const isStored = (blob: ContentFile): blob is StoredBlob => blob.stored !== undefined;
const keyOf = (version: ServedVersion, digest: string): string => `${version.repository_id} ${version.number} ${digest}`;

const rangeRefusal = {
  headers: { ...STANDING_HEADERS, 'Content-Type': 'application/json' },
  body: errorBody(new RegistryError(416, 'SIZE_INVALID', 'The range begins behind the end of the blob.')),
};

/** Blobs by version and digest. */
export class Blobs {
  readonly files: StoredFiles;
  readonly #services: Pick<Services, 'db' | 'domain'>;
  readonly #upstreams: UpstreamBlobs;
  readonly #known: LRUCache<string, StoredBlob> | undefined;

  constructor(services: Pick<Services, 'db' | 'storage' | 'config' | 'log' | 'domain'>, upstreams: UpstreamBlobs) {
    this.#services = services;
    this.#upstreams = upstreams;
    this.files = new StoredFiles(services, { rangeRefusal, memory: BODY_CACHE_BYTES });
    if (services.config.PULP_CACHE_ENABLED) this.#known = new LRUCache(atMost(MAX_KNOWN));
  }

  /** A stored blob that was found in this version before. A version never changes; only the file may be taken back. */
  cached(version: ServedVersion, digest: string): StoredBlob | undefined {
    return this.#known?.get(keyOf(version, digest));
  }

  /** The blob, if the version holds it, or it was pushed since: a digest that another repository has is unknown here. */
  async find(version: ServedVersion, digest: Digest): Promise<ContentFile | undefined> {
    const known = this.cached(version, digest);
    if (known) return known;
    const [row] = await this.#services.db.query<BlobRow>(sql`
      select b.id as content_id, b.digest, coalesce(a.size, b.size) as size, a.file, held.waits
      from container_blob b
        join content c on c.id = b.id
        left join artifact a on a.id = c.artifact_id
        ${heldIn(version, sql`b.id`)}
      where b.domain_id = ${this.#services.domain.id}::uuid and b.digest = ${digest}`);
    if (!row) return undefined;
    const blob = this.#fileOf(version, row);
    if (isStored(blob) && !row.waits) this.#known?.set(keyOf(version, digest), blob);
    return blob;
  }

  /** Forgets where the blob is, for the next request to look again. */
  forget(version: ServedVersion, digest: string): void {
    this.#known?.delete(keyOf(version, digest));
  }

  /** Answers with a small stored blob at once; false, with nothing sent, where that cannot be. */
  sendSmall(http: Http, blob: StoredBlob): boolean {
    return this.files.sendSmall(http, blob.stored, blob.headers);
  }

  #fileOf({ repository_id }: ServedVersion, { content_id, digest, size, file }: BlobRow): ContentFile {
    return {
      content_id,
      repository_id,
      name: digest,
      stored: file === null || size === null ? undefined : { key: file, size, etag: digest },
      size,
      proven: { [algorithmOf(digest)]: hexOf(digest) },
      fetchFrom: this.#upstreams.fetcher({ digest, size: size ?? undefined }),
      headers: blobHeaders(digest),
    };
  }
}

const blobHeaders = (digest: string): FileHeaders => ({
  contentType: 'application/octet-stream',
  others: { ...STANDING_HEADERS, 'Docker-Content-Digest': digest },
});
