import { Worker } from 'node:worker_threads';
import { THREAD_MEMORY, threadEntry } from '../lib/worker-entry.ts';
import { onAbort } from './abort.ts';
import type { DownloadJob } from './download-job.ts';
import { errorOf, type FromThread, type ToThread } from './download-message.ts';
import type { ProvenJob, ProvenResult } from './proven-job.ts';

interface Pending {
  readonly resolve: (done: ProvenResult) => void;
  readonly reject: (error: unknown) => void;
  readonly onRetry: (error: Error, retry: number, waitMs: number) => void;
}

/**
 * Threads that each fetch whole files: hashing and writing at a gigabyte a second is more than one core does, and so are thousands
 * of small requests a second beside all else that a sync does. They are the
 * process's, not an upstream's, live as long as it does, and do not keep it alive while they are idle.
 */
class DownloadThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #outbox: ToThread[] = [];
  #nextId = 1;
  alive = true;

  constructor() {
    this.#worker = new Worker(threadEntry(import.meta.url, 'download-thread'), {
      name: 'download',
      resourceLimits: THREAD_MEMORY,
    });
    this.#worker.unref();
    this.#worker.on('message', (messages: readonly FromThread[]) => {
      for (const message of messages) this.#take(message);
    });
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', (code) => this.#die(new Error(`a download thread ended with code ${code}`)));
  }

  get load(): number {
    return this.#pending.size;
  }

  run(job: DownloadJob | ProvenJob, signal: AbortSignal | undefined, onRetry: Pending['onRetry']): Promise<ProvenResult> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const stop = onAbort(signal, () => this.#tell({ id, abort: true }));
    return new Promise<ProvenResult>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onRetry });
      this.#worker.ref();
      this.#tell({ id, job });
    }).finally(stop);
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

  #take(message: FromThread): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    if ('retry' in message) {
      pending.onRetry(errorOf(message.retry), message.number, message.waitMs);
      return;
    }
    this.#pending.delete(message.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if ('done' in message) pending.resolve(message.done);
    else pending.reject(errorOf(message.failed));
  }

  #die(error: Error): void {
    this.alive = false;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

let threads: DownloadThread[] = [];

/**
 * Runs the job in one of at most `limit` threads, the least busy one. Rejects with an UpstreamError, a file system's error, or
 * the signal's reason, once the thread has let go of the file.
 */
export async function downloadInThread(
  job: DownloadJob | ProvenJob,
  limit: number,
  signal: AbortSignal | undefined,
  onRetry: Pending['onRetry'],
): Promise<ProvenResult> {
  threads = threads.filter(({ alive }) => alive);
  let thread = threads.toSorted((a, b) => a.load - b.load)[0];
  if (!thread || (thread.load > 0 && threads.length < limit)) {
    thread = new DownloadThread();
    threads.push(thread);
  }
  try {
    return await thread.run(job, signal, onRetry);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
