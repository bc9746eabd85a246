import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ImageContent, MEDIA_TYPES } from '../../src/demo/image.ts';
import { type AuthOptions, answerToken, challenge } from './upstream-auth.ts';
import { sendReply } from './upstream-body.ts';
import { UpstreamContent } from './upstream-content.ts';
import { type ActiveFault, bodyOf, type Delivery, FaultBook, type FaultRule, type Reply } from './upstream-faults.ts';
import { type LoggedRequest, RequestLog, targetOf } from './upstream-requests.ts';

/** How an upstream behaves when nothing is wrong with it. */
export interface UpstreamOptions {
  /** Address to listen on: 127.0.0.1, or for example 127.0.0.2 to be another host. */
  host?: string;
  /** Port; a free one by default. */
  port?: number;
  /** A path before `/v2/`, for example `/mirror`. */
  pathPrefix?: string;
  auth?: AuthOptions;
  /** Serves TLS (PEM). With `clientCa` a certificate signed by it is demanded of clients. */
  tls?: { key: string; cert: string; clientCa?: string };
  /** Most tags in a page of the tag list; all of them by default. */
  pageSize?: number;
  /** Makes the links of tag pages absolute URLs. */
  absoluteLinks?: boolean;
  /** Offers the signature API extension. */
  signatureExtension?: boolean;
  /** Has the Referrers API. */
  referrers?: boolean;
  /** Most entries in a page of referrers; all of them by default. */
  referrersPageSize?: number;
  /** Leaves Docker-Content-Digest out of manifest answers. */
  withoutDigestHeader?: boolean;
  /** Answers Range requests on blobs; true by default. */
  ranges?: boolean;
  /** Milliseconds before each answer. */
  delay?: number;
  /** Bytes a second of each body. */
  bytesPerSecond?: number;
  /** Keep requests in `requests.log`; true by default. Counters work either way. */
  keepLog?: boolean;
}

/** A running upstream. */
export interface Upstream {
  /** Origin and path prefix, without a slash at the end: what a remote's `url` is set to. */
  readonly url: string;
  /** `host:port`. */
  readonly host: string;
  readonly content: UpstreamContent;
  readonly requests: RequestLog;
  /** Adds an image with everything below it: same as `content.put`. */
  put(repository: string, image: ImageContent, tag?: string): void;
  removeTag(repository: string, tag: string): void;
  /** Switches a fault on; the one added last is asked first. */
  fault(rule: FaultRule): ActiveFault;
  /** Switches all faults off. */
  clearFaults(): void;
  /** Connections accepted since the start. */
  readonly connections: number;
  /** Closes the port and all connections. */
  stop(): Promise<void>;
}

/** Starts a registry in this process that serves what is put into it, counts requests and misbehaves on demand. */
export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const registry = new UpstreamRegistry(options);
  await registry.listen();
  return registry;
}

/** An URL at which nothing listens: connections to it are refused. */
export async function closedUrl(): Promise<string> {
  const upstream = await startUpstream();
  await upstream.stop();
  return upstream.url;
}

