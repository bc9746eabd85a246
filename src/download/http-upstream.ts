import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { Dispatcher } from 'undici';
import packageFile from '../../package.json' with { type: 'json' };
import { type ChecksumName, RunningChecksums } from '../lib/checksums.ts';
import { algorithmOf, hexOf } from '../lib/digest.ts';
import { type Limiter, limitConcurrency } from '../lib/limit-concurrency.ts';
import { checkedStream, DigestMismatchError, verifiedStream } from '../lib/verified-stream.ts';
import { abortScope, onAbort, shareSignal } from './abort.ts';
import { openBody } from './body-stream.ts';
import { decodeBody } from './decode.ts';
import { openDispatcher, tlsOptionsOf } from './dispatcher.ts';
import type { DownloadJob, JobSettings, TransferJob } from './download-job.ts';
import { closeInThreads, downloadInThread, provingThreads } from './download-threads.ts';
import { exchange } from './exchange.ts';
import { statusError } from './failure.ts';
import { NetworkPolicy, type NetworkRules } from './network-policy.ts';
import { loadProof, provenStream } from './proof.ts';
import { type ProvenJob, type ProvenResult, tooLarge } from './proven-job.ts';
import { followRedirect, type Hop, isRedirect, MAX_REDIRECTS, tooManyRedirects, withoutSecrets } from './redirect.ts';
import { concurrencyOf, ownHeadersOf, type RemoteSettings, type Timeouts, timeoutsOf, triesOf } from './remote-settings.ts';
import { checksumError, Resume } from './resume.ts';
import { openResumedBody } from './resumed-body.ts';
import { type RetryOptions, rateLimiter, withRetries } from './retry.ts';
import type {
  CheckedRequest,
  Downloaded,
  DownloadRequest,
  ProvenBody,
  ProvenRequest,
  SmallRequest,
  SmallResponse,
  Upstream,
  UpstreamOptions,
  UpstreamStream,
  VerifiedRequest,
} from './upstream.ts';
import { publicUrl } from './upstream-error.ts';

/** The upstream was closed while this was running; not worth another try. */
export class UpstreamClosedError extends Error {
  override readonly name = 'UpstreamClosedError';
}

/** Small bodies that threads are asked for, as a multiple of the connections: they have the next at hand while answers are read. */
const WAITING_IN_THREADS = 4;
const DEFAULT_CHECKSUMS: readonly ChecksumName[] = ['sha256'];

/** See `Upstream`. Small answers go by undici in this thread, files by the download threads, streams by undici again. */
export class HttpUpstream implements Upstream {
  readonly url: URL;
  readonly credentials: Upstream['credentials'];
  readonly concurrency: number;
  readonly log: Logger;
  readonly #settings: RemoteSettings;
  readonly #threads: number;
  readonly #timeouts: Timeouts;
  readonly #tries: number;
  readonly #longestWaitMs: number | undefined;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #policy: NetworkPolicy;
  readonly #dispatcher: Dispatcher;
  readonly #slots: Limiter;
  /** For what threads fetch: they have the connections for it. */
  readonly #places: Limiter;
  readonly #turn: ReturnType<typeof rateLimiter>;
  readonly #closed = new AbortController();
  readonly #ends = new WeakMap<AbortSignal, AbortSignal>();
  readonly #jobSettings: JobSettings;

  constructor(settings: RemoteSettings, options: UpstreamOptions) {
    this.#settings = settings;
    this.url = new URL(settings.url);
    this.credentials =
      settings.username === null ? undefined : { username: settings.username, password: settings.password ?? '' };
    this.concurrency = concurrencyOf(settings);
    this.log = options.log;
    this.#threads = options.threads;
    this.#timeouts = timeoutsOf(settings);
    this.#tries = triesOf(settings);
    this.#longestWaitMs = options.longestWaitMs;
    this.#headers = { 'user-agent': `deckle/${packageFile.version}`, accept: '*/*', ...ownHeadersOf(settings) };
    const rules: NetworkRules = {
      remoteUrl: settings.url,
      allowedNetworks: options.allowedNetworks,
      ownAddresses: options.ownAddresses,
    };
    this.#policy = new NetworkPolicy(rules);
    const tls = tlsOptionsOf(settings);
    const proving = provingThreads(this.concurrency, options.threads);
    this.#jobSettings = { upstream: randomUUID(), proving, tries: this.#tries, tls, timeouts: this.#timeouts, rules };
    this.#dispatcher = openDispatcher(settings, this.#timeouts, this.#policy);
    this.#slots = limitConcurrency(this.concurrency);
    this.#places = limitConcurrency(this.concurrency * WAITING_IN_THREADS);
    this.#turn = rateLimiter(settings.rate_limit);
    if (!settings.tls_validation) {
      this.log.warn({ url: publicUrl(this.url) }, 'tls_validation is off: the certificate of this upstream is not checked');
    }
  }

