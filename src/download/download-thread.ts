import { parentPort } from 'node:worker_threads';
import { ConnectionPool } from './connection-pool.ts';
import { type JobContext, runDownload } from './download-job.ts';
import { type FromThread, plainError, type ToThread } from './download-message.ts';
import { type ProvenResult, runProven } from './proven-job.ts';

const port = parentPort;
if (!port) throw new Error('download-thread is started by download-threads.ts');

const connections = new ConnectionPool();
const running = new Map<number, AbortController>();
let answers: FromThread[] = [];

/** Collects what one turn of the event loop answers; held bodies are handed over. */
function tell(message: FromThread): void {
  answers.push(message);
  if (answers.length > 1) return;
  setImmediate(() => {
    const bodies = answers.flatMap((answer) =>
      'done' in answer && answer.done.bytes ? [answer.done.bytes.buffer as ArrayBuffer] : [],
    );
    port?.postMessage(answers, bodies);
    answers = [];
  });
}

function take(message: ToThread): void {
  const { id } = message;
  if ('abort' in message) {
    running.get(id)?.abort(new Error('aborted'));
    return;
  }
  const controller = new AbortController();
  running.set(id, controller);
  const { job } = message;
  const context: JobContext = {
    connections,
    signal: controller.signal,
    onRetry: (error, number, waitMs) => tell({ id, retry: plainError(error), number, waitMs }),
  };
  const done: Promise<ProvenResult> = 'proof' in job ? runProven(job, context) : runDownload(job, context);
  done
    .then(
      (done) => tell({ id, done }),
      (error: unknown) => tell({ id, failed: plainError(error) }),
    )
    .finally(() => running.delete(id));
}

port.on('message', (messages: readonly ToThread[]) => messages.forEach(take));
