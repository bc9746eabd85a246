import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ImageContent } from './image.ts';
import type { BlobContent } from './layer.ts';

/** Pieces in which computed blobs are sent. */
const CHUNK_BYTES = 2 ** 18;

/** A small read-only registry, to have something to mirror without a network. */
export class DemoRegistry {
  readonly #manifests = new Map<string, ImageContent>();
  readonly #blobs = new Map<string, BlobContent>();
  readonly #tags = new Map<string, Set<string>>();
  readonly #server: Server;
  readonly #latency: number;

  private constructor(latency: number) {
    this.#latency = latency;
    this.#server = createServer((request, response) => {
      this.#answer(request.url ?? '/', request.method === 'HEAD', response).catch((error: Error) => response.destroy(error));
    });
  }

  /** Listens on a free port of this machine; each answer comes after `latency` milliseconds, as from far away. */
  static async start(latency: number): Promise<DemoRegistry> {
    const registry = new DemoRegistry(latency);
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Adds an image with everything below it; a tag that exists is moved. */
  put(repository: string, image: ImageContent, tag?: string): void {
    for (const child of image.children) this.put(repository, child);
    for (const blob of image.blobs) this.#blobs.set(`${repository}/blobs/${blob.digest}`, blob);
    this.#manifests.set(`${repository}/manifests/${image.digest}`, image);
    if (tag === undefined) return;
    this.#manifests.set(`${repository}/manifests/${tag}`, image);
    const tags = this.#tags.get(repository) ?? new Set();
    this.#tags.set(repository, tags.add(tag));
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #answer(url: string, head: boolean, response: ServerResponse): Promise<void> {
    await delay(this.#latency);
    const path = url.split('?')[0]?.slice('/v2/'.length);
    if (path === '') return sendJson(response, 200, {});
    const tags = path?.endsWith('/tags/list') ? this.#tags.get(path.slice(0, -'/tags/list'.length)) : undefined;
    if (tags !== undefined)
      return sendJson(response, 200, { name: path?.slice(0, -'/tags/list'.length), tags: [...tags].sort() });
    const manifest = this.#manifests.get(path ?? '');
    if (manifest !== undefined) {
      const { mediaType, digest, bytes } = manifest;
      response.writeHead(200, { 'content-type': mediaType, 'docker-content-digest': digest, 'content-length': bytes.length });
      response.end(head ? undefined : bytes);
      return;
    }
    const blob = this.#blobs.get(path ?? '');
    if (blob === undefined)
      return sendJson(response, 404, { errors: [{ code: 'NAME_UNKNOWN', message: 'not found', detail: null }] });
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': blob.size });
    if (head) response.end();
    else await pipeline(chunksOf(blob), response);
  }
}

function* chunksOf(blob: BlobContent): Generator<Buffer> {
  for (let offset = 0; offset < blob.size; ) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, blob.size - offset));
    offset += blob.copy(offset, chunk);
    yield chunk;
  }
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
}
