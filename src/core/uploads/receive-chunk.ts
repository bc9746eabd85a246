import { v7 } from 'uuid';
import type { ApiRequest, Parameter } from '../../kit/api.ts';
import { parseBody } from '../../kit/body.ts';
import type { Fields, Row } from '../../kit/define-resource.ts';
import { RequestRefusedError, ValidationError } from '../../kit/errors.ts';
import { text } from '../../kit/wire.ts';
import { uploadChunkKey } from '../../storage/layout.ts';
import { type ReceivedFile, receiveForm } from '../artifacts/received-file.ts';
import { requireSpace } from '../artifacts/require-space.ts';
import { fileWire } from '../artifacts/upload-artifact.ts';
import { addChunk, announceChunk, removeChunksLater } from './chunk-files.ts';
import type { Chunk } from './segments.ts';

/** What a client submits: a chunk, and its checksum. */
export const CHUNK_FIELDS: Fields = {
  file: { wire: fileWire, access: 'write', required: true, description: 'The bytes of the chunk.' },
  sha256: {
    wire: text({ nullable: true }),
    access: 'write',
    description: 'Their sha256, in lower-case hexadecimal; checked.',
  },
};
/** Fields of a chunk that clients may send back, and that say nothing. */
const ANSWERED = new Set(['offset', 'size']);

export const CONTENT_RANGE: Parameter = {
  in: 'header',
  name: 'Content-Range',
  required: true,
  schema: { type: 'string' },
  description: 'Where in the file the chunk is: `bytes <first>-<last>/<size of the file, or *>`.',
};
const RANGE = /^bytes (\d+)-(\d+)\/(?:\d+|\*)$/;

interface ByteSpan {
  readonly first: number;
  readonly last: number;
}

function spanOf(header: string | undefined): ByteSpan | undefined {
  const match = RANGE.exec(header ?? '');
  return match ? { first: Number(match[1]), last: Number(match[2]) } : undefined;
}

const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });

/** The bytes that a chunk may have; none where it will be refused whatever it is. */
const mostOf = (span: ByteSpan | undefined, size: number): number =>
  span && span.last < size ? Math.max(0, span.last - span.first + 1) : 0;

/**
 * Takes in a chunk of an upload: streamed to a file, checked, durable when this resolves. Throws ValidationError, RequestRefusedError
 * and NotFoundError in the recorded words; nothing stays of the chunk then.
 */
export async function receiveChunk(request: ApiRequest, upload: Row): Promise<void> {
  const { headers, parts, body, form, services } = request;
  const size = upload.size as number;
  const span = spanOf(headers['content-range']);
  const most = mostOf(span, size);
  if (parts) await requireSpace(services, Math.min(most, Number(headers['content-length'] ?? 0)));
  const received = parts && (await receiveForm(parts, { wanted: ['sha256'], most }, services));
  const given = received ?? body ?? {};
  try {
    if (typeof given === 'object' && !Array.isArray(given) && !('file' in given))
      throw new ValidationError({ file: ['No file was submitted.'] });
    const parsed = parseBody(given, { fields: CHUNK_FIELDS, partial: false, form, ignored: ANSWERED });
    const { file, sha256 } = parsed as { readonly file: ReceivedFile; readonly sha256?: string | null };
    if (file.size === 0) throw new ValidationError({ file: ['The submitted file is empty.'] });
    if (!span) throw refuse('Invalid or missing content range header.');
    if (span.last - span.first + 1 !== file.size) throw refuse('Chunk size does not match content range.');
    if (span.last > size - 1) throw refuse('End byte is greater than upload size.');
    if (sha256 && sha256 !== (await file.checksum('sha256')))
      throw new RequestRefusedError('Checksum does not match chunk upload.');
    await keep(file, { id: v7(), offset: span.first, size: file.size }, upload.id, request);
  } finally {
    // A form without a file has text, or nothing, in its place.
    if (typeof received?.file === 'object') await received.file.drop();
  }
}

async function keep(file: ReceivedFile, chunk: Chunk, uploadId: string, { services }: ApiRequest): Promise<void> {
  let unwanted: readonly string[] = [chunk.id];
  try {
    await announceChunk(services, chunk);
    await file.keepAt(uploadChunkKey(chunk.id));
    unwanted = await services.db.transaction((tx) => addChunk(tx, uploadId, chunk));
  } finally {
    await removeChunksLater(services, unwanted);
  }
}