class UpstreamRegistry implements Upstream {
  readonly content = new UpstreamContent();
  readonly requests: RequestLog;
  readonly #options: UpstreamOptions;
  readonly #faults = new FaultBook();
  readonly #server: Server;
  readonly #delivery: Delivery;
  #connections = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.requests = new RequestLog(options.keepLog ?? true);
    this.#delivery = options.bytesPerSecond === undefined ? {} : { bytesPerSecond: options.bytesPerSecond };
    const listener: RequestListener = (request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : new Error(String(error)));
      });
    };
    this.#server = serverOf(options, listener);
    this.#server.keepAliveTimeout = 60_000;
    this.#server.on('connection', () => {
      this.#connections += 1;
    });
  }

  get host(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  get url(): string {
    return `${this.#origin}${this.#options.pathPrefix ?? ''}`;
  }

  get connections(): number {
    return this.#connections;
  }

  put(repository: string, image: ImageContent, tag?: string): void {
    this.content.put(repository, image, tag);
  }

  removeTag(repository: string, tag: string): void {
    this.content.removeTag(repository, tag);
  }

  fault(rule: FaultRule): ActiveFault {
    return this.#faults.add(rule);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#options.port ?? 0, this.#options.host ?? '127.0.0.1');
    await once(this.#server, 'listening');
    this.#origin = `${this.#options.tls === undefined ? 'http' : 'https'}://${this.host}`;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #origin = '';

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/';
    const method = request.method ?? 'GET';
    const queryAt = url.indexOf('?');
    const path = queryAt < 0 ? url : url.slice(0, queryAt);
    const prefix = this.#options.pathPrefix ?? '';
    const target = targetOf(path.startsWith(prefix) ? path.slice(prefix.length) : '');
    const logged: LoggedRequest = { method, url, headers: request.headers, at: performance.now(), status: 0, ...target };
    this.requests.add(logged);
    request.resume();
    if (this.#options.delay !== undefined) await delay(this.#options.delay);

    const replacement = this.#faults.replacement(logged);
    if (replacement !== null && 'drop' in replacement) {
      response.destroy();
      return;
    }
    const reply =
      replacement === null
        ? this.#answer(request, logged, new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt + 1)))
        : replyOf(replacement, logged);
    const delivery = reply.status === 200 ? { ...this.#delivery, ...this.#faults.delivery(logged) } : this.#delivery;
    await reply.until;
    logged.status = reply.status;
    const withRange = target.kind === 'blob' && reply.status === 200 && this.#options.ranges !== false;
    await sendReply(response, reply, delivery, {
      head: method === 'HEAD',
      range: withRange ? request.headers.range : undefined,
    });
  }

  #answer(request: IncomingMessage, target: LoggedRequest, query: URLSearchParams): Reply {
    const { auth } = this.#options;
    if (auth !== undefined) {
      if (target.kind === 'token') return textReply(answerToken(auth, request, query));
      const isLookaside = target.kind === 'signature' && target.repository === '';
      const refusal = isLookaside ? null : challenge(auth, request, target.repository, this.url);
      if (refusal !== null) return textReply(refusal);
    }
    if (target.method !== 'GET' && target.method !== 'HEAD') return error(405, 'UNSUPPORTED', target.method);
    if (target.kind === 'ping')
      return json({}, this.#options.signatureExtension ? { 'x-registry-supports-signatures': '1' } : {});
    if (target.kind === 'tags') return this.#tags(target, query);
    if (target.kind === 'manifest') return this.#manifest(target);
    if (target.kind === 'blob') return this.#blob(target);
    if (target.kind === 'signature') return this.#signature(target);
    if (target.kind === 'referrers' && this.#options.referrers) return this.#referrers(target, query);
    return error(404, 'UNSUPPORTED', target.url);
  }

  #tags({ repository }: LoggedRequest, query: URLSearchParams): Reply {
    const all = this.content.tags(repository);
    if (all === null) return error(404, 'NAME_UNKNOWN', repository);
    const last = query.get('last');
    const asked = query.get('n') === null ? Infinity : Number(query.get('n'));
    const size = Math.min(asked, this.#options.pageSize ?? Infinity);
    const rest = last === null ? all : all.filter((tag) => tag > last);
    const tags = rest.slice(0, Math.min(size, rest.length));
    const next = tags.at(-1);
    const headers: Record<string, string> = {};
    if (next !== undefined && tags.length < rest.length) {
      const base = this.#options.absoluteLinks ? this.url : (this.#options.pathPrefix ?? '');
      headers.link = `<${base}/v2/${repository}/tags/list?n=${size}&last=${encodeURIComponent(next)}>; rel="next"`;
    }
    return json({ name: repository, tags }, headers);
  }

  #manifest({ repository, reference }: LoggedRequest): Reply {
    const manifest = this.content.manifest(repository, reference);
    if (manifest === undefined) return error(404, 'MANIFEST_UNKNOWN', reference);
    const headers: Record<string, string> = {
      'content-type': manifest.mediaType,
      'docker-distribution-api-version': 'registry/2.0',
    };
    if (!this.#options.withoutDigestHeader) headers['docker-content-digest'] = manifest.digest;
    return { status: 200, headers, body: bodyOf(manifest.bytes) };
  }

  #referrers({ repository, reference }: LoggedRequest, query: URLSearchParams): Reply {
    const all = this.content.referrers(repository, reference);
    const from = Number(query.get('from') ?? 0);
    const end = from + (this.#options.referrersPageSize ?? all.length);
    const headers: Record<string, string> = { 'content-type': MEDIA_TYPES.oci.index };
    if (end < all.length) {
      headers.link = `<${this.#options.pathPrefix ?? ''}/v2/${repository}/referrers/${reference}?from=${end}>; rel="next"`;
    }
    return json({ schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: all.slice(from, end) }, headers);
  }

  #blob({ repository, reference }: LoggedRequest): Reply {
    const blob = this.content.blob(repository, reference);
    if (blob === undefined) return error(404, 'BLOB_UNKNOWN', reference);
    const headers: Record<string, string> = { 'content-type': 'application/octet-stream', 'docker-content-digest': blob.digest };
    if (this.#options.ranges !== false) headers['accept-ranges'] = 'bytes';
    return { status: 200, headers, body: blob };
  }

  #signature({ repository, reference }: LoggedRequest): Reply {
    if (repository !== '') {
      if (!this.#options.signatureExtension) return error(404, 'UNSUPPORTED', reference);
      return json({ signatures: this.content.extensionSignatures(repository, reference) });
    }
    const [path, number] = reference.split('/signature-');
    const signature = this.content.lookasideSignature(path ?? '', Number(number));
    if (signature === undefined) return { status: 404, headers: { 'content-type': 'text/plain' }, body: bodyOf('not found\n') };
    return { status: 200, headers: { 'content-type': 'application/octet-stream' }, body: bodyOf(signature) };
  }
}

function serverOf(options: UpstreamOptions, listener: RequestListener): Server {
  // Requests with large headers are for the tests of clients to worry about, not for the upstream.
  const common = { maxHeaderSize: 1024 * 1024, noDelay: true };
  if (options.tls === undefined) return createServer(common, listener);
  const { key, cert, clientCa } = options.tls;
  const demand = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ ...common, key, cert, ...demand }, listener);
}

function replyOf(fault: NonNullable<ReturnType<FaultBook['replacement']>>, request: LoggedRequest): Reply {
  if ('replace' in fault) return fault.replace(request);
  if ('redirect' in fault)
    return { status: fault.status ?? 307, headers: { location: fault.redirect(request) }, body: bodyOf('') };
  if ('drop' in fault) throw new Error('A dropped connection has no answer');
  return { status: fault.answer.status, headers: { ...fault.answer.headers }, body: bodyOf(fault.answer.body ?? '') };
}

function textReply({ status, headers, body }: { status: number; headers: Record<string, string>; body: string }): Reply {
  return { status, headers, body: bodyOf(body) };
}

function json(value: object, headers: Record<string, string> = {}): Reply {
  return { status: 200, headers: { 'content-type': 'application/json', ...headers }, body: bodyOf(JSON.stringify(value)) };
}

function error(status: number, code: string, detail: string): Reply {
  return { ...json({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' '), detail }] }), status };
}
