import { close, closeSync, openSync, read, readSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';

const CHUNK_BYTES = 1024 * 1024;
const MAX_SPARE = 16;
const spare: Buffer[] = [];

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

/** Waits until the chunk is with the kernel (true), or the connection is gone (false). */
export function writeChunk(response: ServerResponse, chunk: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    const onClose = () => resolve(false);
    response.once('close', onClose);
    response.write(chunk, (error) => {
      response.off('close', onClose);
      resolve(!error);
    });
  });
}

/**
 * Sends `length` bytes of an open file from `start` and ends the response; closes `fd` in any case. One buffer of 1 MiB, used
 * again and again, is all the memory it takes. A client that goes away ends it quietly; throws what the file system says, or
 * ShortFileError, after which the connection has to be broken.
 */
export async function streamFile(response: ServerResponse, fd: number, start: number, length: number): Promise<void> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let sent = true;
  try {
    const end = start + length;
    for (let at = start; at < end && sent; ) {
      const { bytesRead } = await readAt(fd, buffer, 0, Math.min(CHUNK_BYTES, end - at), at);
      if (bytesRead === 0) throw new ShortFileError(at, end);
      at += bytesRead;
      sent = await writeChunk(response, bytesRead === CHUNK_BYTES ? buffer : buffer.subarray(0, bytesRead));
    }
    if (sent) response.end();
  } finally {
    // A buffer whose write was not confirmed may still be in the hands of the socket.
    if (sent && spare.length < MAX_SPARE) spare.push(buffer);
    await closeFile(fd);
  }
}
