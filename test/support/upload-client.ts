import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
  readonly body: any;
}

export const AUTHORIZATION = `Basic ${Buffer.from('admin:password').toString('base64')}`;
const BOUNDARY = 'x';
const FILE_PART = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n`;
const END = `\r\n--${BOUNDARY}--\r\n`;

export const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Puts a chunk of a file of `size` at a place, with its checksum. */
export async function putChunk(
  url: string,
  bytes: Buffer,
  first: number,
  size: number,
  authorization = AUTHORIZATION,
): Promise<Answer> {
  const form = new FormData();
  form.append('sha256', sha256Of(bytes));
  form.append('file', new Blob([new Uint8Array(bytes)]), 'chunk');
  const range = `bytes ${first}-${first + bytes.length - 1}/${size}`;
  const response = await fetch(url, {
    method: 'PUT',
    headers: { authorization, 'content-range': range },
    body: form,
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** Puts one chunk of `size` bytes, the whole file, as `send` writes it, piece by piece; `abort` breaks the connection. */
export function streamChunk(
  url: string,
  size: number,
  send: (write: (piece: Buffer) => Promise<void>, abort: () => void) => Promise<void>,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      url,
      {
        method: 'PUT',
        headers: {
          authorization: AUTHORIZATION,
          'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
          'content-range': `bytes 0-${size - 1}/${size}`,
        },
      },
      async (response) => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(await response.toArray()).toString() }),
    );
    outgoing.on('error', reject);
    const write = async (piece: string | Buffer) => {
      if (!outgoing.write(piece)) await new Promise<void>((drained) => outgoing.once('drain', () => drained()));
    };
    write(FILE_PART)
      .then(() => send(write, () => outgoing.destroy()))
      .then(() => outgoing.end(END), reject);
  });
}

/** The files below a data folder whose names begin with `media/upload/` (chunks) or `media/tmp/` (what is being written). */
export async function uploadFiles(dataDir: string): Promise<{ chunks: string[]; pending: string[] }> {
  const names = await readdir(join(dataDir, 'media'), { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const below = (folder: string) => files.filter((path) => path.startsWith(join(dataDir, 'media', folder)));
  return { chunks: below('upload'), pending: below('tmp') };
}
