import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** How an upstream asks for credentials. */
export interface AuthOptions {
  scheme: 'basic' | 'bearer';
  /** Without a user name the token endpoint serves everybody (as Docker Hub does for public images). */
  username?: string;
  password?: string;
  /** Token endpoint to name in the challenge. Default: `<url>/token` of this upstream. */
  realm?: string;
  /** Adds `?tenant=a=b&region=eu` to the realm; the endpoint then refuses requests that lost it. */
  realmWithQuery?: boolean;
  /** `service` of the challenge. */
  service?: string;
  /** Leaves `scope` out of the challenge. */
  withoutScope?: boolean;
  /** Fields of the answer that carry the token. Default: both. */
  tokenField?: 'token' | 'access_token';
  /** Seconds a token lives. Default 300. */
  expiresIn?: number;
}

/** An answer that the authentication gives in place of the content. */
export interface AuthAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

const REALM_QUERY = 'tenant=a=b&region=eu';

// Shared by all upstreams of the process: a token server on another host issues tokens that the registry believes.
const issued = new Map<string, { scopes: ReadonlySet<string>; expires: number }>();

/** Answer to a request for a token. `query` is that of the request. */
export function answerToken(options: AuthOptions, request: IncomingMessage, query: URLSearchParams): AuthAnswer {
  if (request.method !== 'GET') return refusal(405, 'UNSUPPORTED', 'only GET');
  if (options.realmWithQuery && (query.get('tenant') !== 'a=b' || query.get('region') !== 'eu')) {
    return refusal(400, 'UNAUTHORIZED', 'the query of the realm is missing');
  }
  const authorization = request.headers.authorization;
  if ((options.username !== undefined || authorization !== undefined) && !isBasicOf(options, authorization)) {
    return refusal(401, 'UNAUTHORIZED', 'wrong user name or password');
  }
  const token = randomBytes(24).toString('base64url');
  const expiresIn = options.expiresIn ?? 300;
  const scopes = new Set(query.getAll('scope').flatMap((scope) => scope.split(' ')));
  issued.set(token, { scopes, expires: Date.now() + expiresIn * 1000 });
  const answer = {
    ...(options.tokenField === 'access_token' ? {} : { token }),
    ...(options.tokenField === 'token' ? {} : { access_token: token }),
    expires_in: expiresIn,
    issued_at: new Date().toISOString(),
  };
  return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(answer) };
}

/** Null when the request may pass, else the challenge. `repository` is '' for requests about no repository. */
export function challenge(options: AuthOptions, request: IncomingMessage, repository: string, url: string): AuthAnswer | null {
  const authorization = request.headers.authorization;
  if (options.scheme === 'basic') {
    if (isBasicOf(options, authorization)) return null;
    const answer = refusal(401, 'UNAUTHORIZED', 'authentication required');
    answer.headers['www-authenticate'] = 'Basic realm="upstream"';
    return answer;
  }
  const scope = repository === '' ? '' : `repository:${repository}:pull`;
  const error = tokenError(authorization, scope);
  if (error === '') return null;
  const realm = `${options.realm ?? `${url}/token`}${options.realmWithQuery ? `?${REALM_QUERY}` : ''}`;
  const parameters = [`realm="${realm}"`, `service="${options.service ?? 'upstream'}"`];
  if (scope !== '' && !options.withoutScope) parameters.push(`scope="${scope}"`);
  if (error !== 'missing') parameters.push(`error="${error}"`);
  const answer = refusal(401, 'UNAUTHORIZED', 'authentication required');
  answer.headers['www-authenticate'] = `Bearer ${parameters.join(',')}`;
  return answer;
}

/** Invalidates every token issued so far, as a restart of a token server does. */
export function revokeTokens(): void {
  issued.clear();
}

function tokenError(authorization: string | undefined, scope: string): string {
  if (authorization === undefined) return 'missing';
  const token = authorization.startsWith('Bearer ') ? issued.get(authorization.slice(7)) : undefined;
  if (token === undefined || token.expires < Date.now()) return 'invalid_token';
  return scope === '' || token.scopes.has(scope) ? '' : 'insufficient_scope';
}

function isBasicOf(options: AuthOptions, authorization: string | undefined): boolean {
  const expected = Buffer.from(`${options.username}:${options.password}`).toString('base64');
  return options.username !== undefined && authorization === `Basic ${expected}`;
}

function refusal(status: number, code: string, message: string): AuthAnswer {
  const body = JSON.stringify({ errors: [{ code, message, detail: null }] });
  return { status, headers: { 'content-type': 'application/json' }, body };
}
