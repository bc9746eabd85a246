import formbody from '@fastify/formbody';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fullDiskIn, InvalidCredentialsError, isDatabaseAway, ThrottledError } from '../../../core/plugin-api.ts';
import { passHeaders } from '../../../kit/routes.ts';
import { OCI_INDEX } from '../oci/media-types.ts';
import { answerBlob } from './blob-answer.ts';
import { listRepositories } from './catalog.ts';
import { basicChallenge } from './challenge.ts';
import { contentRoute } from './content-route.ts';
import { type FastPath, fastPath as fastPathOf } from './fast-path.ts';
import { flatpakRoutes } from './flatpak-index.ts';
import { STANDING_HEADERS } from './headers.ts';
import { sendJson } from './json-answer.ts';
import { sendManifest } from './manifest.ts';
import { cutPage, parsePage } from './page.ts';
import { pulledManifest } from './pulled-manifest.ts';
import { bringReferrers } from './pulled-referrers.ts';
import { answerBlobRemoval, answerManifest } from './push-routes.ts';
import { listReferrers, parseReferrersQuery } from './referrers.ts';
import { errorBody, manifestUnknown, nameUnknown, RegistryError, unsupported } from './registry-error.ts';
import { parseRegistryPath, type RegistryPath } from './registry-path.ts';
import { checkBase, checkCatalog, findReadable } from './request-access.ts';
import { openServedRegistry, type RegistryServices, type ServedRegistry } from './served-registry.ts';
import { answerSignatures } from './signature-routes.ts';
import { listTags } from './tags.ts';
import { tokenRoutes } from './token-route.ts';
import { answerUpload, answerUploads } from './upload-routes.ts';

const READS = new Set(['GET', 'HEAD']);
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

// The server that the framework is given has to ask the fast path before the routes are there.
const running = new WeakMap<RegistryServices, ServedRegistry>();

/** Answers pulls past the framework; until `registryRoutes` has run for these services it answers none. */
export const fastPath = (services: RegistryServices): FastPath => {
  let answer: FastPath | undefined;
  return (request, response) => {
    const registry = running.get(services);
    if (!registry) return false;
    answer ??= fastPathOf(registry);
    return answer(request, response);
  };
};

/** The Registry API (OCI distribution-spec), its token server and its part of the content app. */
export async function registryRoutes(app: FastifyInstance, services: RegistryServices): Promise<void> {
  const registry = await openServedRegistry(services);
  running.set(services, registry);
  app.addHook('onClose', async () => {
    running.delete(services);
    await registry.close();
  });
  await app.register(async (scope) => {
    if (!scope.hasContentTypeParser('application/x-www-form-urlencoded')) await scope.register(formbody);
    tokenRoutes(scope, registry);
  });
  await app.register(async (scope) => {
    scope.setErrorHandler(answerError);
    scope.addHook('onRequest', async (_request, reply) => {
      reply.headers(STANDING_HEADERS);
    });
    // Bytes are taken in by whoever wants them, whatever they are called.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    for (const url of ['/v2', '/v2/*']) {
      scope.route({
        method: METHODS,
        url,
        exposeHeadRoute: false,
        config: { takesFiles: true },
        handler: (request, reply) => answer(registry, request, reply),
      });
    }
    scope.route({
      method: METHODS,
      url: '/extensions/v2/*',
      exposeHeadRoute: false,
      config: { takesFiles: true },
      handler: (request, reply) => answerSignatures({ registry, request, reply, url: urlOf(request) }),
    });
    contentRoute(scope, registry);
  });
  if (services.config.PULP_FLATPAK_INDEX) flatpakRoutes(app, services);
}

const urlOf = (request: FastifyRequest): URL => new URL(request.url, 'http://localhost');

/** The path as it was sent: a URL would have resolved what leads out of it. */
const pathOf = ({ url }: FastifyRequest): string => url.split('?', 1).join('');

