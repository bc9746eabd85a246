import type { FastifyRequest } from 'fastify';
import { type GuardedRequest, guardedRequest, servedVersion } from '../../../core/plugin-api.ts';
import type { Caller, Login } from '../../../kit/api.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import { cacheAbove, type PullThroughCache } from '../pull-through/cache.ts';
import { basicChallenge, bearerChallenge, CATALOG_SCOPE, pullScope } from './challenge.ts';
import { mayPull } from './pull-access.ts';
import { nameUnknown, RegistryError } from './registry-error.ts';
import { isGuardedByPulls, type ServedDistribution } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';
import { allows, type VerifiedToken } from './token.ts';

/** A repository that the request may read. */
export interface ReadableRepository {
  /** What serves it, or the cache that would make it: nothing of it has been pulled yet. */
  readonly served: ServedDistribution | PullThroughCache;
  /** Of what a cache has not made yet, one that holds nothing. */
  readonly version: ServedVersion;
  readonly caller: () => Promise<Caller | null>;
}

const BEARER = /^bearer +(\S+)$/i;

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
  return registry.callers.of(token);
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
  const byUser = registry.services.config.PULP_TOKEN_AUTH_DISABLED;
  return guarded(registry, request, name, await (byUser ? pulledByUser : pulledByToken)(registry, request, name));
}

/** As `readable`, for clients that bring user and password, or nothing, whatever the registry's own authentication is. */
export async function readableByUser(
  registry: ServedRegistry,
  request: FastifyRequest,
  name: string,
): Promise<ReadableRepository> {
  const pulled = await pulledByUser(registry, request, name);
  const found = await guarded(registry, request, name, pulled);
  if (found) return found;
  // Nobody learns by asking whether there is something private.
  throw (await pulled.caller()) ? nameUnknown(name) : basicChallenge('Authentication credentials were not provided.');
}

async function guarded(
  registry: ServedRegistry,
  request: FastifyRequest,
  name: string,
  { distribution, caller }: Pulled,
): Promise<ReadableRepository | undefined> {
  const served = distribution ?? (await cacheAbove(registry.services, name));
  if (!served) return undefined;
  await checkGuard(registry, request, served, caller);
  const version = distribution ? servedVersion(distribution) : { repository_id: served.id, number: 0 };
  return version && { served, version, caller };
}

/** A distribution that may be pulled from as far as roles go, and who asks. */
interface Pulled {
  readonly distribution: ServedDistribution | undefined;
  readonly caller: () => Promise<Caller | null>;
}

async function pulledByToken(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<Pulled> {
  const token = await bearer(registry, request, pullScope(name));
  const distribution = token.pull.has(name) ? await registry.distributions.find(name) : undefined;
  const caller = () => registry.callers.of(token);
  // What was allowed when the token was issued need not be any more.
  const allowed = distribution
    ? await registry.pullRights.allow(token, distribution, async () =>
        mayPull(registry.services, await caller(), name, distribution),
      )
    : token.pull.has(name);
  if (!allowed) throw bearerChallenge(registry.tokens, pullScope(name), 'insufficient_scope');
  return { distribution, caller };
}

async function pulledByUser(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<Pulled> {
  const caller = await userOf(registry, request);
  const distribution = await registry.distributions.find(name);
  if (await mayPull(registry.services, caller, name, distribution)) return { distribution, caller: async () => caller };
  if (!caller) throw basicChallenge('Authentication credentials were not provided.');
  throw new RegistryError(403, 'DENIED', 'You do not have permission to pull from this repository.', { detail: { name } });
}

/** Other guards than the one that stands for pulling itself are asked too. Throws a RegistryError (403). */
async function checkGuard(
  { guards, authenticator, services: { db } }: ServedRegistry,
  request: FastifyRequest,
  served: ReadableRepository['served'],
  caller: GuardedRequest['caller'],
): Promise<void> {
  if (isGuardedByPulls(served)) return;
  const refusal = await guards.refusal(served, {
    ...guardedRequest({ authenticator, db }, request, request.url),
    caller,
    pulled: true,
  });
  if (refusal !== undefined) throw new RegistryError(403, 'DENIED', refusal, { detail: { name: served.base_path } });
}
