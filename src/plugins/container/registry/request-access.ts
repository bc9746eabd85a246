import type { FastifyRequest } from 'fastify';
import { type GuardedRequest, guardedRequest, servedVersion } from '../../../core/plugin-api.ts';
import type { Caller, Login } from '../../../kit/api.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { basicChallenge, bearerChallenge, CATALOG_SCOPE, pullScope } from './challenge.ts';
import { nameUnknown, RegistryError } from './registry-error.ts';
import { isGuardedByPulls, type ServedDistribution } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';
import { allows, type VerifiedToken } from './token.ts';

/** A repository that the request may read. */
export interface ReadableRepository {
  readonly distribution: ServedDistribution;
  readonly version: ServedVersion;
}

const BEARER = /^bearer +(\S+)$/i;

/** Whether the policy of distributions lets the caller (null: nobody) do it with this one. */
export const may = (
  { services }: ServedRegistry,
  caller: Caller | null,
  action: 'pull' | 'push',
  distribution: ServedDistribution | undefined,
): Promise<boolean> =>
  services.access.may(
    { services, caller, body: undefined, params: {} },
    containerDistribution,
    action,
    distribution && { ...distribution },
  );

/** The request's token, proven. `scope` is what the challenge asks for. */
export async function bearer({ tokens }: ServedRegistry, request: FastifyRequest, scope?: string): Promise<VerifiedToken> {
  const text = BEARER.exec(request.headers.authorization ?? '')?.[1];
  if (text === undefined) throw bearerChallenge(tokens, scope, 'missing');
  const token = await tokens.verify(text);
  if (!token) throw bearerChallenge(tokens, scope, 'invalid_token');
  return token;
}

/** Empty name, empty password: how some clients (skopeo, the conformance suite) ask when they have no credentials. */
const NOBODY = /^basic +Og==$/i;

/** The user whom Basic credentials name; null for nobody. Throws InvalidCredentialsError. */
export async function userOf({ authenticator }: ServedRegistry, request: FastifyRequest): Promise<Login | null> {
  const header = request.headers.authorization;
  return header === undefined || NOBODY.test(header) ? null : authenticator.basic(header, request);
}

/** `/v2/` itself: any token of ours, or any user. */
export async function checkBase(registry: ServedRegistry, request: FastifyRequest): Promise<void> {
  if (!registry.services.config.PULP_TOKEN_AUTH_DISABLED) {
    await bearer(registry, request);
    return;
  }
  // Clients learn here, and only here, that they may log in; without credentials they go on to what is public all the same.
  if (!(await userOf(registry, request))) throw basicChallenge('Authentication credentials were not provided.');
}

/** Whose catalog it is. */
export async function checkCatalog(registry: ServedRegistry, request: FastifyRequest): Promise<Caller | null> {
  if (registry.services.config.PULP_TOKEN_AUTH_DISABLED) {
    const caller = await userOf(registry, request);
    if (!caller) throw basicChallenge('Authentication credentials were not provided.');
    return caller;
  }
  const token = await bearer(registry, request, CATALOG_SCOPE);
  if (!token.access.some((entry) => entry.name === 'catalog' && allows(entry, 'registry', '*'))) {
    throw bearerChallenge(registry.tokens, CATALOG_SCOPE, 'insufficient_scope');
  }
  return (await registry.authenticator.find(token.subject)) ?? null;
}

/** What the name stands for, if the request may pull it. Throws a RegistryError: 401, 403, or 404 where nothing is served. */
export async function readable(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<ReadableRepository> {
  const found = await findReadable(registry, request, name);
  if (!found) throw nameUnknown(name);
  return found;
}

/** As `readable`; undefined where nothing is served. */
export async function findReadable(
  registry: ServedRegistry,
  request: FastifyRequest,
  name: string,
): Promise<ReadableRepository | undefined> {
  const { distribution, caller } = registry.services.config.PULP_TOKEN_AUTH_DISABLED
    ? await pulledByUser(registry, request, name)
    : await pulledByToken(registry, request, name);
  if (distribution) await checkGuard(registry, request, distribution, caller);
  const version = distribution && servedVersion(distribution);
  return version && { distribution, version };
}

/** A distribution that may be pulled from as far as roles go, and who asks. */
interface Pulled {
  readonly distribution: ServedDistribution | undefined;
  readonly caller: () => Promise<Caller | null>;
}

async function pulledByToken(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<Pulled> {
  const token = await bearer(registry, request, pullScope(name));
  if (!token.pull.has(name)) throw bearerChallenge(registry.tokens, pullScope(name), 'insufficient_scope');
  return {
    distribution: await registry.distributions.find(name),
    caller: async () => (await registry.authenticator.find(token.subject)) ?? null,
  };
}

async function pulledByUser(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<Pulled> {
  const caller = await userOf(registry, request);
  const distribution = await registry.distributions.find(name);
  if (await may(registry, caller, 'pull', distribution)) return { distribution, caller: async () => caller };
  if (!caller) throw basicChallenge('Authentication credentials were not provided.');
  throw new RegistryError(403, 'DENIED', 'You do not have permission to pull from this repository.', { detail: { name } });
}

/** Other guards than the one that stands for pulling itself are asked too. Throws a RegistryError (403). */
async function checkGuard(
  { guards, authenticator, services: { db } }: ServedRegistry,
  request: FastifyRequest,
  distribution: ServedDistribution,
  caller: GuardedRequest['caller'],
): Promise<void> {
  if (isGuardedByPulls(distribution)) return;
  const refusal = await guards.refusal(distribution, {
    ...guardedRequest({ authenticator, db }, request, request.url),
    caller,
    pulled: true,
  });
  if (refusal !== undefined) throw new RegistryError(403, 'DENIED', refusal, { detail: { name: distribution.base_path } });
}
