import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';

/** What a thread of the load generator is to do. */
export interface PullJob {
  readonly host: string;
  readonly port: number;
  /** Connections. */
  readonly clients: number;
  readonly seconds: number;
  /** Lines of the request's head beside the first and `Host`. */
  readonly headers: Readonly<Record<string, string>>;
  /** Asked for in turn; `bytes` is what the answer has to have, where it is known. */
  readonly targets: readonly { readonly path: string; readonly bytes: number | undefined }[];
}

/** What came of it. */
export interface PulledByThread {
  /** Of each request to its last byte, redirects included, milliseconds. */
  readonly latencies: Float64Array;
  readonly bytes: number;
  readonly seconds: number;
  /** The share of the time that this thread was at work: near 1, the load generator is the limit. */
  readonly busy: number;
}

/** The kernel writes each socket's bytes here, again and again: a buffer for each read would cost more than all else. */
const READ_BYTES = 256 * 1024;
const END_OF_HEAD = '\r\n\r\n';

/** One keep-alive connection that sends a request when the answer to the last one is whole. Understands answers that state a length. */
class Client {
  readonly #socket: Socket;
  readonly #job: PullJob;
  readonly #deadline: number;
  readonly #latencies: number[];
  readonly #done: (error?: Error) => void;
  #next: number;
  #started = 0;
  #expected: number | undefined;
  /** Bytes of the body that are still to come; undefined while the head is awaited. */
  #left: number | undefined;
  /** Of the body of this answer. */
  #length = 0;
  #redirect: string | undefined;
  #head = '';
  bytes = 0;

  constructor(job: PullJob, first: number, deadline: number, latencies: number[], done: (error?: Error) => void) {
    this.#job = job;
    this.#next = first;
    this.#deadline = deadline;
    this.#latencies = latencies;
    this.#done = done;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (count: number): boolean => {
      try {
        this.#take(buffer, count);
      } catch (error) {
        this.#end(error as Error);
      }
      return true;
    };
    this.#socket = connect({ host: job.host, port: job.port, noDelay: true, onread: { buffer, callback } }, () => this.#ask());
    this.#socket.on('error', done);
    this.#socket.on('close', () =>
      done(new Error(`the server closed the connection, ${this.#left ?? 'all'} bytes missing of ${this.#length}`)),
    );
  }

  #ask(): void {
    const target = this.#job.targets[this.#next % this.#job.targets.length];
    if (!target) throw new Error('nothing to ask for');
    this.#next += this.#job.clients;
    this.#expected = target.bytes;
    this.#started = performance.now();
    this.#send(target.path);
  }

  #send(path: string): void {
    const { host, port, headers } = this.#job;
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\n${lines.join('')}\r\n`, 'latin1');
  }

  #take(buffer: Buffer, count: number): void {
    if (this.#left !== undefined) {
      this.#consume(count);
      return;
    }
    const end = buffer.subarray(0, count).indexOf(END_OF_HEAD);
    this.#head += buffer.toString('latin1', 0, end < 0 ? count : end);
    if (end < 0) return;
    this.#read(this.#head);
    this.#head = '';
    this.#consume(count - end - END_OF_HEAD.length);
  }

  #read(head: string): void {
    const status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) throw wrong(`an answer without Content-Length: ${head.slice(0, 300)}`);
    this.#left = this.#length = Number(length);
    this.#redirect = undefined;
    if (status === 200) {
      if (this.#expected !== undefined && this.#length !== this.#expected)
        throw wrong(`${length} bytes where ${this.#expected} were expected`);
      return;
    }
    const location = /\r\nlocation: *(\S+)/i.exec(head)?.[1];
    if (status < 300 || status > 399 || location === undefined) throw wrong(head.slice(0, 300));
    const { host, pathname, search } = new URL(location, `http://${this.#job.host}:${this.#job.port}`);
    if (host !== `${this.#job.host}:${this.#job.port}`) throw wrong(`a redirect to ${host}`);
    this.#redirect = pathname + search;
  }

  #consume(count: number): void {
    if (this.#left === undefined) return;
    this.#left -= count;
    if (this.#left > 0) return;
    this.#left = undefined;
    if (this.#redirect !== undefined) {
      this.#send(this.#redirect);
      return;
    }
    this.bytes += this.#length;
    const now = performance.now();
    this.#latencies.push(now - this.#started);
    if (now < this.#deadline) this.#ask();
    else this.#end();
  }

  #end(error?: Error): void {
    this.#socket.removeAllListeners();
    this.#socket.on('error', () => undefined); // what was asked for has come: how the connection ends is of no interest
    this.#socket.destroy();
    this.#done(error);
  }
}

const wrong = (reason: string): Error => new Error(`not the answer that was expected: ${reason}`);

async function run(job: PullJob): Promise<PulledByThread> {
  const latencies: number[] = [];
  const before = performance.eventLoopUtilization();
  const started = performance.now();
  const clients: Client[] = [];
  await Promise.all(
    Array.from(
      { length: job.clients },
      (_, number) =>
        new Promise<void>((resolve, reject) => {
          const done = (error?: Error) => (error ? reject(error) : resolve());
          clients.push(new Client(job, number, started + job.seconds * 1000, latencies, done));
        }),
    ),
  );
  const seconds = (performance.now() - started) / 1000;
  const busy = performance.eventLoopUtilization(before).utilization;
  return { latencies: Float64Array.from(latencies), bytes: clients.reduce((sum, { bytes }) => sum + bytes, 0), seconds, busy };
}

run(workerData as PullJob).then((pulled) => parentPort?.postMessage(pulled));
