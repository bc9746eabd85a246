import { Worker } from 'node:worker_threads';
import type { ChecksumName, Checksums } from '../lib/checksums.ts';
import { THREAD_MEMORY, threadEntry } from '../lib/worker-entry.ts';
import { type FromAppender, SLOT_BYTES, SLOTS, type ToAppender } from './appender-message.ts';

/** What was appended. */
export interface Appended {
  /** Bytes. */
  readonly size: number;
  readonly checksums: Checksums;
}

/** Threads that hash and write what clients send: the event loop does as much again with receiving it. */
const THREADS = 2;

/** Appends to files, and hashes what it appends, in threads of its own; they are started with the first files. */
export class Appender {
  readonly #threads: AppenderThread[] = [];
  #next = 0;

  /**
   * Appends all bytes to the file of this path, which need not be there. When it resolves or rejects, nobody writes to the file any
   * more. Throws what `bytes` throws, or the file system's error.
   */
  append(path: string, bytes: AsyncIterable<Uint8Array>, checksums: readonly ChecksumName[]): Promise<Appended> {
    const number = this.#next++ % THREADS;
    const thread = this.#threads[number] ?? new AppenderThread();
    this.#threads[number] = thread;
    return thread.append(path, bytes, checksums);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()));
  }
}

/** How a file goes on, as far as the thread has told. */
interface Running {
  readonly resolve: (checksums: Checksums) => void;
  readonly reject: (error: unknown) => void;
}

const allSlots = (): number[] => Array.from({ length: SLOTS }, (_, slot) => slot);

class AppenderThread {
  readonly #memory = new SharedArrayBuffer(SLOTS * SLOT_BYTES);
  readonly #running = new Map<number, Running>();
  #free = allSlots();
  readonly #waiting: ((slot: number) => void)[] = [];
  #worker: Worker | undefined;
  #ids = 0;

  async append(path: string, bytes: AsyncIterable<Uint8Array>, checksums: readonly ChecksumName[]): Promise<Appended> {
    const id = this.#ids++;
    const ended = new Promise<Checksums>((resolve, reject) => this.#running.set(id, { resolve, reject }));
    ended.catch(() => undefined); // whoever waits for the end below has the error
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const tell = (message: ToAppender) => worker.postMessage(message);
    worker.ref();
    tell({ id, open: path, checksums });
    let size = 0;
    try {
      for await (const part of gathered(bytes)) {
        const filled = await this.#fillSlot(part);
        // What went wrong meanwhile is told at the end.
        if (!this.#running.has(id)) {
          this.#release(filled.slot);
          break;
        }
        tell({ id, ...filled });
        size += filled.length;
      }
    } catch (error) {
      tell({ id, end: true });
      await ended.catch(() => undefined); // the first error is the one that counts
      throw error;
    }
    tell({ id, end: true });
    return { size, checksums: await ended };
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  /** In shared memory: what is handed over as it is would be freed when the thread's garbage is collected, and pile up. */
  async #fillSlot(part: readonly Uint8Array[]): Promise<{ readonly slot: number; readonly length: number }> {
    const slot = this.#free.pop() ?? (await new Promise<number>((resolve) => this.#waiting.push(resolve)));
    const target = new Uint8Array(this.#memory, slot * SLOT_BYTES, SLOT_BYTES);
    let length = 0;
    for (const chunk of part) {
      target.set(chunk, length);
      length += chunk.byteLength;
    }
    return { slot, length };
  }

  #release(slot: number): void {
    const next = this.#waiting.shift();
    if (next) next(slot);
    else this.#free.push(slot);
  }

  #take(message: FromAppender): void {
    if ('slot' in message) {
      this.#release(message.slot);
      return;
    }
    const running = this.#running.get(message.id);
    this.#running.delete(message.id);
    if (this.#running.size === 0) this.#worker?.unref();
    if ('checksums' in message) running?.resolve(message.checksums);
    else running?.reject(Object.assign(new Error(message.message), { code: message.code }));
  }

  #start(): Worker {
    const entry = threadEntry(import.meta.url, 'appender-thread');
    const worker = new Worker(entry, { workerData: this.#memory, name: 'storage-appender', resourceLimits: THREAD_MEMORY });
    let cause: unknown;
    worker.on('message', (message: FromAppender) => this.#take(message));
    worker.on('error', (error) => {
      cause = error;
    });
    // A thread that ends by itself takes its files along; the next file starts another.
    worker.on('exit', () => {
      const error = new Error('the thread that writes received files ended unexpectedly: its files were not stored', { cause });
      this.#worker = undefined;
      for (const { reject } of this.#running.values()) reject(error);
      this.#running.clear();
      this.#free = [];
      for (const slot of allSlots()) this.#release(slot);
    });
    return worker;
  }
}

/** As much at once as fits a slot: a slow client must not keep one that is not full yet. */
async function* gathered(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[], void, undefined> {
  let part: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.byteLength; ) {
      const piece = chunk.subarray(at, at + SLOT_BYTES - length);
      part.push(piece);
      length += piece.byteLength;
      at += piece.byteLength;
      if (length < SLOT_BYTES) continue;
      yield part;
      part = [];
      length = 0;
    }
  }
  if (length > 0) yield part;
}
