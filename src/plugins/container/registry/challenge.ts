import { RegistryError } from './registry-error.ts';
import type { Tokens } from './token.ts';

/** The scope that reading a repository takes. */
export const pullScope = (name: string): string => `repository:${name}:pull`;
export const CATALOG_SCOPE = 'registry:catalog:*';

/** Why a request is answered 401, as the client is told. */
export type Refusal = 'missing' | 'invalid_token' | 'insufficient_scope';

const MESSAGES: Readonly<Record<Refusal, string>> = {
  missing: 'Authentication credentials were not provided.',
  invalid_token: 'Access to the requested resource is not authorized. The provided Bearer token is invalid.',
  insufficient_scope: 'Insufficient permissions',
};

/** 401 that sends the client to the token server (RFC 6750; distribution: docs/spec/auth/token.md). */
export function bearerChallenge(tokens: Tokens, scope: string | undefined, refusal: Refusal): RegistryError {
  const parameters = [`realm="${tokens.realm}"`, `service="${tokens.service}"`];
  if (scope !== undefined) parameters.push(`scope="${scope}"`);
  if (refusal !== 'missing') parameters.push(`error="${refusal}"`);
  return new RegistryError(401, 'UNAUTHORIZED', MESSAGES[refusal], {
    headers: { 'www-authenticate': `Bearer ${parameters.join(',')}` },
  });
}

/** 401 that asks for user and password: token authentication is switched off. */
export const basicChallenge = (message: string): RegistryError =>
  new RegistryError(401, 'UNAUTHORIZED', message, { headers: { 'www-authenticate': 'Basic realm="registry"' } });
