import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { publicUrl, UpstreamError } from './upstream-error.ts';

/** Decoded bytes a coded byte may become. */
const MAX_RATIO = 100;
/** A short text of one repeated word packs better than any ratio; below this size it does no harm. */
const HARMLESS_BYTES = 64 * 1024;

const DECODERS = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/** A body without its Content-Encoding. Throws where it would become larger than `maxBytes`, or than 100 times itself. */
export async function decodeBody(body: Buffer, encoding: string | undefined, maxBytes: number, url: string): Promise<Buffer> {
  if (encoding === undefined || encoding === '' || encoding === 'identity') return body;
  const shown = publicUrl(url);
  const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding as keyof typeof DECODERS] : undefined;
  if (!decoder) throw new UpstreamError('protocol', shown, `${shown} answers in an encoding that was not asked for`);
  const limit = Math.min(maxBytes, Math.max(HARMLESS_BYTES, body.byteLength * MAX_RATIO));
  try {
    return await decoder(body, { maxOutputLength: limit });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new UpstreamError('too-large', shown, `The answer of ${shown} decodes to more than ${limit} bytes`, { cause });
    }
    throw new UpstreamError('protocol', shown, `The answer of ${shown} cannot be decoded as ${encoding}`, { cause });
  }
}
