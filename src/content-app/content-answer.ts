import { createHash } from 'node:crypto';
import { OnDemandArtifacts } from '../core/artifacts/open-artifact.ts';
import { answerFile } from '../core/files/answer-file.ts';
import { type Http, StoredFiles } from '../core/files/stored-files.ts';
import { sql } from '../db/sql.ts';
import type { ServedFile } from '../kit/content-handler.ts';
import { isUuid } from '../kit/names.ts';
import type { ContentFile, ServedVersion } from '../kit/served-file.ts';
import type { Services } from '../kit/services.ts';
import type { Known, KnownContent } from './known-content.ts';

const BODY_CACHE_BYTES = 32 * 1024 * 1024;
const YEAR_SECONDS = 365 * 24 * 3600;

interface ArtifactRow {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
  readonly pulp_created: string;
}

/** A file of a version, and who may keep it. */
export interface AskedFile {
  readonly content: KnownContent;
  readonly version: ServedVersion;
  readonly path: string;
  /** A guard has let this client pass: caches on the way must not serve others. */
  readonly guarded: boolean;
}

/** Who may keep what is answered, and for how long without asking again. */
export const cacheControl = (guarded: boolean, seconds = 0): string =>
  `${guarded ? 'private' : 'public'}, max-age=${seconds}, ${seconds > 0 ? 'immutable' : 'must-revalidate'}`;

const rangeRefusal = {
  headers: { 'Content-Type': 'text/plain; charset=utf-8' },
  body: '416: Requested Range Not Satisfiable',
};

/** Answers with files of versions. */
export class ContentAnswers {
  readonly #services: Services;
  readonly #files: StoredFiles;
  readonly #onDemand: OnDemandArtifacts;

  constructor(services: Services) {
    this.#services = services;
    this.#files = new StoredFiles(services, { rangeRefusal, memory: BODY_CACHE_BYTES });
    this.#onDemand = new OnDemandArtifacts(services);
  }

  /** Whether the answer was sent; 'hit' and 'miss' say that there is no such file, and whether that was known. Throws what `answerFile` throws. */
  async answer(http: Http, { content, version, path, guarded }: AskedFile): Promise<'sent' | 'hit' | 'miss'> {
    const house = { files: this.#files, onDemand: this.#onDemand, log: this.#services.log };
    const first = await content.find(version, path);
    if (first.found && 'body' in first.found) {
      const { body, described, headers } = this.#withHeaders(first.found, guarded, first.hit);
      this.#files.sendBytes(http, body, described, headers);
      return 'sent';
    }
    let next: Known<ServedFile> | undefined = first;
    const sent = await answerFile(house, http, {
      find: async () => {
        const { found, hit } = next ?? (await content.find(version, path));
        next = undefined;
        return found && !('body' in found) ? this.#withHeaders(found, guarded, hit) : undefined;
      },
      forget: () => content.forget(version, path),
    });
    if (sent) return 'sent';
    return first.hit ? 'hit' : 'miss';
  }

  /** Answers with a page, which stands for itself: what a client has already is not sent again. */
  page(http: Http, html: string, guarded: boolean): void {
    const body = Buffer.from(html);
    const described = { size: body.byteLength, etag: createHash('sha256').update(body).digest('hex') };
    const headers = { contentType: 'text/html; charset=utf-8', others: { 'Cache-Control': cacheControl(guarded) } };
    this.#files.sendBytes(http, body, described, headers);
  }

  /** Answers with the artifact of this id; false, with nothing sent, where there is none or its file is lost. */
  async artifact(http: Http, id: string): Promise<boolean> {
    const { db, domain, log } = this.#services;
    if (!isUuid(id)) return false;
    const [row] = await db.query<ArtifactRow>(sql`
      select file, size, sha256, pulp_created from artifact where id = ${id}::uuid and domain_id = ${domain.id}::uuid`);
    if (!row) return false;
    const stored = { key: row.file, size: row.size, etag: row.sha256, modified: new Date(row.pulp_created).toUTCString() };
    const others = { 'Cache-Control': cacheControl(true, YEAR_SECONDS), 'X-PULP-ARTIFACT-SIZE': String(row.size) };
    if (await this.#files.send(http, stored, { contentType: 'application/octet-stream', others }, id)) return true;
    log.error({ artifact: id, file: row.file }, 'stored file is missing; repair the content');
    return false;
  }

  /** Starts to hear of files that turn out damaged. */
  start(): Promise<void> {
    return this.#files.start();
  }

  async close(): Promise<void> {
    await this.#onDemand.close();
    await this.#files.close();
  }

  /** The file with the headers that depend on who asks, in Pulp's words where Pulp has them. */
  #withHeaders<File extends ServedFile>(file: File, guarded: boolean, hit: boolean): File {
    const size = 'body' in file ? file.described.size : sizeOf(file);
    const others = {
      ...file.headers.others,
      'Cache-Control': cacheControl(guarded, file.lasting ? YEAR_SECONDS : 0),
      ...(this.#services.config.PULP_CACHE_ENABLED ? { 'X-PULP-CACHE': hit ? 'HIT' : 'MISS' } : {}),
      ...(size === null ? {} : { 'X-PULP-ARTIFACT-SIZE': String(size) }),
    };
    return { ...file, headers: { ...file.headers, others } };
  }
}

const sizeOf = (file: ContentFile): number | null => file.stored?.size ?? file.size;
