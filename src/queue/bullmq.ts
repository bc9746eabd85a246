import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { withDeadline } from '../lib/deadline.ts';
import type { Backend, ConsumerSettings, Producer, ProducerSettings } from './backend.ts';
import { postgresBackend } from './postgres.ts';
import type { Queue } from './queue.ts';
import { redisBackend } from './redis.ts';

const ENQUEUE_MS = 2_000;
// On PostgreSQL BullMQ makes a temporary table for each bulk: seven times the cost of a single job.
const FEW = 4;
const STOP_MS = 3_000;
const RETRY_MS = 1_000;

// What became of a job is of no interest, the task row has it: jobs go when they end, and the stream of events, which
// nobody reads, stays short.
const producing: ProducerSettings = {
  defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
  streams: { events: { maxLen: 100 } },
};
// A job whose worker died is handed on after lockDuration + stalledInterval at most. That it may be handed on again and
// again is harmless: the claim in the task row decides who runs the task.
const consuming: ConsumerSettings = {
  lockDuration: 15_000,
  stalledInterval: 5_000,
  maxStalledCount: 1_000,
  runRetryDelay: RETRY_MS,
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
};

/** Makes the producer when it is first needed, and anew when its first connection failed, which BullMQ never gets over. */
function lazyProducer(backend: Backend, onError: (error: Error) => void): () => Promise<Producer> {
  let ready: Promise<Producer> | undefined;
  const open = async (): Promise<Producer> => {
    const producer = backend.producer(producing);
    producer.on('error', onError);
    await producer.waitUntilReady();
    return producer;
  };
  return () => {
    ready ??= open().catch((error: unknown) => {
      ready = undefined;
      throw error;
    });
    return ready;
  };
}

type Handler = (taskId: string) => Promise<void>;

/** Runs `handler` for each job until stopped; makes the consumer anew while its first connection fails. */
async function consume(backend: Backend, handler: Handler, concurrency: number, log: Logger): Promise<() => Promise<void>> {
  const working = new Set<Promise<void>>();
  const processor = async (job: { readonly name: string }): Promise<void> => {
    const work = handler(job.name);
    working.add(work);
    try {
      await work;
    } finally {
      working.delete(work);
    }
  };
  const open = () => {
    const consumer = backend.consumer(processor, { ...consuming, concurrency });
    consumer.on('error', (error) =>
      log.debug({ err: error, place: backend.place }, 'task queue: an error that it goes on after'),
    );
    return consumer;
  };
  let stopped = false;
  let consumer = open();
  const start = async (): Promise<void> => {
    while (!stopped) {
      try {
        await consumer.waitUntilReady();
        if (!stopped) await consumer.run();
        return;
      } catch (error) {
        if (stopped) return;
        log.warn({ err: error, place: backend.place }, 'task queue cannot be read; trying again');
        await consumer.close(true).catch((cause: unknown) => log.debug({ err: cause }, 'closing a broken task queue failed'));
        await delay(RETRY_MS);
        if (!stopped) consumer = open();
      }
    }
  };
  void start();
  return async () => {
    stopped = true;
    const closed = consumer.close();
    // First what the handlers take, however long; then BullMQ's own goodbye, which a server that is away holds up.
    await Promise.allSettled(working);
    await withDeadline(closed, STOP_MS, `${backend.place} does not answer`).catch((error: unknown) =>
      log.warn({ err: error, place: backend.place }, 'task queue left without a goodbye; its open jobs are handed on after 20 s'),
    );
  };
}

/**
 * The task queue: BullMQ on the Redis at `urls.redis`, or on the PostgreSQL at `urls.database` where there is none.
 * A Redis that is away delays nothing and comes back by itself; a PostgreSQL that is away makes this reject.
 */
export async function openQueue(
  urls: { readonly redis?: string | undefined; readonly database: string },
  log: Logger,
): Promise<Queue> {
  const backend = urls.redis ? redisBackend(urls.redis, log) : await postgresBackend(urls.database, log);
  const onError = (error: Error) => log.debug({ err: error, place: backend.place }, 'task queue: an error that it goes on after');
  const producer = lazyProducer(backend, onError);
  let producerUsed = false;
  return {
    async enqueue(wakeUps) {
      if (wakeUps.length === 0) return;
      producerUsed = true;
      // The claim's number in the job's id: while a job waits, a second call for it is dropped, and a task that is to run
      // again is not mistaken for the job that still holds its first run.
      const jobs = wakeUps.map(({ id, fence }) => ({ name: id, data: {}, opts: { jobId: `${id}-${fence}` } }));
      const added = producer().then((queue) =>
        jobs.length > FEW ? queue.addBulk(jobs) : Promise.all(jobs.map(({ name, data, opts }) => queue.add(name, data, opts))),
      );
      await withDeadline(added, ENQUEUE_MS, `${backend.place} does not answer within ${ENQUEUE_MS / 1000} s`);
    },
    consume: (handler, concurrency) => consume(backend, handler, concurrency, log),
    connected: backend.connected,
    async close() {
      if (producerUsed) {
        const closed = producer().then((queue) => queue.close());
        await withDeadline(closed, STOP_MS, `${backend.place} does not answer`).catch((error: unknown) =>
          log.debug({ err: error, place: backend.place }, 'task queue closed without a goodbye'),
        );
      }
      await backend.close();
    },
  };
}
