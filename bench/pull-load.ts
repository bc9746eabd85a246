import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { threadEntry } from '../src/lib/worker-entry.ts';
import type { PulledByThread, PullJob } from './pull-load-thread.ts';

/** What is asked for, of whom, by how many. */
export interface PullLoad {
  readonly origin: string;
  readonly clients: number;
  readonly seconds: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly targets: PullJob['targets'];
}

/** Latencies in milliseconds. */
export interface Pulled {
  readonly requests: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly medianLatency: number;
  readonly p99Latency: number;
  /** How busy the busiest thread of the load generator was, 0 to 1. */
  readonly loadBusy: number;
}

const MAX_THREADS = 2;

/**
 * GETs from keep-alive connections to a server on this machine, each as fast as it answers, until the time is over. Two threads with
 * bare sockets: what a client library does for each request would be measured as the server's. Throws at the first wrong answer.
 */
export async function pullLoad({ origin, clients, seconds, headers, targets }: PullLoad): Promise<Pulled> {
  const { hostname, port } = new URL(origin);
  if (!['127.0.0.1', 'localhost'].includes(hostname)) throw new Error(`Load goes to this machine only, not to ${hostname}`);
  const threads = Math.min(MAX_THREADS, clients);
  const jobs = Array.from({ length: threads }, (_, number): PullJob => {
    const own = Math.floor((clients + number) / threads);
    return { host: hostname, port: Number(port), clients: own, seconds, headers, targets: rotated(targets, number) };
  });
  const results = await Promise.all(jobs.map(runThread));
  const latencies = Float64Array.from(results.flatMap((one) => [...one.latencies])).sort();
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN;
  return {
    requests: latencies.length,
    bytes: results.reduce((sum, one) => sum + one.bytes, 0),
    seconds: Math.max(...results.map((one) => one.seconds)),
    medianLatency: at(0.5),
    p99Latency: at(0.99),
    loadBusy: Math.max(...results.map((one) => one.busy)),
  };
}

async function runThread(job: PullJob): Promise<PulledByThread> {
  const thread = new Worker(threadEntry(import.meta.url, 'pull-load-thread'), { workerData: job });
  const [pulled] = (await once(thread, 'message')) as [PulledByThread];
  await thread.terminate();
  return pulled;
}

/** So that two threads do not ask for the same at the same time. */
const rotated = <T>(list: readonly T[], turn: number): readonly T[] => {
  const at = Math.floor((list.length * turn) / MAX_THREADS);
  return [...list.slice(at), ...list.slice(0, at)];
};
