import { parentPort, workerData } from 'node:worker_threads';
import { RunningChecksums } from '../lib/checksums.ts';
import { LargeFile } from '../lib/large-file.ts';
import { type FromAppender, SLOT_BYTES, type ToAppender } from './appender-message.ts';
import { codeOf } from './full-disk.ts';

interface OpenFile {
  readonly checksums: RunningChecksums;
  readonly file: LargeFile;
}

const slots = new Uint8Array(workerData as SharedArrayBuffer);
/** Those that something went wrong with are not among them any more. */
const files = new Map<number, OpenFile>();

const answer = (message: FromAppender): void => parentPort?.postMessage(message);

function fail(id: number, error: unknown): void {
  const open = files.get(id);
  files.delete(id);
  open?.file.close();
  answer({ id, message: error instanceof Error ? error.message : String(error), code: codeOf(error) });
}

function append({ checksums, file }: OpenFile, bytes: Uint8Array): void {
  checksums.update(bytes);
  file.append(bytes);
}

function end(id: number, { checksums, file }: OpenFile): void {
  file.finish();
  files.delete(id);
  file.close();
  answer({ id, checksums: checksums.finish() });
}

function take(message: ToAppender): void {
  const { id } = message;
  if ('open' in message) {
    const checksums = new RunningChecksums(message.checksums);
    files.set(id, { checksums, file: new LargeFile(message.open) });
    return;
  }
  const file = files.get(id);
  if (!file) return;
  if ('end' in message) end(id, file);
  else append(file, slots.subarray(message.slot * SLOT_BYTES, message.slot * SLOT_BYTES + message.length));
}

// Calls that block are right here: this thread does nothing else.
parentPort?.on('message', (message: ToAppender) => {
  try {
    take(message);
  } catch (error) {
    fail(message.id, error);
  }
  if ('slot' in message) answer({ slot: message.slot });
});
