import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import Fastify, { type FastifyInstance } from 'fastify';
import { registerBodyDeadline } from '../../src/http/body-deadline.ts';

const LIMIT_MS = 400;

let app: FastifyInstance;
before(async () => {
  app = Fastify({ serverFactory: (handler) => createServer({ requestTimeout: 0 }, handler) });
  registerBodyDeadline(app, LIMIT_MS);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const drain = async ({ body }: { body: unknown }): Promise<string> => {
    let size = 0;
    for await (const chunk of body as IncomingMessage) size += (chunk as Buffer).byteLength;
    return String(size);
  };
  app.post('/small', drain);
  app.post('/files', { config: { takesFiles: true } }, drain);
  await app.listen({ host: '127.0.0.1', port: 0 });
});
after(() => app?.close());

/** Posts a body of so many pieces, one each `ms`; the status, or the code of what cut it off. */
async function post(path: string, pieces: number, ms: number): Promise<number | string> {
  const { port } = app.server.address() as AddressInfo;
  const outgoing = request({ port, path, method: 'POST', headers: { 'content-type': 'x/y', 'transfer-encoding': 'chunked' } });
  const answer = once(outgoing, 'response').then(
    ([response]) => (response as IncomingMessage).statusCode ?? 0,
    (error: NodeJS.ErrnoException) => error.code ?? 'error',
  );
  for (let sent = 0; sent < pieces && !outgoing.destroyed; sent += 1) {
    outgoing.write('x');
    await delay(ms);
  }
  outgoing.end();
  return answer;
}

test('a small body has to be whole in time', async () => {
  assert.equal(await post('/small', 3, 10), 200);
  assert.equal(await post('/small', 30, LIMIT_MS / 5), 'ECONNRESET');
});

test('a file takes its time, but is not silent', async () => {
  assert.equal(await post('/files', 15, LIMIT_MS / 5), 200);
  assert.equal(await post('/files', 2, LIMIT_MS * 2), 'ECONNRESET');
});
