import { z } from 'zod';

/** One resource of a scope, with the actions that are asked for. */
export interface AskedAccess {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

const MAX_SCOPES = 100;
const TYPE = /^[a-z0-9]+(?:\([a-z0-9]+\))?$/;

/**
 * Parses `repository:<name>:pull,push` (distribution: docs/spec/auth/scope.md); several may come apart or separated by blanks.
 * What is malformed asks for nothing.
 */
export function parseScopes(scopes: readonly string[]): AskedAccess[] {
  const asked = scopes.flatMap((text) => text.split(' ')).filter((text) => text !== '');
  return asked.slice(0, MAX_SCOPES).flatMap((text) => {
    const first = text.indexOf(':');
    const last = text.lastIndexOf(':');
    const type = text.slice(0, first);
    if (first < 1 || last === first || !TYPE.test(type)) return [];
    const actions = text.slice(last + 1).split(',');
    return [{ type, name: text.slice(first + 1, last), actions: [...new Set(actions.filter((action) => action !== ''))] }];
  });
}

const field = z.string().min(1).max(16_384);

/** The form of an OAuth2 token request (distribution: docs/spec/auth/oauth.md). */
export const oauthForm = z.discriminatedUnion('grant_type', [
  z.object({
    grant_type: z.literal('password'),
    username: field,
    password: z.string().max(4096),
    service: field.optional(),
    scope: z.string().optional(),
    access_type: z.string().optional(),
  }),
  z.object({
    grant_type: z.literal('refresh_token'),
    refresh_token: field,
    service: field.optional(),
    scope: z.string().optional(),
    access_type: z.string().optional(),
  }),
]);
export type OauthForm = z.output<typeof oauthForm>;
