import { parentPort } from 'node:worker_threads';
import { ConnectionPool } from './connection-pool.ts';
import { runDownload } from './download-job.ts';
import { type FromThread, plainError, type ToThread } from './download-message.ts';

const port = parentPort;
if (!port) throw new Error('download-thread is started by download-threads.ts');

const connections = new ConnectionPool();
const running = new Map<number, AbortController>();
const tell = (message: FromThread): void => port.postMessage(message);

port.on('message', (message: ToThread) => {
  const { id } = message;
  if ('abort' in message) {
    running.get(id)?.abort(new Error('aborted'));
    return;
  }
  const controller = new AbortController();
  running.set(id, controller);
  runDownload(message.job, {
    connections,
    signal: controller.signal,
    onRetry: (error, number, waitMs) => tell({ id, retry: plainError(error), number, waitMs }),
  })
    .then(
      (done) => tell({ id, done }),
      (error: unknown) => tell({ id, failed: plainError(error) }),
    )
    .finally(() => running.delete(id));
});
