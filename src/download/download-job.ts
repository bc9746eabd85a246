import { type ChecksumName, RunningChecksums } from '../lib/checksums.ts';
import type { DigestAlgorithm } from '../lib/digest.ts';
import { LargeFile } from '../lib/large-file.ts';
import { onAbort } from './abort.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { TlsOptions } from './dispatcher.ts';
import { statusError, totalTimeoutError, upstreamErrorOf } from './failure.ts';
import type { NetworkPolicy, NetworkRules } from './network-policy.ts';
import { followRedirect, type Hop, isRedirect, MAX_REDIRECTS, tooManyRedirects } from './redirect.ts';
import type { Timeouts } from './remote-settings.ts';
import type { ResponseHead } from './response-parser.ts';
import { checksumError, Resume } from './resume.ts';
import { withRetries } from './retry.ts';
import { SlowBody } from './slow-body.ts';
import type { Downloaded } from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';

/** What all jobs of an upstream have in common, in plain values: a thread is told it once. */
export interface JobSettings {
  /** Of the upstream: connections are kept for it. */
  readonly upstream: string;
  /** Threads that fetch its proven bodies, and how many each of them fetches at once; more wait in it, so that it has work while its answers are read. */
  readonly proving: { readonly threads: number; readonly connections: number };
  readonly tries: number;
  readonly tls: TlsOptions;
  readonly timeouts: Timeouts;
  readonly rules: NetworkRules;
}

/** A request for a thread. A thread loads neither undici nor zod, which would cost it more memory than its work. */
export interface TransferJob {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What to compute of the bytes. */
  readonly checksums: readonly ChecksumName[];
}

/** One file to fetch: its digest is taken apart before. */
export interface DownloadJob extends TransferJob {
  readonly algorithm: DigestAlgorithm;
  /** The expected digest. */
  readonly hex: string;
  readonly size: number | undefined;
  readonly path: string;
}

export interface JobContext {
  readonly settings: JobSettings;
  readonly policy: NetworkPolicy;
  readonly connections: ConnectionPool;
  readonly signal: AbortSignal;
  readonly onRetry: (error: UpstreamError, retry: number, waitMs: number) => void;
}

/** Bytes of an answer that is no body, read to keep the connection. */
const MAX_DISCARDED_BYTES = 64 * 1024;

class DiscardLimitError extends Error {}

/**
 * Fetches the file, tries again where that helps, and resolves when its bytes are written and verified. Writes are
 * synchronous: this runs in a thread that has nothing else to do, and the socket is not read meanwhile.
 */
export async function runDownload(job: DownloadJob, context: JobContext): Promise<Downloaded> {
  const file = new HashedFile(job);
  try {
    return await withRetries({ ...context, tries: context.settings.tries }, async () => {
      try {
        await fetchInto(file, job, context);
        return file.finish();
      } catch (error) {
        if (error instanceof UpstreamError && !file.resumable(error)) file.restart();
        throw error;
      }
    });
  } finally {
    file.close();
  }
}

/** The file, its digests, and how far both have come. */
class HashedFile implements TransferTarget {
  readonly resume: Resume;
  readonly #job: DownloadJob;
  readonly #file: LargeFile;
  #checksums: RunningChecksums;
  /** Where the bytes came from in the end. */
  url: string;

  constructor(job: DownloadJob) {
    this.#job = job;
    this.url = job.url;
    this.resume = new Resume(job.size);
    this.#file = new LargeFile(job.path, job.size);
    this.#checksums = this.#freshChecksums();
  }

  add(part: Buffer): void {
    const fresh = this.resume.take(part, this.url);
    this.#checksums.update(fresh);
    this.#file.append(fresh);
  }

