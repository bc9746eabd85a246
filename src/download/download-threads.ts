import { Worker } from 'node:worker_threads';
import { THREAD_MEMORY, threadEntry } from '../lib/worker-entry.ts';
import { onAbort } from './abort.ts';
import type { DownloadJob, JobSettings } from './download-job.ts';
import { type Answers, errorOf, type FromThread, type ToThread } from './download-message.ts';
import type { ProvenJob, ProvenResult } from './proven-job.ts';

interface Pending {
  readonly resolve: (done: ProvenResult) => void;
  readonly reject: (error: unknown) => void;
  readonly onRetry: (error: Error, retry: number, waitMs: number) => void;
}

/**
 * Threads that each fetch whole files: hashing and writing at a gigabyte a second is more than one core does, and so are thousands
 * of small requests a second beside all else that a sync does. They are the process's, not an upstream's, live as long as it
 * does, and do not keep it alive while they are idle.
 */
class DownloadThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  /** Upstreams that the thread knows. */
  readonly #opened = new Set<string>();
  #outbox: ToThread[] = [];
  #nextId = 1;
  alive = true;

  constructor() {
    this.#worker = new Worker(threadEntry(import.meta.url, 'download-thread'), {
      name: 'download',
      resourceLimits: THREAD_MEMORY,
    });
    this.#worker.unref();
    this.#worker.on('message', ({ answers, bytes }: Answers) => {
      for (const answer of answers) this.#take(answer, bytes);
    });
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', (code) => this.#die(new Error(`a download thread ended with code ${code}`)));
  }

  get load(): number {
    return this.#pending.size;
  }

  run(
    settings: JobSettings,
    job: DownloadJob | ProvenJob,
    signal: AbortSignal | undefined,
    onRetry: Pending['onRetry'],
  ): Promise<ProvenResult> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const stop = onAbort(signal, () => this.#tell({ id, abort: true }));
    return new Promise<ProvenResult>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onRetry });
      this.#worker.ref();
      const { upstream } = settings;
      if (!this.#opened.has(upstream)) this.#tell({ open: settings });
      this.#opened.add(upstream);
      this.#tell({ id, upstream, job });
    }).finally(stop);
  }

  /** No job of the upstream follows. */
  close(upstream: string): void {
    if (this.#opened.delete(upstream)) this.#tell({ close: upstream });
  }

  /** Collects what one turn of the event loop asks for. */
  #tell(message: ToThread): void {
    this.#outbox.push(message);
    if (this.#outbox.length > 1) return;
    setImmediate(() => {
      this.#worker.postMessage(this.#outbox);
      this.#outbox = [];
    });
  }

  #take(message: FromThread, bytes: ArrayBuffer): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ('retry' in message) {
      pending.onRetry(errorOf(message.retry), message.number, message.waitMs);
      return;
    }
    this.#pending.delete(message.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if ('done' in message) {
      const { done, held } = message;
      pending.resolve({ ...done, bytes: held && Buffer.from(bytes, held.at, held.length) });
    } else pending.reject(errorOf(message.failed));
  }

  #die(error: Error): void {
    this.alive = false;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

let threads: DownloadThread[] = [];

/** Threads that fetch small bodies: two keep up with what one process can store, and each takes some 40 MB. */
const PROVING_THREADS = 2;

/** How `connections` are shared out, where `limit` threads may be started. */
export function provingThreads(connections: number, limit: number): JobSettings['proving'] {
  const threads = Math.min(limit, PROVING_THREADS, connections);
  return { threads, connections: Math.floor(connections / threads) };
}

/**
 * Runs the job in one of at most `limit` threads, the least busy one. Rejects with an UpstreamError, a file system's error, or
 * the signal's reason, once the thread has let go of the file.
 */
export async function downloadInThread(
  settings: JobSettings,
  job: DownloadJob | ProvenJob,
  limit: number,
  signal: AbortSignal | undefined,
  onRetry: Pending['onRetry'],
): Promise<ProvenResult> {
  threads = threads.filter(({ alive }) => alive);
  const most = 'proof' in job ? settings.proving.threads : limit;
  let thread = threads.slice(0, most).toSorted((a, b) => a.load - b.load)[0];
  if (!thread || (thread.load > 0 && threads.length < most)) {
    thread = new DownloadThread();
    threads.push(thread);
  }
  try {
    return await thread.run(settings, job, signal, onRetry);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** Lets the threads forget an upstream: no job of it follows. */
export function closeInThreads(upstream: string): void {
  for (const thread of threads) if (thread.alive) thread.close(upstream);
}
