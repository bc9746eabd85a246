import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../../kit/api.ts';
import { type Authenticator, InvalidCredentialsError } from '../users/authenticate.ts';

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

/** A request as guards look at it; `path` is decoded. Whoever gives wrong credentials is nobody, as in Pulp: not every guard asks for a user. */
export const guardedRequest = (
  authenticator: Authenticator,
  { url, headers, ip }: { readonly url: string; readonly headers: IncomingHttpHeaders; readonly ip: string },
  path: string,
): GuardedRequest => ({
  path,
  query: new URL(url, 'http://localhost').searchParams,
  headers,
  caller: async () => {
    if (headers.authorization === undefined) return null;
    try {
      return await authenticator.basic(headers.authorization, ip);
    } catch (error) {
      if (error instanceof InvalidCredentialsError) return null;
      throw error;
    }
  },
});