  request(request: SmallRequest): Promise<SmallResponse> {
    shareSignal(request.signal);
    // A retry waits without a slot.
    return withRetries(this.#retry(request.signal), () => this.#inSlot(request.signal, () => this.#answer(request)));
  }

  download(request: DownloadRequest): Promise<Downloaded> {
    shareSignal(request.signal);
    const { path } = request.file;
    return this.#inSlot(request.signal, () =>
      path === undefined || this.#settings.proxy_url !== null
        ? this.#downloadHere(request)
        : this.#downloadInThread(request, path),
    );
  }

  fetch(request: ProvenRequest): Promise<ProvenBody> {
    shareSignal(request.signal);
    const path = request.file?.path;
    if (this.#settings.proxy_url !== null || (request.file && path === undefined)) {
      return this.#inSlot(request.signal, () => this.#fetchHere(request));
    }
    return this.#places(async () => {
      request.signal?.throwIfAborted();
      const { proof, maxHeld, checksums = DEFAULT_CHECKSUMS } = request;
      const job: ProvenJob = { ...(await this.#transfer(request)), checksums, proof, maxHeld, path };
      return this.#runInThread(job, request.signal);
    });
  }

  stream(request: VerifiedRequest | CheckedRequest): Promise<UpstreamStream> {
    shareSignal(request.signal);
    return new Promise((resolve, reject) => {
      // The slot is held until the stream is closed; the promise above is settled as soon as there is a head.
      this.#inSlot(request.signal, async () => {
        const scope = this.#scope(request.signal);
        try {
          const { size, chunks } = await this.#verifiedBody(request, scope.signal);
          const body = Readable.from(chunks, { objectMode: false, highWaterMark: 64 * 1024 });
          const closed = new Promise<void>((done) => body.once('close', done));
          resolve({ size, body });
          await closed;
          scope.abort(new UpstreamClosedError('the reader has gone'));
        } finally {
          scope.end();
        }
      }).catch(reject);
    });
  }

  async close(): Promise<void> {
    this.#closed.abort(new UpstreamClosedError(`the connections to ${this.url.host} were closed`));
    closeInThreads(this.#jobSettings.upstream);
    await this.#dispatcher.destroy();
  }

  /**
   * Runs when a connection is free. The limiter is not given the signal: a listener for each of thousands that wait costs more
   * than their requests, and an abort ends those that run, so that the others come to their turn, and end, at once.
   */
  #inSlot<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    return this.#slots(() => {
      signal?.throwIfAborted();
      return run();
    });
  }

  /** One try of a small request, with its redirects. */
  async #answer(request: SmallRequest): Promise<SmallResponse> {
    this.#closed.signal.throwIfAborted();
    await this.#turn(request.signal);
    let hop: Hop = this.#hop(request, request.decode ? 'gzip' : 'identity');
    const options = {
      method: request.method,
      maxBytes: request.maxBytes,
      timeouts: this.#timeouts,
      validatesTls: this.#settings.tls_validation,
      signal: request.signal,
    };
    for (let redirects = 0; ; redirects += 1) {
      this.#policy.checkUrl(hop.url);
      const { status, reason, headers, body } = await exchange(this.#dispatcher, hop, options);
      const url = hop.url.href;
      const ok = status >= 200 && status < 300;
      if (ok || request.statuses?.includes(status)) {
        const encoding = request.decode ? headers['content-encoding'] : undefined;
        const response = { status, headers, url, body: await decodeBody(body, encoding, request.maxBytes, url) };
        if (ok) request.verify?.(response);
        return response;
      }
      if (!isRedirect(status)) throw statusError(status, reason, headers, url);
      if (redirects === MAX_REDIRECTS) throw tooManyRedirects(request.url);
      hop = followRedirect(hop, headers.location);
    }
  }

  async #downloadInThread(request: DownloadRequest, path: string): Promise<Downloaded> {
    const job: DownloadJob = {
      ...(await this.#transfer(request)),
      algorithm: algorithmOf(request.digest),
      hex: hexOf(request.digest),
      size: request.size,
      checksums: request.checksums ?? DEFAULT_CHECKSUMS,
      path,
    };
    const { size, checksums } = await this.#runInThread(job, request.signal);
    return { size, checksums };
  }

  #runInThread(job: DownloadJob | ProvenJob, signal: AbortSignal | undefined): Promise<ProvenResult> {
    return downloadInThread(this.#jobSettings, job, this.#threads, this.#endOf(signal), this.#noteRetry);
  }

  /** Aborted with the caller's signal, or by `close`. One for all requests of a task: making one costs as much as a request. */
  #endOf(signal: AbortSignal | undefined): AbortSignal {
    if (!signal) return this.#closed.signal;
    let end = this.#ends.get(signal);
    if (!end) {
      end = AbortSignal.any([signal, this.#closed.signal]);
      this.#ends.set(signal, end);
    }
    return end;
  }

  /** What a thread needs to know of a request, when it is the request's turn. */
  async #transfer(request: Pick<ProvenRequest, 'url' | 'headers' | 'signal'>): Promise<Omit<TransferJob, 'checksums'>> {
    await this.#turn(request.signal);
    const { url, headers } = this.#hop(request, 'identity');
    return { url: url.href, headers };
  }

  /** As a thread does it. What was written cannot be taken back, so wrong bytes are final. */
  async #fetchHere({ proof, maxHeld, file, checksums = DEFAULT_CHECKSUMS, ...request }: ProvenRequest): Promise<ProvenBody> {
    const { check } = await loadProof(proof);
    const checked = provenStream(request.url, check(proof.expected));
    const running = new RunningChecksums(checksums);
    const scope = this.#scope(request.signal);
    let held: Uint8Array[] | undefined = [];
    let size = 0;
    try {
      const { chunks } = await this.#verifiedBody({ ...request, size: undefined, check: checked }, scope.signal);
      for await (const chunk of chunks) {
        running.update(chunk);
        size += chunk.byteLength;
        held?.push(chunk);
        if (size <= maxHeld) continue;
        if (!file) throw tooLarge(request.url, maxHeld);
        for (const bytes of held ?? [chunk]) await file.write(bytes);
        held = undefined;
      }
    } finally {
      scope.end();
    }
    return { size, checksums: running.finish(), bytes: held && Buffer.concat(held) };
  }

  /** Through a proxy, or where there is no local file. What was written cannot be taken back, so wrong bytes are final. */
  async #downloadHere(request: DownloadRequest): Promise<Downloaded> {
    const running = new RunningChecksums(request.checksums ?? DEFAULT_CHECKSUMS);
    const scope = this.#scope(request.signal);
    let size = 0;
    try {
      const { chunks } = await this.#verifiedBody(request, scope.signal);
      for await (const chunk of chunks) {
        running.update(chunk);
        await request.file.write(chunk);
        size += chunk.byteLength;
      }
    } finally {
      scope.end();
    }
    return { size, checksums: { ...running.finish(), [algorithmOf(request.digest)]: hexOf(request.digest) } };
  }

  /** The body of a request, whatever it takes; its end is reached only when size and digest, or the check, are right. */
  async #verifiedBody(
    request: VerifiedRequest | CheckedRequest,
    signal: AbortSignal,
  ): Promise<{ size: number | undefined; chunks: AsyncGenerator<Uint8Array> }> {
    const resume = new Resume(request.size);
    const hop = this.#hop(request, 'identity');
    const { opened, chunks } = await openResumedBody(this.#retry(signal), resume, async () => {
      await this.#turn(signal);
      const context = {
        dispatcher: this.#dispatcher,
        timeouts: this.#timeouts,
        validatesTls: this.#settings.tls_validation,
        checkUrl: (url: URL) => this.#policy.checkUrl(url),
        signal,
      };
      return openBody(context, hop, resume);
    });
    const stated = opened.headers['content-length'];
    const size = request.size ?? (stated === undefined ? undefined : Number(stated));
    const proven = 'check' in request ? checkedStream(chunks, request.check) : verifiedStream(chunks, request);
    return { size, chunks: withUpstreamErrors(proven, opened.url) };
  }

  #hop(request: { url: string; headers?: Readonly<Record<string, string>> | undefined }, encoding: string): Hop {
    const url = new URL(request.url);
    const own = url.origin === this.url.origin ? this.#headers : withoutSecrets(this.#headers);
    return { url, headers: { ...own, ...request.headers, 'accept-encoding': encoding } };
  }

  #retry(signal: AbortSignal | undefined): RetryOptions {
    return { tries: this.#tries, longestWaitMs: this.#longestWaitMs, signal, onRetry: this.#noteRetry };
  }

  readonly #noteRetry = (error: Error, retry: number, waitMs: number): void => {
    this.log.info({ err: { message: error.message }, retry, waitMs: Math.round(waitMs) }, 'an upstream request is tried again');
  };

  /** A signal that is aborted with the caller's, or by `close`. */
  #scope(parent: AbortSignal | undefined): ReturnType<typeof abortScope> {
    const scope = abortScope(parent, 0);
    const release = onAbort(this.#closed.signal, (reason) => scope.abort(reason));
    return {
      ...scope,
      end: () => {
        release();
        scope.end();
      },
    };
  }
}

/** Puts a digest mismatch into Pulp's words. */
async function* withUpstreamErrors(chunks: AsyncIterable<Uint8Array>, url: string): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    if (error instanceof DigestMismatchError) throw checksumError(url, hexOf(error.expected), hexOf(error.actual));
    throw error;
  }
}
