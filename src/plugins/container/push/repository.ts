import { v7 as uuid7 } from 'uuid';
import { contentRedirectGuard } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Caller } from '../../../kit/api.ts';
import { uniqueViolation } from '../../../kit/conflicts.ts';
import type { Resource } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { storeOf } from '../../../kit/general-tasks.ts';
import type { Services } from '../../../kit/services.ts';
import { denied, RegistryError } from '../registry/registry-error.ts';
import { mirrorsInto } from '../registry/served-distribution.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { containerRepository } from '../resources/repository.ts';

type RepositoryServices = Pick<Services, 'db' | 'access' | 'domain' | 'catalog' | 'config'>;

interface KnownRepository {
  readonly id: string;
  readonly mirrors: boolean;
}

/**
 * The repository that is pushed to under a name for the first time: made with its distribution and namespace, in one transaction, unless
 * a distribution waits for a repository, or a repository of that name for a distribution. They are the caller's, as what he makes
 * by the REST API is. `work` is what it is made for, in the same transaction: a repository that nothing has come to may be removed by the
 * next push that fails. Throws RegistryError where the name is taken, or cannot be used.
 */
export async function inRepositoryOfPush<T>(
  services: RepositoryServices,
  caller: Caller,
  name: string,
  work: (tx: Queryable, repositoryId: string) => Promise<T>,
): Promise<T> {
  const guard = await contentRedirectGuard(services);
  try {
    return await uniqueViolation(containerDistribution, () =>
      services.db.transaction(async (tx) => {
        // The blobs of an image come at once: the first makes what the others find.
        await tx.query(sql`select pg_advisory_xact_lock(hashtext(${`container.push ${name}`}))`);
        return work(tx, await makeRepository(tx, services, { caller, name, guard }));
      }),
    );
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    throw new RegistryError(400, 'NAME_INVALID', `Nothing can be pushed here: ${error.message}`, {
      detail: { name },
      cause: error,
    });
  }
}

interface Wanted {
  readonly caller: Caller;
  readonly name: string;
  /** The content guard that distributions share. */
  readonly guard: string;
}

async function makeRepository(tx: Queryable, services: RepositoryServices, wanted: Wanted): Promise<string> {
  const { caller, name, guard } = wanted;
  const domain_id = services.domain.id;
  const own = (made: Resource, id: string) => services.access.created(tx, made, id, caller.id);
  const distribution = await findDistribution(tx, domain_id, name);
  if (distribution?.repository_id) return distribution.repository_id;
  const known = await knownRepository(tx, services, wanted);
  const repository_id = known ?? uuid7();
  if (known === undefined) {
    await storeOf(containerRepository).insert(tx, { id: repository_id, domain_id, columns: { name, origin: 'push' }, own });
    await own(containerRepository, repository_id);
  }
  const store = storeOf(containerDistribution);
  if (distribution) {
    await store.update(tx, distribution.id, { repository_id });
    return repository_id;
  }
  const id = uuid7();
  const columns = { name, base_path: name, repository_id, content_guard_id: guard };
  await store.insert(tx, { id, domain_id, columns, own });
  await own(containerDistribution, id);
  return repository_id;
}

/** What serves the name. Its repository, if it has one, stays until the transaction ends. */
async function findDistribution(
  tx: Queryable,
  domainId: string,
  name: string,
): Promise<{ readonly id: string; readonly repository_id: string | null } | undefined> {
  for (;;) {
    const [distribution] = await tx.query<{ id: string; repository_id: string | null }>(sql`
      select id, repository_id from distribution
      where domain_id = ${domainId}::uuid and base_path = ${name} and pulp_type = 'container.container'`);
    if (!distribution?.repository_id) return distribution;
    const [held] = await tx.query(sql`select id from repository where id = ${distribution.repository_id}::uuid for key share`);
    // Else it went with the distribution, or without it.
    if (held) return distribution;
  }
}

/** A repository of that name that nothing serves yet, if the caller may change what it holds; it stays until the transaction ends. Throws RegistryError (403). */
async function knownRepository(
  tx: Queryable,
  services: RepositoryServices,
  { caller, name }: Wanted,
): Promise<string | undefined> {
  const [known] = await tx.query<KnownRepository>(sql`
    select m.id, ${mirrorsInto('d')} as mirrors from repository m join container_repository d on d.id = m.id
    where m.domain_id = ${services.domain.id}::uuid and m.name = ${name} for key share of m`);
  if (!known) return undefined;
  const asked = { services, caller, body: undefined, params: {} };
  const taken = !known.mirrors || services.config.DECKLE_PUSH_TO_MIRRORS;
  if (taken && (await services.access.may(asked, containerRepository, 'add', { ...known }))) return known.id;
  throw denied('There is a repository of this name that you cannot push to.', { name });
}
