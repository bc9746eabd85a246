import { open } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { LRUCache } from 'lru-cache';
import type { DescribedBytes, FileHeaders, StoredBytes } from '../../kit/served-file.ts';
import type { Services } from '../../kit/services.ts';
import { MissingFileError } from '../../storage/storage.ts';
import { readSmall, streamFile } from './file-body.ts';
import { type FilePlan, planOf, type Refusal } from './file-plan.ts';

const SMALL_BYTES = 64 * 1024;
const REDIRECT_SECONDS = 3600;
/** What an entry costs beside the body. */
const ENTRY_BYTES = 256;

const openFile = promisify(open);
const isMissing = (error: unknown): boolean =>
  error instanceof MissingFileError || (error as NodeJS.ErrnoException).code === 'ENOENT';

/** A request and where its answer goes. */
export interface Http {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export interface StoredFilesOptions {
  /** What a client is told whose range lies behind the end of the file. */
  readonly rangeRefusal: Refusal;
  /** Bytes of small files that are kept in memory. */
  readonly memory: number;
}

/** NOTIFY channel that says that a file turned out damaged; the payload is its key. */
export const DAMAGE_CHANNEL = 'deckle_damage';

/** Answers requests with files of the storage. */
export class StoredFiles {
  readonly #services: Pick<Services, 'db' | 'storage' | 'log'>;
  #stop: (() => Promise<void>) | undefined;
  readonly #refusal: Refusal;
  readonly #bodies: LRUCache<string, Buffer> | undefined;
  /** Where nginx has the files of the storage, if it is to send them. */
  readonly #accelerated: string | undefined;

  constructor(services: Pick<Services, 'db' | 'storage' | 'config' | 'log'>, { rangeRefusal, memory }: StoredFilesOptions) {
    this.#services = services;
    this.#refusal = rangeRefusal;
    this.#accelerated = services.config.DECKLE_X_ACCEL_REDIRECT;
    if (!services.config.PULP_CACHE_ENABLED) return;
    this.#bodies = new LRUCache({ maxSize: memory, sizeCalculation: (body) => body.byteLength + ENTRY_BYTES });
  }

  /** Starts to forget bytes of files that turn out damaged, in whatever process. While that cannot be heard of, nothing older is kept. */
  async start(): Promise<void> {
    const bodies = this.#bodies;
    if (!bodies) return;
    const { db } = this.#services;
    this.#stop = await db.listen(
      DAMAGE_CHANNEL,
      (key) => bodies.delete(key),
      () => bodies.clear(),
    );
  }

  async close(): Promise<void> {
    await this.#stop?.();
  }

  /** Forgets the bytes, for the next request to read them again. */
  forget({ key }: StoredBytes): void {
    this.#bodies?.delete(key);
  }

  /** Answers a GET or HEAD with bytes that are in hand. */
  sendBytes({ request, response }: Http, body: Buffer, described: DescribedBytes, headers: FileHeaders): void {
    const plan = planOf(request, described, headers, this.#refusal);
    response.writeHead(plan.status, plan.headers);
    response.end(hasNoBytes(request, plan) ? tailOf(request, plan) : part(body, plan));
  }

  /**
   * Answers a GET or HEAD with a stored file, in this turn of the event loop, if that can be: small, and in memory or on a local disk.
   * False where it cannot, or where the file is gone; nothing is sent then.
   */
  sendSmall(http: Http, file: StoredBytes, headers: FileHeaders): boolean {
    if (file.size > SMALL_BYTES) return false;
    let body = this.#bodies?.get(file.key);
    if (!body) {
      const path = this.#services.storage.localPath(file.key);
      if (path === undefined) return false;
      try {
        body = readSmall(path, 0, file.size);
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
      this.#bodies?.set(file.key, body);
    }
    this.sendBytes(http, body, file, headers);
    return true;
  }

  /**
   * Answers a GET or HEAD with a stored file of any size: where the storage has a public URL by a redirect to it, under `name`, else
   * with the bytes, or the range of them that is asked for, which nginx sends where it is set up to. False, with nothing sent, where the file is gone.
   */
  async send(http: Http, file: StoredBytes, headers: FileHeaders, name: string): Promise<boolean> {
    if (this.sendSmall(http, file, headers)) return true;
    const { request, response } = http;
    const location = await this.#services.storage.redirectUrl(file.key, {
      filename: name,
      contentType: headers.contentType,
      expiresInSeconds: REDIRECT_SECONDS,
    });
    const plan = planOf(request, file, headers, this.#refusal);
    if (location !== undefined && request.method === 'GET' && (plan.status === 200 || plan.status === 206)) {
      response.writeHead(307, { ...headers.others, Location: location, 'Content-Length': '0' });
      response.end();
      return true;
    }
    if (hasNoBytes(request, plan)) {
      response.writeHead(plan.status, plan.headers);
      response.end(tailOf(request, plan));
      return true;
    }
    if (this.#accelerated !== undefined && comesToTheSame(request, plan)) return this.#leaveToNginx(response, file, plan);
    return this.#stream(response, file, plan, name);
  }

  /** False where the file is gone. Where nginx cannot open it, it asks again (docker/nginx.conf). */
  async #leaveToNginx(response: ServerResponse, { key }: StoredBytes, { headers }: FilePlan): Promise<boolean> {
    if ((await this.#services.storage.size(key)) === undefined) return false;
    const { 'Content-Length': _length, 'Content-Range': _range, 'Accept-Ranges': _ranges, ...others } = headers;
    response.writeHead(200, { ...others, 'X-Accel-Redirect': `${this.#accelerated}${key}`, 'Content-Length': '0' });
    response.end();
    return true;
  }

  async #stream(response: ServerResponse, file: StoredBytes, plan: FilePlan, name: string): Promise<boolean> {
    const { storage, log } = this.#services;
    const path = storage.localPath(file.key);
    try {
      if (path !== undefined) {
        const fd = await openFile(path, 'r');
        response.writeHead(plan.status, plan.headers);
        await streamFile(response, fd, plan.start, plan.length);
      } else {
        const body = await storage.read(file.key, plan);
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
        log.error({ err: error, file: file.key, name }, 'sending a stored file broke off');
      }
    }
    return true;
  }
}

const hasNoBytes = (request: IncomingMessage, plan: FilePlan): boolean => request.method === 'HEAD' || plan.length === 0;

/**
 * Whether nginx, which is given the file, makes the same of the request, and has not tried in vain. It compares `If-Match` and
 * `If-Unmodified-Since` before it has our ETag and date, and takes ranges that we do not understand for unsatisfiable.
 */
const comesToTheSame = ({ headers }: IncomingMessage, { status }: FilePlan): boolean =>
  headers['x-accel-again'] === undefined &&
  headers['if-match'] === undefined &&
  headers['if-unmodified-since'] === undefined &&
  (headers.range === undefined || status === 206);

const part = (body: Buffer, plan: FilePlan): Buffer =>
  plan.length === body.byteLength ? body : body.subarray(plan.start, plan.start + plan.length);

/** What follows the head of an answer that has no bytes of the file: the words of a refusal, else nothing. */
const tailOf = (request: IncomingMessage, plan: FilePlan): string | undefined =>
  request.method === 'GET' ? plan.refusal : undefined;
