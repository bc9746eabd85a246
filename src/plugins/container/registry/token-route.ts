import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { InvalidCredentialsError, type KnownUser, permitted } from '../../../core/plugin-api.ts';
import type { Caller } from '../../../kit/api.ts';
import { MalformedRequestError } from '../../../kit/errors.ts';
import { isRepositoryName } from '../oci/reference.ts';
import { sendJson } from './json-answer.ts';
import { guarded, PULL } from './request-access.ts';
import type { ServedRegistry } from './served-registry.ts';
import type { Access, IssuedToken } from './token.ts';
import { type AskedAccess, type OauthForm, oauthForm, parseScopes } from './token-request.ts';

const PUSH = 'container.push_containerdistribution';
/** What each action of a repository scope takes. */
const PERMISSIONS: Readonly<Record<string, string>> = { pull: PULL, push: PUSH, delete: PUSH };

/** The part of what was asked for that the caller (null: nobody) may have. Asking too much is no error. */
async function grant(registry: ServedRegistry, caller: Caller | null, asked: AskedAccess): Promise<Access> {
  const { type, name } = asked;
  if (type === 'registry' && name === 'catalog') {
    return { type, name, actions: caller && asked.actions.includes('*') ? ['*'] : [] };
  }
  if (type !== 'repository' || !isRepositoryName(name)) return { type, name, actions: [] };
  const object = guarded(await registry.distributions.find(name));
  const wanted = asked.actions.includes('*') ? Object.keys(PERMISSIONS) : asked.actions;
  const actions: string[] = [];
  for (const action of wanted) {
    const permission = PERMISSIONS[action];
    if (permission !== undefined && (await permitted(caller, permission, object))) actions.push(action);
  }
  if (actions.includes('push') && !actions.includes('pull')) actions.push('pull');
  return { type, name, actions };
}

async function issue(registry: ServedRegistry, caller: Caller | null, scopes: readonly string[]) {
  const access = await Promise.all(parseScopes(scopes).map((asked) => grant(registry, caller, asked)));
  return { access, issued: await registry.tokens.issue(caller?.username ?? '', access) };
}

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

const refreshFor = (registry: ServedRegistry, user: KnownUser): Promise<string> =>
  registry.tokens.issueRefresh(user.username, user.credentialStamp);

/** GET: Basic credentials or none (distribution: docs/spec/auth/token.md). */
async function getToken(registry: ServedRegistry, request: FastifyRequest, query: URLSearchParams): Promise<unknown> {
  const header = request.headers.authorization;
  const basic = header !== undefined && /^basic\b/i.test(header);
  const caller = basic ? await registry.authenticator.basic(header, request.ip) : null;
  checkService(registry, query.get('service'));
  const { issued } = await issue(registry, caller, query.getAll('scope'));
  const user = caller && query.get('offline_token') === 'true' ? await registry.authenticator.find(caller.username) : undefined;
  return { ...answer(issued), ...(user ? { refresh_token: await refreshFor(registry, user) } : {}) };
}

/** The user that a form proves. Throws InvalidCredentialsError. */
async function userOf(registry: ServedRegistry, form: OauthForm, remoteAddress: string): Promise<KnownUser> {
  const { authenticator, tokens } = registry;
  if (form.grant_type === 'password') {
    const caller = await authenticator.password(form.username, form.password, remoteAddress);
    const user = await authenticator.find(caller.username);
    if (!user) throw new InvalidCredentialsError();
    return user;
  }
  const refresh = await tokens.verifyRefresh(form.refresh_token);
  const user = refresh && (await authenticator.find(refresh.subject));
  if (!refresh || user?.credentialStamp !== refresh.credential) throw new InvalidCredentialsError();
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
  const user = await userOf(registry, form.data, request.ip);
  checkService(registry, form.data.service);
  const { access, issued } = await issue(registry, user, form.data.scope === undefined ? [] : [form.data.scope]);
  const offline = form.data.grant_type === 'refresh_token' || form.data.access_type === 'offline';
  return {
    ...answer(issued),
    scope: access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' '),
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
