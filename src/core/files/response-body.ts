import type { ServerResponse } from 'node:http';
import { writeBeside } from '../../lib/write-beside.ts';

/** Fewer bytes are written by the event loop: to hand them to a thread would cost more. */
const BESIDE_BYTES = 256 * 1024;
/** So many the event loop writes of more, to send the head with, and to wait until the client has made room. */
const BEFORE_BYTES = 16 * 1024;

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

/** The body of a response whose head is made, as one writes it: large pieces do not pass through the event loop. */
export class ResponseBody {
  readonly #response: ServerResponse;
  /** With the first bytes of the body. */
  #isHeadSent = false;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** Waits until all bytes are with the kernel (true), or the connection is gone (false). They must stay as they are until then; after false, for ever. */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.byteLength; ) {
      at += await this.#writeBeside(bytes.subarray(at));
      if (at === bytes.byteLength) return true;
      const left = bytes.byteLength - at;
      const next = bytes.subarray(at, left < BESIDE_BYTES ? undefined : at + BEFORE_BYTES);
      if (!(await writeChunk(this.#response, next))) return false;
      this.#isHeadSent = true;
      at += next.byteLength;
    }
    return true;
  }

  async #writeBeside(bytes: Uint8Array): Promise<number> {
    const { socket, chunkedEncoding } = this.#response;
    if (!this.#isHeadSent || !socket || chunkedEncoding || bytes.byteLength < BESIDE_BYTES) return 0;
    return writeBeside(socket, bytes);
  }
}
