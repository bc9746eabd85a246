// Run by worker-entry.test.ts, from source and from a bundle: starts the thread beside it and prints its answer.
import { Worker } from 'node:worker_threads';
import { threadEntry } from '../../src/lib/worker-entry.ts';

const thread = new Worker(threadEntry(import.meta.url, 'echo-thread'), { workerData: 'from the main thread' });
thread.on('message', (text: string) => {
  console.log(text);
  thread.postMessage('end');
});
