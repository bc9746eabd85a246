import { parentPort } from 'node:worker_threads';
import { type Limiter, limitConcurrency } from '../lib/limit-concurrency.ts';
import { ConnectionPool } from './connection-pool.ts';
import { type DownloadJob, type JobContext, type JobSettings, runDownload } from './download-job.ts';
import { type Answers, type FromThread, plainError, type ToThread } from './download-message.ts';
import { NetworkPolicy } from './network-policy.ts';
import { type ProvenJob, type ProvenResult, runProven } from './proven-job.ts';

const port = parentPort;
if (!port) throw new Error('download-thread is started by download-threads.ts');

const connections = new ConnectionPool();
/** An upstream that jobs may name. */
interface OpenUpstream extends Pick<JobContext, 'settings' | 'policy'> {
  readonly slots: Limiter;
}
const upstreams = new Map<string, OpenUpstream>();
const running = new Map<number, AbortController>();
let answers: FromThread[] = [];
let bodies: Uint8Array[] = [];
let length = 0;

/** Collects what one turn of the event loop answers. */
function tell(message: FromThread): void {
  answers.push(message);
  if (answers.length === 1) setImmediate(send);
}

function send(): void {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const body of bodies) {
    bytes.set(body, at);
    at += body.byteLength;
  }
  const message: Answers = { answers, bytes: bytes.buffer };
  port?.postMessage(message, [bytes.buffer]);
  answers = [];
  bodies = [];
  length = 0;
}

function tellDone(id: number, { bytes, ...done }: ProvenResult): void {
  if (!bytes) {
    tell({ id, done });
    return;
  }
  tell({ id, done, held: { at: length, length: bytes.byteLength } });
  bodies.push(bytes);
  length += bytes.byteLength;
}

function open(settings: JobSettings): void {
  const policy = new NetworkPolicy(settings.rules);
  upstreams.set(settings.upstream, { settings, policy, slots: limitConcurrency(settings.proving.connections) });
}

function run(id: number, upstream: string, job: DownloadJob | ProvenJob): void {
  const opened = upstreams.get(upstream);
  if (!opened) throw new Error('a download thread was given a job of an upstream that it does not know');
  const controller = new AbortController();
  running.set(id, controller);
  const { settings, policy, slots } = opened;
  const context: JobContext = {
    settings,
    policy,
    connections,
    signal: controller.signal,
    onRetry: (error, number, waitMs) => tell({ id, retry: plainError(error), number, waitMs }),
  };
  const done =
    'proof' in job
      ? slots(() => runProven(job, context))
      : runDownload(job, context).then((downloaded): ProvenResult => ({ ...downloaded, bytes: undefined }));
  done
    .then(
      (result) => tellDone(id, result),
      (error: unknown) => tell({ id, failed: plainError(error) }),
    )
    .finally(() => running.delete(id));
}

function take(message: ToThread): void {
  if ('open' in message) open(message.open);
  else if ('close' in message) upstreams.delete(message.close);
  else if ('job' in message) run(message.id, message.upstream, message.job);
  else running.get(message.id)?.abort(new Error('aborted'));
}

port.on('message', (messages: readonly ToThread[]) => messages.forEach(take));
