import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { sha256Digest } from '../src/demo/layer.ts';
import type { PushBlob, PushImage } from './push-content.ts';

const TOO_MANY_REQUESTS = 429;
const MAX_REFUSALS = 200;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

interface Sent {
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly chunks?: Iterable<Uint8Array>;
}

/**
 * Pushes images as podman and skopeo do: HEAD, POST, one PATCH with the length stated, PUT with the digest, and the manifest at the end.
 * What is refused with 429 is counted and tried again.
 */
export class PushClient {
  /** Requests that were answered with 429. */
  refused = 0;
  readonly #origin: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent: Agent;

  /** `headers` go with every request: its authorization. */
  constructor(origin: string, headers: Readonly<Record<string, string>>) {
    this.#origin = origin;
    this.#headers = headers;
    this.#agent = new Agent({ keepAlive: true });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** `atOnce` blobs of the image at the same time. Throws at an answer that a push cannot go on from. */
  async push(repository: string, tag: string, image: PushImage, atOnce: number): Promise<void> {
    const queue = image.blobs.values();
    const work = async () => {
      for (const blob of queue) await this.#pushBlob(repository, blob);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    const headers = { 'content-type': image.mediaType, 'content-length': image.bytes.length };
    const { headers: told } = await this.#ask(201, 'PUT', `/v2/${repository}/manifests/${tag}`, {
      headers,
      chunks: [image.bytes],
    });
    if (told['docker-content-digest'] !== sha256Digest(image.bytes)) throw new Error(`${tag} has another digest than was pushed`);
  }

  async #pushBlob(repository: string, { digest, size, chunks }: PushBlob): Promise<void> {
    const known = await this.#send('HEAD', new URL(`/v2/${repository}/blobs/${digest}`, this.#origin), {});
    if (known.status < 400) return;
    const begun = await this.#ask(202, 'POST', `/v2/${repository}/blobs/uploads/`, { headers: { 'content-length': 0 } });
    const headers = { 'content-type': 'application/octet-stream', 'content-length': size };
    const added = await this.#ask(202, 'PATCH', locationOf(begun), { headers, chunks: chunks() });
    const last = new URL(locationOf(added), this.#origin);
    last.searchParams.set('digest', digest);
    await this.#ask(201, 'PUT', last.pathname + last.search, { headers: { 'content-length': 0 } });
  }

  async #ask(status: number, method: string, path: string, sent: Sent): Promise<Answer> {
    for (let refusals = 0; ; refusals++) {
      const answer = await this.#send(method, new URL(path, this.#origin), sent);
      if (answer.status === status) return answer;
      if (answer.status !== TOO_MANY_REQUESTS || refusals === MAX_REFUSALS)
        throw new Error(`${method} ${path} was answered with ${answer.status}: ${answer.text}`);
      this.refused += 1;
      await delay(1000 * Number(answer.headers['retry-after'] ?? 1));
    }
  }

  #send(method: string, url: URL, { headers, chunks = [] }: Sent): Promise<Answer & { readonly text: string }> {
    return new Promise((resolve, reject) => {
      const options = { method, agent: this.#agent, headers: { ...this.#headers, ...headers } };
      const request = httpRequest(url, options, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      });
      request.on('error', reject);
      const rest = chunks[Symbol.iterator]();
      const next = () => {
        const { value, done } = rest.next();
        if (done) request.end();
        else request.write(value, (error) => error ?? next());
      };
      next();
    });
  }
}

function locationOf({ headers }: Answer): string {
  const { location } = headers;
  if (location === undefined) throw new Error('an upload was answered without Location');
  return location;
}
