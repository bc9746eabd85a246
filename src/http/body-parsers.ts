import formbody from '@fastify/formbody';
import multipart from '@fastify/multipart';
import type { FastifyInstance } from 'fastify';
import { MalformedRequestError, UnsupportedMediaTypeError } from '../kit/errors.ts';

const MAX_FORM_FIELDS = 1000;

/** JSON, forms and multipart; anything else with a body is 415 (spec: core, request parsing). */
export async function registerBodyParsers(app: FastifyInstance, limit: number): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    const text = String(body);
    if (text === '') return done(null, undefined);
    try {
      done(null, JSON.parse(text) as unknown);
    } catch (error) {
      done(new MalformedRequestError(`JSON parse error - ${(error as SyntaxError).message}`));
    }
  });
  await app.register(formbody, { bodyLimit: limit });
  await app.register(multipart, {
    attachFieldsToBody: 'keyValues',
    limits: { fieldSize: limit, fields: MAX_FORM_FIELDS, files: 0, parts: MAX_FORM_FIELDS },
  });
  app.addContentTypeParser('*', (request, payload, done) => {
    payload.resume();
    done(new UnsupportedMediaTypeError((request.headers['content-type'] ?? '').split(';')[0] as string));
  });
}
