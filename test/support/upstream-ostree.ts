import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, relative } from 'node:path';
import { sendReply } from './upstream-body.ts';
import { type ActiveFault, bodyOf, FaultBook, type FaultRule, type Reply } from './upstream-faults.ts';
import { type LoggedRequest, RequestLog } from './upstream-requests.ts';

export interface OstreeUpstreamOptions {
  /** Where the repository is below the origin: '' or '/some/path'. */
  readonly prefix?: string;
  /** `name:password` that every request must bring. */
  readonly user?: string;
  /** Keeps files in memory: for benchmarks. */
  readonly fast?: boolean;
}

/**
 * A web server that serves a repository's folder as any web server does, counts what it is asked for, and misbehaves when it is told to.
 * In its requests `reference` is the path below the repository: `upstream.fault({ reference: 'summary', fault: FAULTS.html })`.
 */
export class OstreeUpstream {
  readonly requests = new RequestLog(true);
  readonly #server: Server;
  readonly #faults = new FaultBook();
  readonly #options: OstreeUpstreamOptions;
  readonly #cache = new Map<string, Buffer>();
  #folder: string;

  private constructor(folder: string, options: OstreeUpstreamOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** Serves the repository in `folder` on a free port of the loopback. */
  static async start(folder: string, options: OstreeUpstreamOptions = {}): Promise<OstreeUpstream> {
    const upstream = new OstreeUpstream(folder, options);
    upstream.#server.listen(0, '127.0.0.1');
    await once(upstream.#server, 'listening');
    return upstream;
  }

  /** The repository, with a slash at its end. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#options.prefix ?? ''}/`;
  }

  /** Serves another repository from now on. */
  serve(folder: string): void {
    this.#folder = folder;
    this.#cache.clear();
  }

  fault(rule: FaultRule): ActiveFault {
    return this.#faults.add(rule);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** Paths that were asked for, in order. */
  get paths(): string[] {
    return this.requests.log.map(({ reference }) => reference);
  }

  /** Reads all files into memory. */
  async warmUp(): Promise<void> {
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      if (entry.isFile()) await this.#read(relative(this.#folder, join(entry.parentPath, entry.name)));
    }
  }

  /** Requests by `<method> <what the path ends in>`, and how many paths were asked for more than once. */
  requestCounts(): { counts: Record<string, number>; repeated: number } {
    const counts = new Map<string, number>();
    const paths = new Map<string, number>();
    for (const { method, reference } of this.requests.log) {
      const kind = `${method} ${/[^./]+$/.exec(reference)?.[0] ?? reference}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      paths.set(reference, (paths.get(reference) ?? 0) + 1);
    }
    const repeated = [...paths.values()].filter((times) => times > 1).length;
    return { counts: Object.fromEntries([...counts].sort()), repeated };
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = request;
    const prefix = `${this.#options.prefix ?? ''}/`;
    const reference = url.startsWith(prefix) ? decodeURIComponent(url.slice(prefix.length)) : '';
    const logged: LoggedRequest = {
      method,
      url,
      headers,
      at: performance.now(),
      status: 0,
      kind: 'other',
      repository: '',
      reference,
    };
    this.requests.add(logged);
    request.resume();
    const replacement = this.#faults.replacement(logged);
    if (replacement && 'drop' in replacement) {
      response.destroy();
      return;
    }
    const reply = replacement ? replyOf(replacement, logged) : await this.#answer(reference, headers.authorization);
    logged.status = reply.status;
    const delivery = reply.status === 200 ? this.#faults.delivery(logged) : {};
    await sendReply(response, reply, delivery, { head: method === 'HEAD', range: headers.range });
  }

  async #answer(path: string, authorization: string | undefined): Promise<Reply> {
    const { user } = this.#options;
    if (user !== undefined && authorization !== `Basic ${Buffer.from(user).toString('base64')}`) {
      return { status: 401, headers: { 'www-authenticate': 'Basic realm="mirror"' }, body: bodyOf('401\n') };
    }
    const bytes = path.split('/').includes('..') ? undefined : await this.#read(path);
    if (!bytes) return { status: 404, headers: { 'content-type': 'text/html' }, body: bodyOf('<html>404</html>\n') };
    return { status: 200, headers: { 'content-type': 'application/octet-stream' }, body: bodyOf(bytes) };
  }

  async #read(path: string): Promise<Buffer | undefined> {
    const cached = this.#cache.get(path);
    if (cached) return cached;
    try {
      const bytes = await readFile(join(this.#folder, path));
      if (this.#options.fast) this.#cache.set(path, bytes);
      return bytes;
    } catch (error) {
      if (['ENOENT', 'EISDIR', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
      throw error;
    }
  }
}

function replyOf(fault: NonNullable<ReturnType<FaultBook['replacement']>>, request: LoggedRequest): Reply {
  if ('replace' in fault) return fault.replace(request);
  if ('redirect' in fault)
    return { status: fault.status ?? 307, headers: { location: fault.redirect(request) }, body: bodyOf('') };
  if ('drop' in fault) throw new Error('a dropped connection has no answer');
  return { status: fault.answer.status, headers: { ...fault.answer.headers }, body: bodyOf(fault.answer.body ?? '') };
}
