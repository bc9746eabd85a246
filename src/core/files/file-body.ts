import { close, closeSync, openSync, read, readSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { ResponseBody } from './response-body.ts';

/** Each file has two. With half of it each large pull takes a fifth more CPU. */
const KEPT_BYTES = 1024 * 1024;
const MAX_KEPT = 16;
/** Of those that are more than the kept ones, and are made anew for each file: hundreds of slow clients have them for long. */
const FURTHER_BYTES = 256 * 1024;
const spare: Buffer[] = [];
let kept = 0;

/** A buffer to read into, until it is given back. */
function takeBuffer(): Buffer {
  const buffer = spare.pop();
  if (buffer) return buffer;
  if (kept === MAX_KEPT) return Buffer.allocUnsafeSlow(FURTHER_BYTES);
  kept += 1;
  return Buffer.allocUnsafeSlow(KEPT_BYTES);
}

/** The kept ones are let go when none has been used for so long: most of a server's hours are without large pulls. */
const IDLE_MS = 2_000;
const letGo = setTimeout(() => {
  kept -= spare.length;
  spare.length = 0;
}, IDLE_MS).unref();

/** `isFree`: nobody else has it in his hands. */
function giveBack(buffer: Buffer, isFree: boolean): void {
  if (buffer.byteLength !== KEPT_BYTES) return;
  if (isFree) {
    spare.push(buffer);
    letGo.refresh();
  } else kept -= 1;
}

const readAt = promisify(read);
const closeFile = promisify(close);

/** A stored file that has fewer bytes than its row says. */
export class ShortFileError extends Error {
  override readonly name = 'ShortFileError';
  constructor(at: number, end: number) {
    super(`the stored file ends at byte ${at} where ${end} are recorded; repair the content`);
  }
}

/**
 * Reads a small part of a local file at once, without leaving the event loop: for files of some kilobytes in the page cache
 * that is a third of the cost of asynchronous calls. Throws the file system's error (ENOENT), or ShortFileError.
 */
export function readSmall(path: string, start: number, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const body = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; ) {
      const count = readSync(fd, body, at, length - at, start + at);
      if (count === 0) throw new ShortFileError(start + at, start + length);
      at += count;
    }
    return body;
  } finally {
    closeSync(fd);
  }
}

/** Fills the buffer from a place in the file, as far as one read goes; answers how many bytes that are. Throws ShortFileError at its end. */
async function fill(buffer: Buffer, fd: number, at: number, end: number): Promise<number> {
  if (at === end) return 0;
  const { bytesRead } = await readAt(fd, buffer, 0, Math.min(buffer.byteLength, end - at), at);
  if (bytesRead === 0) throw new ShortFileError(at, end);
  return bytesRead;
}

/**
 * Sends `length` bytes of an open file from `start` and ends the response; closes `fd` in any case. Two buffers, one of which is filled
 * while the other is sent, are all the memory it takes. A client that goes away ends it quietly; throws what the file system says, or
 * ShortFileError, after which the connection has to be broken.
 */
export async function streamFile(response: ServerResponse, fd: number, start: number, length: number): Promise<void> {
  const body = new ResponseBody(response);
  const end = start + length;
  let [sending, filling] = [takeBuffer(), takeBuffer()];
  let sent = true;
  try {
    let count = await fill(filling, fd, start, end);
    for (let at = start + count; count > 0 && sent; at += count) {
      [sending, filling] = [filling, sending];
      const ahead = fill(filling, fd, at, end);
      // It is heard below: what came before it is sent first.
      ahead.catch(() => undefined);
      sent = await body.write(sending.subarray(0, count));
      count = await ahead;
    }
    if (sent) response.end();
  } finally {
    // A buffer whose write was not confirmed may still be in the hands of the socket.
    giveBack(sending, sent);
    giveBack(filling, true);
    await closeFile(fd);
  }
}
