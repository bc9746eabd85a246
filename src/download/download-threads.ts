import { Worker } from 'node:worker_threads';
import { THREAD_MEMORY, threadEntry } from '../lib/worker-entry.ts';
import { onAbort } from './abort.ts';
import type { DownloadJob } from './download-job.ts';
import { errorOf, type FromThread, type ToThread } from './download-message.ts';
import type { Downloaded } from './upstream.ts';

interface Pending {
  readonly resolve: (done: Downloaded) => void;
  readonly reject: (error: unknown) => void;
  readonly onRetry: (error: Error, retry: number, waitMs: number) => void;
}

/**
 * Threads that each fetch whole files: hashing and writing at a gigabyte a second is more than one core does. They are the
 * process's, not an upstream's, live as long as it does, and do not keep it alive while they are idle.
 */
class DownloadThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  alive = true;

  constructor() {
    this.#worker = new Worker(threadEntry(import.meta.url, 'download-thread'), {
      name: 'download',
      resourceLimits: THREAD_MEMORY,
    });
    this.#worker.unref();
    this.#worker.on('message', (message: FromThread) => this.#take(message));
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', (code) => this.#die(new Error(`a download thread ended with code ${code}`)));
  }

  get load(): number {
    return this.#pending.size;
  }

  run(job: DownloadJob, signal: AbortSignal | undefined, onRetry: Pending['onRetry']): Promise<Downloaded> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const stop = onAbort(signal, () => this.#tell({ id, abort: true }));
    return new Promise<Downloaded>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onRetry });
      this.#worker.ref();
      this.#tell({ id, job });
    }).finally(stop);
  }

  #tell(message: ToThread): void {
    this.#worker.postMessage(message);
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
  job: DownloadJob,
  limit: number,
  signal: AbortSignal | undefined,
  onRetry: Pending['onRetry'],
): Promise<Downloaded> {
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
