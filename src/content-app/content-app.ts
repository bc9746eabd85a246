import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { UnavailableArtifactError } from '../core/artifacts/unavailable-artifact-error.ts';
import { ContentGuards } from '../core/content-guards/content-guards.ts';
import { guardedRequest } from '../core/content-guards/guarded-request.ts';
import { ARTIFACTS } from '../core/distributions/artifact-distribution.ts';
import { type ServedDistribution, ServedDistributions, servedVersion } from '../core/distributions/served-distributions.ts';
import { UnsettledFileError } from '../core/files/answer-file.ts';
import { isDatabaseAway } from '../core/tasks/database-away.ts';
import { type Authenticator, authenticator } from '../core/users/authenticate.ts';
import { ThrottledError } from '../core/users/failure-throttle.ts';
import type { Queryable } from '../db/database.ts';
import type { Folder } from '../kit/content-handler.ts';
import { passHeaders } from '../kit/routes.ts';
import type { Services } from '../kit/services.ts';
import { type AskedFile, ContentAnswers } from './content-answer.ts';
import { basePathsOf, CONTENT_ROOT, contentPath } from './content-path.ts';
import { distributionFolder } from './distribution-folders.ts';
import { folderPage } from './folder-page.ts';
import { KnownContent } from './known-content.ts';

const READS = new Set(['GET', 'HEAD']);
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** What the routes share: what is kept in memory between requests. */
interface ContentApp {
  readonly services: Services;
  readonly distributions: ServedDistributions;
  readonly guards: ContentGuards;
  readonly users: { readonly authenticator: Authenticator; readonly db: Queryable };
  readonly answers: ContentAnswers;
  /** By the type of the distributions. */
  readonly contents: ReadonlyMap<string, KnownContent>;
}

