import type { QueueOptions, WorkerOptions } from 'bullmq';

/** What the queue needs of BullMQ's `Queue`, on any backend. */
export interface Producer {
  waitUntilReady(): Promise<unknown>;
  add(name: string, data: object, opts: { jobId: string }): Promise<unknown>;
  addBulk(jobs: { name: string; data: object; opts: { jobId: string } }[]): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  close(): Promise<void>;
}

/** What the queue needs of BullMQ's `Worker`, on any backend. */
export interface Consumer {
  waitUntilReady(): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  close(force?: boolean): Promise<void>;
}

export type Processor = (job: { readonly name: string }) => Promise<void>;
export type ProducerSettings = Omit<QueueOptions, 'connection'>;
export type ConsumerSettings = Omit<WorkerOptions, 'connection' | 'autorun'>;

/** A server that BullMQ can keep its jobs on. */
export interface Backend {
  /** As an operator knows it, without credentials: `Redis at cache.example.org:6379`. */
  readonly place: string;
  producer(settings: ProducerSettings): Producer;
  /** A worker that takes no job yet, how to start it, and how to cut its connections. */
  consumer(processor: Processor, settings: ConsumerSettings): Consumer & { run(): Promise<void> };
  connected(): Promise<boolean | undefined>;
  close(): Promise<void>;
}
