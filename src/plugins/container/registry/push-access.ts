import type { FastifyRequest } from 'fastify';
import { sql } from '../../../db/sql.ts';
import type { Caller } from '../../../kit/api.ts';
import type { Row } from '../../../kit/define-resource.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { containerNamespace } from '../resources/namespace.ts';
import { basicChallenge, bearerChallenge } from './challenge.ts';
import { denied, nameUnknown } from './registry-error.ts';
import { bearer, userOf } from './request-access.ts';
import type { ServedDistribution } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';
import { allows } from './token.ts';

/** What a request may change: whose it is, and what the name stands for now. */
export interface Writable {
  readonly caller: Caller;
  /** Undefined where nothing has that name yet. */
  readonly distribution: ServedDistribution | undefined;
  /** Names that the request's token lets pull from; undefined where no token limits what the caller may. */
  readonly pulls: ReadonlySet<string> | undefined;
}

/** A repository that a request may change. */
export interface WritableRepository {
  readonly caller: Caller;
  readonly repository_id: string;
}

/** The scope that changing a repository takes. */
export const pushScope = (name: string): string => `repository:${name}:pull,push`;

/** Whether the caller may push under the name: to what is there, or by making it (spec: rbac, registry). */
export async function mayPush(
  registry: ServedRegistry,
  caller: Caller | null,
  name: string,
  distribution: ServedDistribution | undefined,
): Promise<boolean> {
  if (!caller) return false;
  const { services } = registry;
  const asking = { services, caller, params: {} };
  if (distribution)
    return services.access.may({ ...asking, body: undefined }, containerDistribution, 'push', { ...distribution });
  const namespaceName = name.split('/', 1).join('');
  const [namespace] = await services.db.query<Row>(sql`
    select ${containerNamespace.select} from ${containerNamespace.from}
    where m.domain_id = ${services.domain.id}::uuid and m.name = ${namespaceName}`);
  const asked = { ...asking, body: { name: namespaceName } };
  return namespace
    ? services.access.may(asked, containerNamespace, 'create_distribution', namespace)
    : services.access.may(asked, containerNamespace, 'create');
}

/**
 * Who asks to change what has the name, if he may: by a token that says so, and by his rights as they are now. Throws a RegistryError: 401,
 * 403.
 */
export async function writable(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<Writable> {
  const byToken = !registry.services.config.PULP_TOKEN_AUTH_DISABLED;
  const { caller, pulls } = byToken
    ? await callerOfToken(registry, request, name)
    : { caller: await userOf(registry, request), pulls: undefined };
  const refused = () =>
    byToken
      ? bearerChallenge(registry.tokens, pushScope(name), 'insufficient_scope')
      : basicChallenge('Authentication credentials were not provided.');
  if (!caller) throw refused();
  const distribution = await registry.distributions.find(name);
  if (await mayPush(registry, caller, name, distribution)) return { caller, distribution, pulls };
  if (byToken) throw refused();
  throw denied('You do not have permission to push to this repository.', { name });
}

interface TokenCaller extends Pick<Writable, 'pulls'> {
  /** Null where the token does not let change what has the name, or its user is gone. */
  readonly caller: Caller | null;
}

async function callerOfToken(registry: ServedRegistry, request: FastifyRequest, name: string): Promise<TokenCaller> {
  const scope = pushScope(name);
  const token = await bearer(registry, request, scope);
  const action = request.method === 'DELETE' ? ['push', 'delete'] : ['push'];
  const allowed = token.access.some((entry) => entry.name === name && action.some((one) => allows(entry, 'repository', one)));
  return { caller: allowed ? await registry.callers.of(token) : null, pulls: token.pull };
}

/**
 * The repository behind the name, for a request that changes what is there. Throws a RegistryError: 401, 403, also where the repository mirrors
 * content or one version of it is served for good; 404.
 */
export async function writableRepository(
  registry: ServedRegistry,
  request: FastifyRequest,
  name: string,
): Promise<WritableRepository> {
  const { caller, distribution } = await writable(registry, request, name);
  if (!distribution) throw nameUnknown(name);
  checkTakesPushes(registry, distribution);
  const { repository_id } = distribution;
  if (repository_id === null) throw nameUnknown(name);
  return { caller, repository_id };
}

/** Throws a RegistryError (403) where what is served does not come by pushes. */
export function checkTakesPushes({ services: { config } }: ServedRegistry, distribution: ServedDistribution): void {
  const detail = { name: distribution.base_path };
  if (distribution.pinned) throw denied('One version of the repository is served here for good; nothing can be changed.', detail);
  if (distribution.mirrors && !config.DECKLE_PUSH_TO_MIRRORS) {
    throw denied(
      'This repository mirrors content from another registry: pushes would be mixed with it, and lost with the next mirroring. Push to another repository.',
      detail,
    );
  }
}
