import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { registerContentApp } from '../content-app/content-app.ts';
import { authenticator } from '../core/users/authenticate.ts';
import { apiOperations, documentedOperations } from '../kit/catalog.ts';
import { API_ROOT, pieces } from '../kit/names.ts';
import { openApiDocument } from '../kit/openapi.ts';
import { registerOperations, sendJson } from '../kit/routes.ts';
import type { Services } from '../kit/services.ts';
import { packageVersion } from '../lib/package-root.ts';
import { bindRequest } from './api-request.ts';
import { audited } from './audited.ts';
import { registerBodyDeadline } from './body-deadline.ts';
import { registerBodyParsers } from './body-parsers.ts';
import { correlationId } from './correlation-id.ts';
import { registerErrorHandler } from './error-handler.ts';

/** Bodies of the REST API are small; content comes in by its own routes. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;
const MAX_HEADER_BYTES = 32 * 1024;

const STANDING_HEADERS = {
  'access-control-expose-headers': 'Correlation-ID',
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

/** The whole server: REST API, Registry API, content and documentation, ready to listen. */
export async function createApp(services: Services): Promise<FastifyInstance> {
  const { config, catalog } = services;
  const app = Fastify({
    loggerInstance: services.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: correlationId,
    bodyLimit: MAX_BODY_BYTES,
    trustProxy: config.DECKLE_TRUSTED_PROXIES.length > 0 ? config.DECKLE_TRUSTED_PROXIES : false,
    routerOptions: { maxParamLength: 512 },
    serverFactory: serverFactory(services),
    forceCloseConnections: 'idle',
    // A path that cannot be decoded comes to no route, and to no hook.
    frameworkErrors: ({ statusCode = 400, message }: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      reply.code(statusCode).headers({ 'correlation-id': request.id, ...STANDING_HEADERS });
      sendJson(reply, { detail: message });
    },
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('correlation-id', request.id).headers(STANDING_HEADERS);
  });
  app.addHook('onResponse', async (request, reply) => {
    request.log.debug(
      { method: request.method, path: request.url.split('?')[0], status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      'request answered',
    );
  });
  registerBodyDeadline(app);
  await registerBodyParsers(app, MAX_BODY_BYTES);
  registerErrorHandler(app);
  registerNotFound(app);
  const operations = apiOperations(catalog);
  await registerDocs(app, services);
  registerOperations(app, operations, bindRequest(services, authenticator(services)), audited(services));
  registerApiRoot(app, services);
  for (const plugin of catalog.plugins) await plugin.routes?.(app, services);
  await registerContentApp(app, services);
  return app;
}

/** A server that asks the plugins' fast paths first: pulls are answered past the framework. */
function serverFactory(services: Services) {
  const paths = services.catalog.plugins.flatMap((plugin) => (plugin.fastPath ? [plugin.fastPath(services)] : []));
  return (handler: (request: IncomingMessage, response: ServerResponse) => void): Server =>
    createServer({ maxHeaderSize: MAX_HEADER_BYTES, noDelay: true, requestTimeout: 0 }, (request, response) => {
      if (!paths.some((path) => path(request, response))) handler(request, response);
    });
}

/** Segments of letters, digits and dashes: what paths of the API are made of. */
const PLAIN_PATH = /^(\/[\w-]+)+$/;

/** An API path that lacks its slash is sent on, with its method and body (spec: core, request parsing); anything else is not found. */
function registerNotFound(app: FastifyInstance): void {
  app.setNotFoundHandler((request, reply) => {
    const [path = '', query] = request.url.split('?', 2);
    if (!path.startsWith(API_ROOT) || path.endsWith('/') || !PLAIN_PATH.test(path))
      return sendJson(reply.code(404), { detail: 'Not found.' });
    const bodyless = request.method === 'GET' || request.method === 'HEAD';
    return reply.redirect(query === undefined ? `${path}/` : `${path}/?${query}`, bodyless ? 301 : 308);
  });
}

/** The root of the API names its collections (spec: core, addressing). */
function registerApiRoot(app: FastifyInstance, { catalog }: Services): void {
  const collections = catalog.resources.filter((resource) => !resource.nested && resource.verbs.includes('list'));
  const names = collections.map((resource) => pieces(resource).join('/')).sort();
  app.get(API_ROOT, (request, reply) => {
    const origin = `${request.protocol}://${request.host}`;
    return sendJson(reply, Object.fromEntries(names.map((name) => [name, `${origin}${API_ROOT}${name}/`])));
  });
}

/** The interactive page at `/pulp/api/v3/docs/`, over the document with ordinary paths. */
async function registerDocs(app: FastifyInstance, { catalog }: Services): Promise<void> {
  const document = openApiDocument(documentedOperations(catalog), {
    version: packageVersion(),
    appVersions: catalog.versions,
    plainPaths: true,
  });
  await app.register(swagger, { mode: 'static', specification: { document: document as never } });
  await app.register(swaggerUi, {
    routePrefix: `${API_ROOT}docs`,
    uiConfig: { docExpansion: 'none', deepLinking: true },
    staticCSP: true,
  });
}