interface Asking {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

async function openContentApp(services: Services): Promise<ContentApp> {
  const keeps = services.config.PULP_CACHE_ENABLED;
  const handlers = services.catalog.plugins.flatMap((plugin) => (plugin.content ? [plugin.content] : []));
  const distributions = new ServedDistributions(services);
  await distributions.start();
  const answers = new ContentAnswers(services);
  await answers.start();
  return {
    services,
    distributions,
    guards: await ContentGuards.open(services),
    users: { authenticator: authenticator(services), db: services.db },
    answers,
    contents: new Map(handlers.map((handler) => [handler.pulp_type, new KnownContent(handler.open(services), keeps)])),
  };
}

/** `/pulp/content/`: the distributions that serve files, and what the versions hold that they serve. */
export async function registerContentApp(app: FastifyInstance, services: Services): Promise<void> {
  const content = await openContentApp(services);
  app.addHook('onClose', async () => {
    await content.answers.close();
    for (const one of content.contents.values()) await one.close();
    await content.distributions.close();
  });
  await app.register(async (scope) => {
    scope.setErrorHandler(answerError);
    scope.addHook('onRequest', async (request, reply) => {
      // Before a body is read.
      if (!READS.has(request.method)) return refuse(reply.header('allow', 'GET,HEAD'), 405, 'Method Not Allowed');
    });
    for (const url of [CONTENT_ROOT.slice(0, -1), `${CONTENT_ROOT}*`]) {
      scope.route({ method: METHODS, url, exposeHeadRoute: false, handler: (request, reply) => answer(content, request, reply) });
    }
  });
}

/** In the form of Pulp's content app. */
const refuse = (reply: FastifyReply, status: number, reason: string): FastifyReply =>
  reply.code(status).type('text/plain; charset=utf-8').send(`${status}: ${reason}`);

const notFound = (reply: FastifyReply): FastifyReply => refuse(reply, 404, 'Not Found');

const toFolder = (request: FastifyRequest, reply: FastifyReply): FastifyReply =>
  refuse(reply.header('location', `${request.url.split('?', 1)[0]}/`), 301, 'Moved Permanently');

function sendFolder(
  { answers }: ContentApp,
  { request, reply }: Asking,
  path: string,
  folder: Folder,
  guarded: boolean,
): FastifyReply {
  passHeaders(reply);
  answers.page({ request: request.raw, response: reply.raw }, folderPage(CONTENT_ROOT + path, folder, path === ''), guarded);
  return reply.hijack();
}

async function answer(app: ContentApp, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const path = contentPath(request.url);
  if (path === undefined) return notFound(reply);
  const distribution = path === '' ? undefined : await app.distributions.find(...basePathsOf(path));
  if (distribution?.pulp_type === ARTIFACTS) return answerArtifact(app, distribution, path, { request, reply });
  const content = distribution && app.contents.get(distribution.pulp_type);
  if (!content) return answerAbove(app, path, { request, reply });

  const refusal = await app.guards.refusal(distribution, guardedRequest(app.users, request, CONTENT_ROOT + path));
  if (refusal !== undefined) return refuse(reply, 403, refusal);
  const version = servedVersion(distribution);
  if (!version) return refuse(reply, 404, 'This distribution serves no repository that has a version.');
  if (path === distribution.base_path) return toFolder(request, reply);

  const below = path.slice(distribution.base_path.length + 1);
  const guarded = distribution.content_guard_id !== null;
  if (!path.endsWith('/')) return answerPath(app, { content, version, path: below, guarded }, request, reply);
  const { found, hit } = await content.list(version, below.slice(0, -1));
  noteCache(app, reply, hit);
  return found ? sendFolder(app, { request, reply }, path, found, guarded) : notFound(reply);
}

/** `<base path>/<id>`: an artifact, for whoever has a signed URL. */
async function answerArtifact(
  app: ContentApp,
  { base_path }: ServedDistribution,
  path: string,
  { request, reply }: Asking,
): Promise<FastifyReply> {
  const refusal = app.guards.unsigned(guardedRequest(app.users, request, CONTENT_ROOT + path));
  if (refusal !== undefined) return refuse(reply, 403, refusal);
  passHeaders(reply);
  const sent = await app.answers.artifact({ request: request.raw, response: reply.raw }, path.slice(base_path.length + 1));
  return sent ? reply.hijack() : notFound(reply);
}

/** A path that has no slash at its end: of a file, or of a folder that is meant. */
async function answerPath(
  app: ContentApp,
  asked: AskedFile,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  passHeaders(reply);
  const outcome = await app.answers.answer({ request: request.raw, response: reply.raw }, asked);
  if (outcome === 'sent') return reply.hijack();
  const folder = await asked.content.list(asked.version, asked.path);
  if (folder.found) return toFolder(request, reply);
  noteCache(app, reply, outcome === 'hit');
  return notFound(reply);
}

/** A path that no distribution serves: folders above distributions list what is below them. */
async function answerAbove(app: ContentApp, path: string, { request, reply }: Asking): Promise<FastifyReply> {
  const isFolder = path === '' ? request.url.startsWith(CONTENT_ROOT) : path.endsWith('/');
  const folder = await distributionFolder(app.services, [...app.contents.keys()], isFolder || path === '' ? path : `${path}/`);
  if (!folder) return notFound(reply);
  return isFolder ? sendFolder(app, { request, reply }, path, folder, false) : toFolder(request, reply);
}

/** Says, as Pulp does, whether what is answered was in memory. */
function noteCache({ services }: ContentApp, reply: FastifyReply, hit: boolean): void {
  if (services.config.PULP_CACHE_ENABLED) reply.header('x-pulp-cache', hit ? 'HIT' : 'MISS');
}

/** Every error of the content app, in words. */
function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error instanceof UnavailableArtifactError) {
    // The log has it from where it was noticed.
    if (error.sources === 0) return notFound(reply);
    if (error.retryAfter !== undefined) {
      const again = reply.header('retry-after', error.retryAfter);
      return refuse(again, 429, 'The file is not stored here and its upstream takes no more requests now');
    }
    return refuse(reply.header('retry-after', '30'), 502, 'The file is not stored here and its upstream does not give it now');
  }
  if (error instanceof UnsettledFileError) {
    return refuse(reply.header('retry-after', '1'), 503, 'The file is being stored or removed, try again');
  }
  if (error instanceof ThrottledError) return refuse(reply.headers(error.headers), 429, error.message);
  request.log.error({ err: error, method: request.method, path: request.url.split('?', 1)[0] }, 'content request failed');
  if (isDatabaseAway(error)) return refuse(reply.header('retry-after', '2'), 503, 'The database is not reachable at the moment');
  return refuse(reply, 500, `Internal error, the log tells more under correlation id ${request.id}`);
}