  finish(): Downloaded {
    this.resume.finish(this.url);
    const checksums = this.#checksums.finish();
    const actual = checksums[this.#job.algorithm];
    const expected = this.#job.hex;
    if (actual !== expected) throw checksumError(this.url, expected, String(actual));
    this.#file.finish();
    return { size: this.resume.received, checksums };
  }

  /** Whether what is there may be kept for the next try: not after bytes that turned out wrong. */
  resumable({ kind }: UpstreamError): boolean {
    return kind !== 'checksum' && kind !== 'size' && kind !== 'protocol' && this.resume.received > 0;
  }

  restart(): void {
    this.#checksums = this.#freshChecksums();
    if (this.resume.received > 0) this.#file.restart();
    this.resume.restart();
  }

  close(): void {
    this.#file.close();
  }

  #freshChecksums(): RunningChecksums {
    return new RunningChecksums(new Set<ChecksumName>([this.#job.algorithm, ...this.#job.checksums]));
  }
}

/** What takes the bytes of a transfer. */
export interface TransferTarget {
  readonly resume: Resume;
  /** Where the bytes come from, after redirects. */
  url: string;
  /** Takes a part, whose memory is used again. */
  add(part: Buffer): void;
}

/** One try of a transfer, with its redirects: from the first byte that is not there yet. */
export async function fetchInto(file: TransferTarget, job: TransferJob, context: JobContext): Promise<void> {
  const { policy, settings } = context;
  let hop: Hop = { url: new URL(job.url), headers: { ...job.headers, ...file.resume.headers() } };
  const started = Date.now();
  for (let redirects = 0; ; redirects += 1) {
    policy.checkUrl(hop.url);
    file.url = hop.url.href;
    const { total } = settings.timeouts;
    const left = total === 0 ? 0 : Math.max(1, total - (Date.now() - started));
    const head = await exchange(file, hop, job, { ...context, left });
    if (isBody(head.status)) return;
    if (!isRedirect(head.status)) throw statusError(head.status, head.reason, head.headers, hop.url.href);
    if (redirects === MAX_REDIRECTS) throw tooManyRedirects(job.url);
    hop = followRedirect(hop, head.headers.location);
  }
}

const isBody = (status: number): boolean => status === 200 || status === 206 || status === 416;

interface ExchangeContext extends JobContext {
  /** Milliseconds until the total timeout; 0 sets no limit. */
  readonly left: number;
}

/** One request: a body goes to the file, anything else is read past. A kept connection that turns out closed is replaced. */
async function exchange(file: TransferTarget, hop: Hop, job: TransferJob, context: ExchangeContext): Promise<ResponseHead> {
  const { connections, policy } = context;
  const { upstream, tls, timeouts } = context.settings;
  for (;;) {
    context.signal.throwIfAborted();
    const connection = connections.take(upstream, hop.url, { policy, tls, timeouts });
    const release = onAbort(context.signal, (reason) => connection.destroy(reason));
    const late = (): void => connection.destroy(totalTimeoutError(job.url, timeouts));
    const timer = context.left > 0 ? setTimeout(late, context.left) : undefined;
    const sink = new JobSink(file, hop.url.href);
    try {
      await connection.exchange(hop.url, hop.headers, sink);
      connections.give(upstream, connection);
      return sink.answered();
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof DiscardLimitError) return sink.answered();
      if (connection.reused && sink.seen === undefined && (error as NodeJS.ErrnoException).code !== 'UND_ERR_BODY_TIMEOUT')
        continue;
      const facts = { url: hop.url.href, timeouts, validatesTls: tls.rejectUnauthorized };
      throw upstreamErrorOf(error, { ...facts, answered: sink.seen !== undefined });
    } finally {
      release();
      clearTimeout(timer);
    }
  }
}

class JobSink {
  readonly #file: TransferTarget;
  readonly #url: string;
  readonly #slow: SlowBody;
  #last = performance.now();
  #discarded = 0;
  seen: ResponseHead | undefined;

  constructor(file: TransferTarget, url: string) {
    this.#file = file;
    this.#url = url;
    this.#slow = new SlowBody(url);
  }

  head(head: ResponseHead): void {
    this.seen = head;
    this.#last = performance.now();
    if (isBody(head.status)) this.#file.resume.begin(head.status, head.headers, this.#url);
  }

  data(part: Buffer): void {
    if (this.seen && isBody(this.seen.status)) {
      const now = performance.now();
      this.#slow.add(part.byteLength, now - this.#last);
      this.#last = now;
      this.#file.add(part);
      return;
    }
    this.#discarded += part.byteLength;
    if (this.#discarded > MAX_DISCARDED_BYTES) throw new DiscardLimitError();
  }

  /** The head of an answer that has been read. */
  answered(): ResponseHead {
    if (!this.seen) throw new Error('an exchange ended without an answer');
    return this.seen;
  }
}
