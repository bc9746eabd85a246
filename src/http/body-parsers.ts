import { Readable } from 'node:stream';
import formbody from '@fastify/formbody';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { MalformedRequestError, UnsupportedMediaTypeError } from '../kit/errors.ts';
import { multipartParts } from './multipart-parts.ts';

const MAX_FORM_FIELDS = 1000;
/** No body has more than a few levels; what walks through a value calls itself for each. */
const MAX_JSON_LEVELS = 100;

const CHARSET = /;\s*charset="?([^";\s]*)"?/i;
const UTF8 = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/** JSON, forms and multipart; anything else with a body is 415 (spec: core, request parsing). */
export async function registerBodyParsers(app: FastifyInstance, limit: number): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const type = request.headers['content-type'] ?? '';
    if (!UTF8.has(CHARSET.exec(type)?.[1]?.toLowerCase() ?? 'utf-8')) return done(new UnsupportedMediaTypeError(type));
    try {
      done(null, jsonOf(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  await app.register(formbody, { bodyLimit: limit });
  app.addContentTypeParser('multipart/form-data', { parseAs: 'buffer' }, (request: FastifyRequest, body: Buffer) =>
    formOf(String(request.headers['content-type']), body, limit),
  );
  app.addContentTypeParser('*', (request, payload, done) => {
    payload.resume();
    done(new UnsupportedMediaTypeError((request.headers['content-type'] ?? '').split(';')[0] as string));
  });
}

/** The value of a JSON text, undefined where there is none. Throws MalformedRequestError. */
function jsonOf(bytes: Buffer): unknown {
  if (bytes.byteLength === 0) return undefined;
  let value: unknown;
  try {
    // Bytes that are no text are refused: read as something else, they would be stored as something else.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    throw new MalformedRequestError(`JSON parse error - ${(error as Error).message}`);
  }
  if (isDeeperThan(MAX_JSON_LEVELS, value))
    throw new MalformedRequestError(`JSON parse error - more than ${MAX_JSON_LEVELS} levels`);
  return value;
}

function isDeeperThan(levels: number, value: unknown): boolean {
  let here = [value];
  for (let level = 0; here.length > 0; level += 1) {
    if (level > levels) return true;
    const below: unknown[] = [];
    for (const one of here) if (typeof one === 'object' && one !== null) for (const part of Object.values(one)) below.push(part);
    here = below;
  }
  return false;
}

/** The fields of a form in parts; one that is given several times is a list. Throws MalformedRequestError. */
async function formOf(contentType: string, bytes: Buffer, limit: number): Promise<Record<string, unknown>> {
  const values = new Map<string, unknown[]>();
  const limits = { fieldSize: limit, fields: MAX_FORM_FIELDS, parts: MAX_FORM_FIELDS };
  for await (const part of multipartParts(contentType, Readable.from([bytes]), limits)) {
    // A file is a value that no field takes.
    const value = part.kind === 'field' ? part.value : FILE;
    const before = values.get(part.name);
    if (before) before.push(value);
    else values.set(part.name, [value]);
  }
  return Object.fromEntries([...values].map(([name, all]) => [name, all.length === 1 ? all[0] : all]));
}

const FILE = Symbol('a file');
