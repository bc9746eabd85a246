import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fullDiskIn } from '../core/full-disk.ts';
import { isDatabaseAway } from '../core/tasks/database-away.ts';
import { ApiError } from '../kit/errors.ts';
import { sendJson } from '../kit/routes.ts';

const detail = (message: string) => ({ detail: message });

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the client is told of an error; undefined for those that are our fault. */
function answerOf(error: Error & { code?: string; statusCode?: number }): Answer | undefined {
  if (error instanceof ApiError) return { status: error.status, body: error.body, headers: error.headers };
  if (fullDiskIn(error))
    return { status: 507, body: detail('The storage has no space left: nothing was stored. The log of the server tells more.') };
  if (isDatabaseAway(error))
    return {
      status: 503,
      body: detail('The database is not reachable at the moment. Please try again.'),
      headers: { 'retry-after': '2' },
    };
  if (error.code === '57014')
    return { status: 400, body: { errors: ['The filter took too long to evaluate; use a simpler pattern.'] } };
  if (error.code === '2201B') return { status: 400, body: { errors: ['The regular expression of a filter is not valid.'] } };
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return { status: 415, body: detail('Unsupported media type in request.') };
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE' || error.statusCode === 413)
    return { status: 413, body: detail('Request body is too large.') };
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
    return { status: error.statusCode, body: detail(error.message) };
  return undefined;
}

/** The status that an error is answered with. */
export const statusOf = (error: Error): number => answerOf(error)?.status ?? 500;

/** Answers every error of the REST API in Pulp's shapes, in this one place; logs those that are our fault. */
export function registerErrorHandler(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    const answer = answerOf(error);
    if (answer && answer.status < 500) {
      if (answer.headers) reply.headers(answer.headers);
      return sendJson(reply.code(answer.status), answer.body);
    }
    request.log.error({ err: error, method: request.method, path: request.url.split('?')[0] }, 'request failed');
    const fault = answer ?? {
      status: 500,
      body: detail(`Internal error. The log tells more under correlation id ${request.id}.`),
    };
    if (fault.headers) reply.headers(fault.headers);
    return sendJson(reply.code(fault.status), fault.body);
  });
}
