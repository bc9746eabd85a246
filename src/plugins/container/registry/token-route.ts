import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { InvalidCredentialsError, type RequestSource, tokenPrnOf, writeAudit } from '../../../core/plugin-api.ts';
import type { Caller, Login } from '../../../kit/api.ts';
import { MalformedRequestError } from '../../../kit/errors.ts';
import { isRepositoryName } from '../oci/reference.ts';
import { sendJson } from './json-answer.ts';
import { mayPush } from './push-access.ts';
import { may, userOf } from './request-access.ts';
import type { ServedDistribution } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';
import type { Access, IssuedToken } from './token.ts';
import { type AskedAccess, type OauthForm, oauthForm, parseScopes } from './token-request.ts';

/** What each action of a repository scope takes. */
const RIGHTS: Readonly<Record<string, 'pull' | 'push'>> = { pull: 'pull', push: 'push', delete: 'push' };

/** The part of what was asked for that the caller (null: nobody) may have. Asking too much is no error. */
async function grant(registry: ServedRegistry, caller: Caller | null, asked: AskedAccess): Promise<Access> {
  const { type, name } = asked;
  if (type === 'registry' && name === 'catalog') {
    return { type, name, actions: caller && asked.actions.includes('*') ? ['*'] : [] };
  }
  if (type !== 'repository' || !isRepositoryName(name)) return { type, name, actions: [] };
  const distribution = await registry.distributions.find(name);
  const wanted = asked.actions.includes('*') ? Object.keys(RIGHTS) : asked.actions;
  const actions: string[] = [];
  for (const action of wanted) {
    const right = RIGHTS[action];
    if (right !== undefined && (await allowed(registry, caller, right, name, distribution))) actions.push(action);
  }
  if (actions.includes('push') && !actions.includes('pull')) actions.push('pull');
  return { type, name, actions };
}

const allowed = (
  registry: ServedRegistry,
  caller: Caller | null,
  right: 'pull' | 'push',
  name: string,
  distribution: ServedDistribution | undefined,
): Promise<boolean> =>
  right === 'push' ? mayPush(registry, caller, name, distribution) : may(registry, caller, right, distribution);

const writes = ({ actions }: Access): boolean => actions.includes('push') || actions.includes('delete');

/** A token for what is asked and allowed. One that lets change anything is noted in the audit log. */
async function issue(registry: ServedRegistry, caller: Login | null, scopes: readonly string[], source: RequestSource) {
  const access = await Promise.all(parseScopes(scopes).map((asked) => grant(registry, caller, asked)));
  const issued = await registry.tokens.issue(caller?.username ?? '', access);
  const scope = access.filter(writes).map(scopeText);
  if (caller && scope.length > 0) {
    await writeAudit(registry.services.db, {
      user_id: caller.id,
      username: caller.username,
      address: source.ip,
      authentication: tokenPrnOf(caller.credential) ?? 'password',
      method: source.method,
      operation: 'token',
      after: { scope },
      status: 200,
      correlation_id: source.id,
    });
  }
  return { access, issued };
}

const scopeText = ({ type, name, actions }: Access): string => `${type}:${name}:${actions.join(',')}`;

/** The other service's token would be of no use here, nor may ours be had in its name. */
function checkService({ tokens }: ServedRegistry, service: string | null | undefined): void {
  if (!service) throw new MalformedRequestError('No service name provided.');
  if (service !== tokens.service) throw new MalformedRequestError(`This token server serves "${tokens.service}" only.`);
}

const answer = ({ token, issuedAt, expiresIn }: IssuedToken) => ({
  expires_in: expiresIn,
  issued_at: issuedAt.toISOString(),
  token,
  access_token: token,
});

const refreshFor = (registry: ServedRegistry, user: Login): Promise<string> =>
  registry.tokens.issueRefresh(user.username, user.credential);

/** GET: Basic credentials or none (distribution: docs/spec/auth/token.md). */
async function getToken(registry: ServedRegistry, request: FastifyRequest, query: URLSearchParams): Promise<unknown> {
  const header = request.headers.authorization;
  const basic = header !== undefined && /^basic\b/i.test(header);
  const caller = basic ? await userOf(registry, request) : null;
  checkService(registry, query.get('service'));
  const { issued } = await issue(registry, caller, query.getAll('scope'), request);
  const offline = caller && query.get('offline_token') === 'true';
  return { ...answer(issued), ...(offline ? { refresh_token: await refreshFor(registry, caller) } : {}) };
}

/** The user that a form proves. Throws InvalidCredentialsError. */
async function userOfForm({ authenticator, tokens }: ServedRegistry, form: OauthForm, source: RequestSource): Promise<Login> {
  if (form.grant_type === 'password') return authenticator.password(form.username, form.password, source);
  const refresh = await tokens.verifyRefresh(form.refresh_token);
  const user = refresh && (await authenticator.again(refresh.subject, refresh.credential));
  if (!user) throw new InvalidCredentialsError();
  return user;
}

/** POST: user and password, or a refresh token, in a form (distribution: docs/spec/auth/oauth.md). */
async function postToken(registry: ServedRegistry, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const form = oauthForm.safeParse(request.body);
  if (!form.success) {
    const known = ['password', 'refresh_token'].includes(String((request.body as { grant_type?: unknown } | null)?.grant_type));
    reply.code(400);
    return {
      error: known ? 'invalid_request' : 'unsupported_grant_type',
      error_description: form.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    };
  }
  const user = await userOfForm(registry, form.data, request);
  checkService(registry, form.data.service);
  const { access, issued } = await issue(registry, user, form.data.scope === undefined ? [] : [form.data.scope], request);
  const offline = form.data.grant_type === 'refresh_token' || form.data.access_type === 'offline';
  return {
    ...answer(issued),
    scope: access.map(scopeText).join(' '),
    ...(offline ? { refresh_token: await refreshFor(registry, user) } : {}),
  };
}

/** `/token/`: the token server of this registry. Errors are answered in the shape of the REST API, as Pulp does. */
export function tokenRoutes(app: FastifyInstance, registry: ServedRegistry): void {
  for (const url of ['/token/', '/token']) {
    app.route({
      method: 'GET',
      url,
      handler: async (request, reply) => {
        reply.header('cache-control', 'no-store');
        return sendJson(reply, await getToken(registry, request, new URL(request.url, 'http://localhost').searchParams));
      },
    });
    app.route({
      method: 'POST',
      url,
      handler: async (request, reply) => {
        reply.header('cache-control', 'no-store');
        return sendJson(reply, await postToken(registry, request, reply));
      },
    });
  }
}
