import type { IncomingHttpHeaders } from 'node:http';
import type { Queryable } from '../../db/database.ts';
import type { Caller } from '../../kit/api.ts';
import { type Authenticator, InvalidCredentialsError, type RequestSource } from '../users/authenticate.ts';
import { cookieOf, SESSION_COOKIE } from '../users/session-cookies.ts';
import { findSession } from '../users/sessions.ts';

/** What a guard looks at. */
export interface GuardedRequest {
  /** Decoded, from the root of the server. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Who is logged in; null: nobody. Asked only where it matters. Throws ThrottledError. */
  readonly caller: () => Promise<Caller | null>;
  /** The registry has let the client pull: no signature is needed to be sent on. */
  readonly pulled?: true;
}

/** A request of the framework, as far as it matters here. */
interface IncomingRequest extends RequestSource {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** A request as guards look at it; `path` is decoded. */
export const guardedRequest = (
  users: { readonly authenticator: Authenticator; readonly db: Queryable },
  request: IncomingRequest,
  path: string,
): GuardedRequest => ({
  path,
  query: new URL(request.url, 'http://localhost').searchParams,
  headers: request.headers,
  caller: async () => (await userOf(users, request)) ?? null,
});

/** The user of Basic credentials, else of a session. Whoever gives wrong ones is nobody, as in Pulp: not every guard asks for a user. */
async function userOf(
  { authenticator, db }: { readonly authenticator: Authenticator; readonly db: Queryable },
  request: IncomingRequest,
): Promise<Caller | undefined> {
  const { authorization, cookie } = request.headers;
  if (authorization === undefined) {
    const secret = cookieOf(cookie, SESSION_COOKIE);
    return secret === undefined ? undefined : findSession(db, secret);
  }
  try {
    return await authenticator.basic(authorization, request);
  } catch (error) {
    if (error instanceof InvalidCredentialsError) return undefined;
    throw error;
  }
}
