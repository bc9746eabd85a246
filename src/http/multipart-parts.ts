import type { Readable } from 'node:stream';
import { Busboy, type BusboyConfig, type BusboyInstance } from '@fastify/busboy';
import type { FormPart } from '../kit/api.ts';
import { MalformedRequestError } from '../kit/errors.ts';

/** What is not a file is held in memory. Files have no limit here. */
const LIMITS = { fieldSize: 64 * 1024, fields: 100, files: 10, parts: 110, headerPairs: 100, headerSize: 16 * 1024 };

type BusboyLimits = NonNullable<BusboyConfig['limits']>;

const malformed = (reason: string) => new MalformedRequestError(`Multipart form parse error - ${reason}`);

function openParser(contentType: string, limits: BusboyLimits): BusboyInstance {
  try {
    return new Busboy({ headers: { 'content-type': contentType }, limits });
  } catch (error) {
    throw malformed((error as Error).message);
  }
}

/**
 * The parts of a multipart form as they arrive. A file's bytes hold up the rest until they are read; what is left of them when the
 * next part is asked for is skipped. Throws MalformedRequestError for what is no such form, or breaks off. Lets the rest of the body
 * pass by where the reader leaves early, so that an answer can be sent. `limits` are others than those of forms with files.
 */
export async function* multipartParts(
  contentType: string,
  body: Readable,
  limits: BusboyLimits = {},
): AsyncGenerator<FormPart, void, undefined> {
  const parser = openParser(contentType, { ...LIMITS, ...limits });
  const parts: FormPart[] = [];
  let file: Readable | undefined;
  let over = false;
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  const end = (error?: Error): void => {
    if (over) return;
    over = true;
    failure = error;
    if (error) file?.destroy(error);
    wake();
  };
  const add = (part: FormPart): void => {
    parts.push(part);
    wake();
  };
  parser.on('file', (name, bytes) => {
    file = bytes;
    // A file that nobody reads yet fails through `end` too.
    bytes.on('error', (error) => end(malformed(error.message)));
    add({ kind: 'file', name, bytes });
  });
  parser.on('field', (name, value, _nameCut, valueCut) =>
    valueCut ? end(malformed(`The field ${name} is too long`)) : add({ kind: 'field', name, value }),
  );
  for (const limit of ['partsLimit', 'filesLimit', 'fieldsLimit']) parser.on(limit, () => end(malformed('Too many parts')));
  parser.on('finish', () => end());
  parser.on('error', (error) => end(malformed((error as Error).message)));
  const brokenOff = () => body.readableEnded || end(malformed('The body broke off'));
  body.on('error', brokenOff).on('close', brokenOff);
  body.pipe(parser);
  try {
    while (!over || parts.length > 0) {
      const part = parts.shift();
      if (!part) await new Promise<void>((resolve) => (wake = resolve));
      else {
        yield part;
        if (part.kind === 'file') part.bytes.resume();
      }
    }
    if (failure) throw failure;
  } finally {
    over = true;
    body.unpipe(parser);
    body.resume();
    file?.destroy();
  }
}
