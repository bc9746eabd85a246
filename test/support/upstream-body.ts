import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Body, Delivery, Reply } from './upstream-faults.ts';

const CHUNK = 2 ** 20;
const freeChunks: Buffer[] = [];

/** Sends a reply, well or badly as `delivery` says. `range` is the value of a Range header that may be honoured. */
export async function sendReply(
  response: ServerResponse,
  reply: Reply,
  delivery: Delivery,
  options: { head: boolean; range?: string | undefined },
): Promise<void> {
  if (delivery.headersAfter !== undefined) await delay(delivery.headersAfter);
  if (delivery.held !== undefined && delivery.held.after === undefined) await delivery.held.until;
  const { body } = reply;
  const range = delivery.ignoreRange || options.range === undefined ? null : parseRange(options.range, body.size);
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${body.size}`, 'content-length': 0 }).end();
    return;
  }
  const [start, end] = range ?? [0, body.size + (delivery.lengthOff ?? 0)];
  const headers: Record<string, string | string[] | number> = { ...reply.headers };
  if (range !== null) headers['content-range'] = `bytes ${start}-${end - 1}/${body.size}`;
  if (!reply.chunked) headers['content-length'] = end - start;
  response.writeHead(range === null ? reply.status : 206, headers);
  if (options.head) response.end();
  else if (body.bytes !== null && isPlain(delivery)) response.end(range === null ? body.bytes : body.bytes.subarray(start, end));
  else await pump(response, body, start, end, delivery);
}

function isPlain(delivery: Delivery): boolean {
  const { bytesPerSecond, cutAfter, idleAfter, corrupt, lengthOff, held } = delivery;
  const whole = cutAfter === undefined && idleAfter === undefined && lengthOff === undefined && !corrupt;
  return whole && bytesPerSecond === undefined && held?.after === undefined;
}

async function pump(response: ServerResponse, body: Body, start: number, end: number, delivery: Delivery): Promise<void> {
  const trueEnd = Math.min(end, body.size);
  const stopAt = Math.min(end, start + Math.min(delivery.cutAfter ?? Infinity, delivery.idleAfter ?? Infinity));
  const step =
    delivery.bytesPerSecond === undefined ? CHUNK : Math.max(1, Math.min(CHUNK, Math.ceil(delivery.bytesPerSecond / 20)));
  const chunk = freeChunks.pop() ?? Buffer.allocUnsafeSlow(CHUNK);
  let pauseAt = start + (delivery.held?.after ?? Infinity);
  for (let at = start; at < stopAt && !response.destroyed; ) {
    if (at >= pauseAt) {
      pauseAt = Infinity;
      await delivery.held?.until;
    }
    const target = chunk.subarray(0, Math.min(step, stopAt - at, pauseAt - at));
    if (at >= trueEnd) target.fill(0);
    const length = at < trueEnd ? body.copy(at, target) : target.length;
    if (delivery.corrupt && at === 0) chunk.writeUInt8(chunk.readUInt8(0) ^ 0xff, 0);
    if (!(await written(response, chunk.subarray(0, length)))) return;
    at += length;
    if (delivery.bytesPerSecond !== undefined) await delay((length / delivery.bytesPerSecond) * 1000);
  }
  freeChunks.push(chunk);
  if (delivery.cutAfter !== undefined && stopAt < end) response.destroy();
  else if (delivery.idleAfter === undefined || stopAt === end) response.end();
}

/** Resolves to true when the bytes have left (and the buffer may be used again), to false when the connection is gone. */
function written(response: ServerResponse, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const onClose = () => resolve(false);
    response.once('close', onClose);
    response.write(bytes, (error) => {
      response.off('close', onClose);
      resolve(!error);
    });
  });
}

/** `[start, end)` of a single byte range, null for what a server may ignore (RFC 9110, 14.2). */
function parseRange(header: string, size: number): [number, number] | null | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header);
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') return [Math.max(0, size - Number(match[2])), size];
  const start = Number(match[1]);
  if (start >= size) return 'unsatisfiable';
  const end = match[2] === '' ? size : Math.min(size, Number(match[2]) + 1);
  return end <= start ? null : [start, end];
}
