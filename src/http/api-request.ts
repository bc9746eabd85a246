import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { access } from '../core/access/authorize.ts';
import { dispatch } from '../core/tasks/dispatch.ts';
import type { Authenticator } from '../core/users/authenticate.ts';
import type { ApiRequest, Caller } from '../kit/api.ts';
import { NotAcceptableError, NotAuthenticatedError } from '../kit/errors.ts';
import type { BindRequest } from '../kit/routes.ts';
import type { Services } from '../kit/services.ts';
import { multipartParts } from './multipart-parts.ts';

const FORM = /^(application\/x-www-form-urlencoded|multipart\/form-data)\b/i;

/** What the API can answer with: JSON, also to browsers. */
const acceptable = (accept: string | undefined): boolean =>
  accept === undefined ||
  accept === '' ||
  /(\*\/\*|application\/(\*|json|[a-z.]+\+json)|text\/(html|\*)|application\/(yaml|vnd\.oai\.openapi))/i.test(accept);

async function callerOf(request: FastifyRequest, authenticator: Authenticator): Promise<Caller | null> {
  const header = request.headers.authorization;
  if (header === undefined || !/^basic /i.test(header)) return null;
  return authenticator.basic(header, request.ip);
}

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
  return async (request, open): Promise<ApiRequest> => {
    if (!acceptable(request.headers.accept)) throw new NotAcceptableError();
    const caller = await callerOf(request, authenticator);
    if (!open && !caller) throw new NotAuthenticatedError();
    const at = request.url.indexOf('?');
    return {
      services,
      access,
      caller,
      correlation_id: request.id,
      origin: `${request.protocol}://${request.host}`,
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
