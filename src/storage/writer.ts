import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { THREAD_MEMORY, threadEntry } from '../lib/worker-entry.ts';
import { namedError } from './full-disk.ts';
import type { Batch, BatchAnswer, BatchFile, FromWriter, WriterFolders } from './writer-batch.ts';

/** A body to write, or a whole and synced temporary file, and the absolute path it is to have. */
export type WriterFile =
  | { readonly target: string; readonly body: Uint8Array }
  | { readonly target: string; readonly temporary: string };

/** Places files durably, in groups: what is asked for while a group is being written makes up the next one. */
export interface Writer {
  /** Resolves when all are durable under their targets. Throws StorageFullError or the file system's error. */
  place(files: readonly WriterFile[]): Promise<void>;
  /** Waits for what was asked for, then ends the thread. Journals that cannot be settled soon are left to the next start. */
  close(): Promise<void>;
}

/** One `place`: it is answered when the last of its files has been. */
interface Request {
  left: number;
  failure: { readonly error: unknown } | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Waiting {
  readonly file: WriterFile;
  readonly request: Request;
}

/** Bytes of bodies in one batch; more wait for the next. A single larger body goes alone. */
const BATCH_BYTES = 16 * 1024 * 1024;

/** How long the end of the process waits for files to be made durable in their places. */
const SETTLE_MS = 1000;

/** The thread is started with the first file, and does not keep the process alive while there is nothing to write. */
export const startWriter = (folders: WriterFolders, log: Logger): Writer => new WriterThread(folders, log);

class WriterThread implements Writer {
  readonly #folders: WriterFolders;
  readonly #log: Logger;
  #waiting: Waiting[] = [];
  /** The batch that the thread is at. */
  #sent: Waiting[] = [];
  #scheduled = false;
  #thread: Worker | undefined;
  #onIdle: (() => void) | undefined;

  constructor(folders: WriterFolders, log: Logger) {
    this.#folders = folders;
    this.#log = log;
  }

  place(files: readonly WriterFile[]): Promise<void> {
    if (files.length === 0) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const request: Request = { left: files.length, failure: undefined, resolve, reject };
      for (const file of files) this.#waiting.push({ file, request });
      if (this.#scheduled || this.#sent.length > 0) return;
      this.#scheduled = true;
      // Collects what one turn of the event loop asks for.
      setImmediate(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  async close(): Promise<void> {
    if (this.#scheduled || this.#sent.length > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    const thread = this.#thread;
    this.#thread = undefined;
    if (!thread) return;
    thread.ref();
    thread.postMessage('settle');
    // It may also end by itself. What is not settled then, the next start settles.
    await Promise.race([once(thread, 'message'), once(thread, 'exit'), delay(SETTLE_MS, undefined, { ref: false })]);
    await thread.terminate();
  }

  #send(): void {
    this.#sent = takeBatch(this.#waiting);
    this.#waiting = this.#waiting.slice(this.#sent.length);
    const batch = packed(this.#sent.map(({ file }) => file));
    this.#thread ??= this.#start();
    this.#thread.ref();
    this.#thread.postMessage(batch, [batch.bytes]);
  }

  #start(): Worker {
    const thread = new Worker(threadEntry(import.meta.url, 'writer-thread'), {
      workerData: this.#folders,
      name: 'storage-writer',
      resourceLimits: THREAD_MEMORY,
    });
    let cause: unknown;
    thread.on('message', (answer: FromWriter) => {
      if (answer === 'settled') return;
      if ('journal' in answer)
        this.#log.error(answer, 'stored files are not durable in their places: the next start sees to them');
      else this.#finish(this.#errorsOf(answer));
    });
    thread.on('error', (error) => {
      cause = error;
    });
    // A thread that ends by itself takes its batch along; the next batch starts another.
    thread.on('exit', () => {
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      if (this.#sent.length === 0) return;
      const error = new Error('the thread that writes stored files ended unexpectedly: its files were not stored', { cause });
      this.#finish(new Map(this.#sent.map((_, index) => [index, error])));
    });
    return thread;
  }

  #errorsOf(answer: BatchAnswer): ReadonlyMap<number, unknown> {
    return new Map(
      answer.map(({ index, message, code }) => [
        index,
        namedError(Object.assign(new Error(message), { code }), this.#folders.root),
      ]),
    );
  }

  #finish(errors: ReadonlyMap<number, unknown>): void {
    const batch = this.#sent;
    this.#sent = [];
    batch.forEach(({ request }, index) => {
      if (errors.has(index)) request.failure ??= { error: errors.get(index) };
      request.left -= 1;
      if (request.left > 0) return;
      if (request.failure) request.reject(request.failure.error);
      else request.resolve();
    });
    if (this.#waiting.length > 0) this.#send();
    else {
      this.#thread?.unref();
      this.#onIdle?.();
    }
  }
}

function takeBatch(waiting: readonly Waiting[]): Waiting[] {
  let bytes = 0;
  const end = waiting.findIndex(({ file }, index) => {
    bytes += 'body' in file ? file.body.byteLength : 0;
    return index > 0 && bytes > BATCH_BYTES;
  });
  return waiting.slice(0, end < 0 ? waiting.length : end);
}

/** Copies the bodies into one buffer: as they are, each would take along the larger buffer that it is often a view of. */
function packed(files: readonly WriterFile[]): Batch {
  const total = files.reduce((sum, file) => sum + ('body' in file ? file.body.byteLength : 0), 0);
  const bytes = new Uint8Array(total);
  let offset = 0;
  const batchFiles = files.map((file): BatchFile => {
    if ('temporary' in file) return { target: file.target, temporary: file.temporary };
    bytes.set(file.body, offset);
    offset += file.body.byteLength;
    return { target: file.target, length: file.body.byteLength };
  });
  return { files: batchFiles, bytes: bytes.buffer };
}