async function answer(registry: ServedRegistry, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const url = urlOf(request);
  const path = parseRegistryPath(pathOf(request), request.method);
  const asked = { registry, request, reply, url };
  if (path.kind === 'uploads') return answerUploads(asked, path);
  if (path.kind === 'upload') return answerUpload(asked, path);
  if (!READS.has(request.method)) {
    if (path.kind === 'manifest') return answerManifest(asked, path);
    if (path.kind === 'blob') return answerBlobRemoval(asked, path);
    throw unsupported(request.method, 'GET, HEAD');
  }
  switch (path.kind) {
    case 'base':
      await checkBase(registry, request);
      return sendJson(reply, {});
    case 'catalog': {
      const page = parsePage(url.searchParams);
      const caller = await checkCatalog(registry, request);
      const { entries, link } = cutPage(url.pathname, page, await listRepositories(registry.services, caller, page));
      if (link !== undefined) reply.header('link', link);
      return sendJson(reply, { repositories: entries });
    }
    default:
      return answerRepository(registry, { request, reply, url }, path);
  }
}

const NO_REFERRERS = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };

type RepositoryPath = Exclude<RegistryPath, { kind: 'base' | 'catalog' | 'uploads' | 'upload' }>;

async function answerRepository(
  registry: ServedRegistry,
  { request, reply, url }: { readonly request: FastifyRequest; readonly reply: FastifyReply; readonly url: URL },
  path: RepositoryPath,
): Promise<unknown> {
  const found = await findReadable(registry, request, path.name);
  // Never 404 (OCI distribution-spec, "Listing Referrers"): where nothing is served, nothing refers.
  if (!found && path.kind === 'referrers') return sendJson(reply, NO_REFERRERS, OCI_INDEX);
  if (!found) throw nameUnknown(path.name);
  const { version } = found;
  const { db } = registry.services;
  switch (path.kind) {
    case 'tags': {
      const page = parsePage(url.searchParams);
      const { entries, link } = cutPage(url.pathname, page, await listTags(db, version, page));
      if (link !== undefined) reply.header('link', link);
      return sendJson(reply, { name: path.name, tags: entries });
    }
    case 'manifest': {
      const manifest = await pulledManifest(registry, found, path);
      if (!manifest) throw manifestUnknown(path.reference);
      passHeaders(reply);
      sendManifest(request.raw, reply.raw, manifest);
      return reply.hijack();
    }
    case 'blob': {
      passHeaders(reply);
      await answerBlob(registry, { request: request.raw, response: reply.raw }, version, path.digest);
      return reply.hijack();
    }
    case 'referrers': {
      const query = parseReferrersQuery(path.digest, url.searchParams);
      const now = (await bringReferrers(registry, found, path)) ? await findReadable(registry, request, path.name) : found;
      const { index, link } = await listReferrers(db, (now ?? found).version, url.pathname, query);
      if (link !== undefined) reply.header('link', link);
      if (query.artifactType !== undefined) reply.header('oci-filters-applied', 'artifactType');
      return sendJson(reply, index, index.mediaType);
    }
  }
}

/** Every error of the Registry API, in the OCI shape. */
function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = registryErrorOf(error);
  if (!known) request.log.error({ err: error, method: request.method, path: urlOf(request).pathname }, 'registry request failed');
  // What is left of a body passes by, so that who still sends it hears the answer.
  request.raw.resume();
  const told =
    known ?? new RegistryError(500, 'UNKNOWN', `Internal error. The log tells more under correlation id ${request.id}.`);
  return reply
    .code(told.status)
    .headers(told.headers)
    .header('content-type', 'application/json')
    .send(Buffer.from(errorBody(told)));
}

function registryErrorOf(error: Error & { readonly statusCode?: number }): RegistryError | undefined {
  if (error instanceof RegistryError) return error;
  if (error instanceof InvalidCredentialsError) return basicChallenge(error.message);
  if (error instanceof ThrottledError)
    return new RegistryError(429, 'TOOMANYREQUESTS', error.message, { headers: error.headers });
  const full = fullDiskIn(error);
  if (full) return new RegistryError(507, 'DENIED', 'The storage has no space left: nothing was stored.', { cause: full });
  if (isDatabaseAway(error)) {
    const headers = { 'retry-after': '2' };
    return new RegistryError(503, 'UNAVAILABLE', 'The database is not reachable at the moment.', { headers, cause: error });
  }
  if (error.statusCode !== undefined && error.statusCode < 500)
    return new RegistryError(error.statusCode, 'UNSUPPORTED', error.message);
  return undefined;
}
