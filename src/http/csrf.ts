import { timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { csrfToken } from '../core/users/session-cookies.ts';
import { CsrfError } from '../kit/errors.ts';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Field of a form that carries the token, as pages of Pulp send it. */
const FORM_FIELD = 'csrfmiddlewaretoken';

const same = (given: string, expected: string): boolean => {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.byteLength === b.byteLength && timingSafeEqual(a, b);
};

/** Takes the token out of a form, whose other fields are the operation's. */
function formToken(request: FastifyRequest): string | undefined {
  const body = request.body as { [field: string]: unknown } | null | undefined;
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, FORM_FIELD)) return undefined;
  if (!/form/i.test(request.headers['content-type'] ?? '')) return undefined;
  const token = body[FORM_FIELD];
  delete body[FORM_FIELD];
  return typeof token === 'string' ? token : undefined;
}

/**
 * Refuses a change that comes by a session's cookie and may be another site's doing: it has to come from one of our own origins, or
 * to carry the session's token (security rule 4). Browsers send cookies along unasked; nothing else that proves a user is sent so.
 * Throws CsrfError.
 */
export function checkCsrf(request: FastifyRequest, secret: string, origins: readonly string[]): void {
  const field = formToken(request);
  if (SAFE.has(request.method)) return;
  const { origin } = request.headers;
  if (origin !== undefined) {
    if (origins.includes(origin)) return;
    throw new CsrfError(`Origin checking failed - ${origin} does not match any trusted origins.`);
  }
  const header = request.headers['x-csrftoken'];
  const given = field ?? (typeof header === 'string' ? header : undefined);
  if (given === undefined) throw new CsrfError('CSRF token missing.');
  if (!same(given, csrfToken(secret))) throw new CsrfError('CSRF token incorrect.');
}
