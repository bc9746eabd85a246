import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { dispatch } from '../core/tasks/dispatch.ts';
import type { Authenticator } from '../core/users/authenticate.ts';
import { cookieOf, ENDED_SESSION_COOKIE, SESSION_COOKIE } from '../core/users/session-cookies.ts';
import { findSession } from '../core/users/sessions.ts';
import type { ApiRequest, Login } from '../kit/api.ts';
import { NotAcceptableError, NotAuthenticatedError } from '../kit/errors.ts';
import type { BindRequest } from '../kit/routes.ts';
import type { Services } from '../kit/services.ts';
import { checkCsrf } from './csrf.ts';
import { multipartParts } from './multipart-parts.ts';

const FORM = /^(application\/x-www-form-urlencoded|multipart\/form-data)\b/i;

/** What the API can answer with: JSON, also to browsers. */
const acceptable = (accept: string | undefined): boolean =>
  accept === undefined ||
  accept === '' ||
  /(\*\/\*|application\/(\*|json|[a-z.]+\+json)|text\/(html|\*)|application\/(yaml|vnd\.oai\.openapi))/i.test(accept);

/** The user of the request: by Basic credentials, else by a session's cookie; null for nobody. Throws what these do, and CsrfError. */
async function loginOf(
  request: FastifyRequest,
  { config, db }: Services,
  authenticator: Authenticator,
  origin: string,
): Promise<Login | null> {
  const { authorization, cookie } = request.headers;
  if (authorization !== undefined && /^basic /i.test(authorization)) return authenticator.basic(authorization, request);
  const secret = cookieOf(cookie, SESSION_COOKIE);
  const login = secret === undefined ? undefined : await findSession(db, secret);
  if (secret === undefined || !login) return null;
  checkCsrf(request, secret, [origin, config.PULP_CONTENT_ORIGIN]);
  return login;
}

/** 401; a browser whose session is over is told to forget it. */
const notAuthenticated = ({ headers: { cookie } }: FastifyRequest): NotAuthenticatedError =>
  new NotAuthenticatedError(undefined, cookieOf(cookie, SESSION_COOKIE) ? { 'set-cookie': ENDED_SESSION_COOKIE } : {});

/** Query parameters by name, each with all its values. */
const queryOf = (request: FastifyRequest): Record<string, string[]> => {
  const values: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  const at = request.url.indexOf('?');
  if (at >= 0)
    for (const [name, value] of new URLSearchParams(request.url.slice(at + 1))) values[name] = [...(values[name] ?? []), value];
  return values;
};

/** Binds HTTP requests to what the kit's handlers are given. */
export function bindRequest(services: Services, authenticator: Authenticator): BindRequest {
  return async (request, audience): Promise<ApiRequest> => {
    if (!acceptable(request.headers.accept)) throw new NotAcceptableError();
    const origin = `${request.protocol}://${request.host}`;
    const caller = await loginOf(request, services, authenticator, origin);
    if (audience !== 'anyone' && !caller) throw notAuthenticated(request);
    const at = request.url.indexOf('?');
    return {
      services,
      caller,
      address: request.ip,
      audit: {},
      correlation_id: request.id,
      origin,
      path: at < 0 ? request.url : request.url.slice(0, at),
      params: request.params as Record<string, string>,
      query: queryOf(request),
      headers: request.headers,
      ...(request.body instanceof Readable
        ? { body: undefined, parts: multipartParts(String(request.headers['content-type']), request.body) }
        : { body: request.body }),
      form: FORM.test(request.headers['content-type'] ?? ''),
      dispatch: (definition, args, locks) =>
        dispatch(services, definition, args, {
          ...locks,
          domain_id: services.domain.id,
          user_id: caller?.id ?? null,
          correlation_id: request.id,
        }),
    };
  };
}
