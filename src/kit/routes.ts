import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ApiReply, ApiRequest, Operation } from './api.ts';
import { MethodNotAllowedError } from './errors.ts';
import type { Services } from './services.ts';

/** Adds routes that are no operations of the REST API: the Registry API, the content app. */
export type RegisterRoutes = (app: FastifyInstance, services: Services) => void | Promise<void>;

/** Whether it has taken the request on; false leaves it to the routes. */
export type FastPath = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Makes a handler's request out of an HTTP one: finds out who asks, refuses who may not ask at all, reads the body. */
export type BindRequest = (request: FastifyRequest, audience: Operation['audience']) => Promise<ApiRequest>;

/** Runs an operation's handler, and what belongs to every run. */
export type RunOperation = (operation: Operation, request: ApiRequest) => Promise<ApiReply>;

const FILE_FORM = 'multipart/form-data';
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** JSON as bytes: of text the framework would make `application/json; charset=utf-8`, which clients of Pulp do not expect. */
export const sendJson = (reply: FastifyReply, body: unknown): FastifyReply =>
  reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(body)));

/** Headers that hooks have set (the correlation id) also go with an answer that is written past the framework. */
export function passHeaders(reply: FastifyReply): void {
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value);
}

function send(reply: FastifyReply, answer: ApiReply): FastifyReply {
  if (answer.headers) reply.headers(answer.headers);
  reply.code(answer.status);
  if (answer.stream) return reply.header('content-type', 'application/json').send(Readable.from(answer.stream));
  if (answer.body === undefined) return reply.send();
  if (typeof answer.body === 'string') return reply.send(answer.body);
  return sendJson(reply, answer.body);
}

/** Routes the operations; a method that a URL does not have is answered 405 with `Allow`, OPTIONS with `Allow` alone. */
export function registerOperations(
  app: FastifyInstance,
  operations: readonly Operation[],
  bind: BindRequest,
  run: RunOperation,
): void {
  const byUrl = new Map<string, Operation[]>();
  for (const operation of operations) {
    for (const url of [operation.url, ...(operation.aliases ?? [])]) byUrl.set(url, [...(byUrl.get(url) ?? []), operation]);
  }
  const takesFiles = (here: readonly Operation[]) => here.some((operation) => operation.takesFiles);
  for (const [url, here] of byUrl) if (!takesFiles(here)) registerUrl(app, url, here, bind, run);
  app.register(async (scope) => {
    scope.removeContentTypeParser(FILE_FORM);
    scope.addContentTypeParser(FILE_FORM, (_request, payload, done) => done(null, payload));
    for (const [url, here] of byUrl) if (takesFiles(here)) registerUrl(scope, url, here, bind, run);
  });
}

function registerUrl(
  app: FastifyInstance,
  url: string,
  operations: readonly Operation[],
  bind: BindRequest,
  run: RunOperation,
): void {
  const has = new Map(operations.map((operation) => [operation.method.toUpperCase(), operation]));
  const allow = [...METHODS.filter((method) => has.has(method)), ...(has.has('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
  // What a cookie has proven is not for others.
  const headersFor = ({ headers }: FastifyRequest) => ({ allow, vary: headers.authorization ? 'Accept' : 'Accept, Cookie' });
  for (const [method, operation] of has) {
    app.route({
      method,
      url,
      exposeHeadRoute: method === 'GET',
      config: { takesFiles: operation.takesFiles === true },
      handler: async (request, reply) => {
        reply.headers(headersFor(request));
        return send(reply, await run(operation, await bind(request, operation.audience)));
      },
    });
  }
  const missing = METHODS.filter((method) => !has.has(method));
  const audience = operations.every((operation) => operation.audience === 'anyone') ? 'anyone' : 'users';
  if (missing.length > 0) {
    app.route({
      method: missing,
      url,
      exposeHeadRoute: false,
      handler: async (request, reply) => {
        reply.headers(headersFor(request));
        await bind(request, audience);
        throw new MethodNotAllowedError(request.method);
      },
    });
  }
  app.route({ method: 'OPTIONS', url, handler: async (request, reply) => reply.headers(headersFor(request)).code(204).send() });
}
