import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import { inVersion, matchesEtag } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import { DOCKER_MANIFEST_V1_SIGNED } from '../oci/media-types.ts';
import { STANDING_HEADERS } from './headers.ts';
import { heldIn } from './held-content.ts';

/** A manifest ready to be sent: the stored bytes and the headers that go with them. */
export interface StoredManifest {
  readonly digest: string;
  readonly body: Buffer;
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: readonly string[];
}

interface ManifestRow {
  readonly digest: string;
  readonly media_type: string;
  readonly schema_version: number;
  readonly data: Buffer;
  /** It is in no version yet. */
  readonly waits: boolean;
}

const CACHE_BYTES = 64 * 1024 * 1024;
/** What an entry costs beside the body. */
const ENTRY_BYTES = 1024;

const keyOf = (version: ServedVersion, reference: string): string => `${version.repository_id} ${version.number} ${reference}`;

/** Manifests by version and reference. A version never changes, so an entry is right for as long as its version is served. */
export class Manifests {
  readonly #db: Services['db'];
  readonly #domainId: string;
  readonly #kept: LRUCache<string, StoredManifest> | undefined;

  constructor(services: Pick<Services, 'db' | 'config' | 'domain'>) {
    this.#db = services.db;
    this.#domainId = services.domain.id;
    this.#kept = services.config.PULP_CACHE_ENABLED
      ? new LRUCache({ maxSize: CACHE_BYTES, sizeCalculation: (entry) => entry.body.byteLength + ENTRY_BYTES })
      : undefined;
  }

  cached(version: ServedVersion, reference: string): StoredManifest | undefined {
    return this.#kept?.get(keyOf(version, reference));
  }

  /** The manifest that the version's tag, or the digest, names; undefined where neither the version nor what was pushed since has one. */
  async find(version: ServedVersion, reference: string): Promise<StoredManifest | undefined> {
    const known = this.cached(version, reference);
    if (known) return known;
    const [row] = await this.#db.query<ManifestRow>(
      reference.includes(':')
        ? sql`
          select m.digest, m.media_type, m.schema_version, m.data, held.waits
          from container_manifest m ${heldIn(version, sql`m.id`)}
          where m.domain_id = ${this.#domainId}::uuid and m.digest = ${reference}`
        : sql`
          select m.digest, m.media_type, m.schema_version, m.data, false as waits
          from container_tag t
            join repository_content rc on rc.content_id = t.id
            join container_manifest m on m.id = t.tagged_manifest_id
          where t.name = ${reference} and ${inVersion(version)}`,
    );
    if (!row) return undefined;
    const manifest = prepare(row);
    if (!row.waits) this.#kept?.set(keyOf(version, reference), manifest);
    return manifest;
  }
}

function prepare(row: ManifestRow): StoredManifest {
  // A signed schema 1 manifest is stored under the plain type, and is sent as what it is.
  const mediaType = row.schema_version === 1 ? DOCKER_MANIFEST_V1_SIGNED : row.media_type;
  const headers = [
    ...Object.entries(STANDING_HEADERS).flat(),
    'Content-Type',
    mediaType,
    'Content-Length',
    String(row.data.byteLength),
    'Docker-Content-Digest',
    row.digest,
    'ETag',
    `"${row.digest}"`,
  ];
  return { digest: row.digest, body: row.data, headers };
}

/** Answers a GET or HEAD with the manifest: 200, or 304 where the client has it. `Accept` does not matter: what is stored is sent. */
export function sendManifest(request: IncomingMessage, response: ServerResponse, manifest: StoredManifest): void {
  if (matchesEtag(request.headers['if-none-match'], manifest.digest)) {
    response.writeHead(304, [...manifest.headers]);
    response.end();
    return;
  }
  response.writeHead(200, manifest.headers as string[]);
  response.end(request.method === 'HEAD' ? undefined : manifest.body);
}
