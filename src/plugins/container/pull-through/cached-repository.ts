import { v7 as uuid7 } from 'uuid';
import { type LoadedRemote, loadRemote, REMOTE_SECRETS } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Columns } from '../../../kit/define-resource.ts';
import { storeOf } from '../../../kit/general-tasks.ts';
import { secretPlace } from '../../../kit/mutations.ts';
import type { Services } from '../../../kit/services.ts';
import { nameUnknown, RegistryError } from '../registry/registry-error.ts';
import { containerDistribution } from '../resources/distribution.ts';
import { containerRemote } from '../resources/remote.ts';
import { containerRepository } from '../resources/repository.ts';
import { type PullThroughCache, upstreamNameIn } from './cache.ts';

/** Where what is pulled under a name is kept, and what it is fetched from. */
export interface CachedRepository {
  readonly repository_id: string;
  readonly remote_id: string;
}

type RowServices = Pick<Services, 'domain' | 'secrets'>;

/** What a remote has of that of its cache, which it follows. */
const FOLLOWED = [
  'url',
  'ca_cert',
  'client_cert',
  'tls_validation',
  'proxy_url',
  'download_concurrency',
  'max_retries',
  'total_timeout',
  'connect_timeout',
  'sock_connect_timeout',
  'sock_read_timeout',
  'headers',
  'rate_limit',
] as const;

/** The columns that make a remote, `id`, reach its upstream as that of its cache does; secrets are sealed for their new place. */
function followingColumns({ secrets }: RowServices, remote: LoadedRemote, id: string): Columns {
  const sealed = REMOTE_SECRETS.map((column) => {
    const secret = remote[column];
    return [column, secret === null ? null : secrets.seal(secret, secretPlace('remotes', column, id))] as const;
  });
  return Object.fromEntries([...FOLLOWED.map((column) => [column, remote[column]] as const), ...sealed]);
}

/** Gives a remote what that of its cache was changed to since. */
export async function followCache(
  services: RowServices & Pick<Services, 'db'>,
  cache: PullThroughCache,
  remoteId: string,
): Promise<void> {
  const [newer] = await services.db.query(sql`
    select 1 from remote theirs, remote own
    where theirs.id = ${cache.remote_id}::uuid and own.id = ${remoteId}::uuid and theirs.pulp_last_updated > own.pulp_last_updated`);
  if (!newer) return;
  const columns = followingColumns(services, await loadRemote(services, cache.remote_id), remoteId);
  await services.db.transaction((tx) => storeOf(containerRemote).update(tx, remoteId, columns));
}

/** What is served under the name by pulling through, held until the transaction ends; undefined where there is none. */
export async function heldRepository(
  tx: Queryable,
  { domain }: RowServices,
  name: string,
): Promise<CachedRepository | undefined> {
  const [found] = await tx.query<{ repository_id: string | null; remote_id: string | null }>(sql`
    select d.repository_id, d.remote_id from distribution d join container_distribution c on c.id = d.id
    where d.domain_id = ${domain.id}::uuid and d.base_path = ${name} for key share of d`);
  if (!found) return undefined;
  const { repository_id, remote_id } = found;
  if (repository_id === null || remote_id === null) throw nameUnknown(name);
  return { repository_id, remote_id };
}

/**
 * Makes remote, repository and distribution for a repository that is pulled for the first time, all under its name; nobody owns them: rights
 * on the cache count. Throws RegistryError where the cache is gone, or the name is somebody else's.
 */
export async function makeRepository(
  tx: Queryable,
  services: RowServices,
  { cache, remote, name }: { readonly cache: PullThroughCache; readonly remote: LoadedRemote; readonly name: string },
): Promise<CachedRepository> {
  const [held] = await tx.query(sql`
    select id from container_pull_through_distribution where id = ${cache.id}::uuid for key share`);
  if (!held) throw nameUnknown(name);
  const domain_id = services.domain.id;
  const own = async () => undefined;
  const remote_id = await remoteOf(tx, services, { cache, remote, name });
  const repository_id = await repositoryOf(tx, services, name);
  const { content_guard_id, hidden, private: isPrivate } = cache;
  const columns = {
    name,
    base_path: name,
    repository_id,
    remote_id,
    content_guard_id,
    hidden,
    private: isPrivate,
    cache_id: cache.id,
  };
  await storeOf(containerDistribution).insert(tx, { id: uuid7(), domain_id, columns, own });
  return { repository_id, remote_id };
}

async function remoteOf(
  tx: Queryable,
  services: RowServices,
  { cache, remote, name }: { readonly cache: PullThroughCache; readonly remote: LoadedRemote; readonly name: string },
): Promise<string> {
  const upstream_name = upstreamNameIn(cache, name);
  const [known] = await tx.query<{ id: string; ours: boolean }>(sql`
    select m.id, coalesce(d.cache_id = ${cache.id}::uuid or (d.upstream_name = ${upstream_name} and m.url = ${remote.url}), false) as ours
    from remote m left join container_remote d on d.id = m.id where m.domain_id = ${services.domain.id}::uuid and m.name = ${name}`);
  if (known && !known.ours) throw taken('remote', name);
  const id = known?.id ?? uuid7();
  const columns = { ...followingColumns(services, remote, id), upstream_name, cache_id: cache.id };
  const store = storeOf(containerRemote);
  if (known) await store.update(tx, id, columns);
  else {
    const row = { id, domain_id: services.domain.id, columns: { ...columns, name, policy: 'on_demand' } };
    await store.insert(tx, { ...row, own: async () => undefined });
  }
  return id;
}

async function repositoryOf(tx: Queryable, { domain }: RowServices, name: string): Promise<string> {
  const [known] = await tx.query<{ id: string; origin: string | null }>(sql`
    select m.id, d.origin from repository m left join container_repository d on d.id = m.id
    where m.domain_id = ${domain.id}::uuid and m.name = ${name}`);
  if (known && known.origin !== 'pull-through') throw taken('repository', name);
  if (known) return known.id;
  const id = uuid7();
  const columns = { name, retain_repo_versions: 1, origin: 'pull-through' };
  await storeOf(containerRepository).insert(tx, { id, domain_id: domain.id, columns, own: async () => undefined });
  return id;
}

/** Names are unique: what the cache would make has to have this one. */
export const taken = (what: string, name: string): RegistryError =>
  new RegistryError(403, 'DENIED', `The ${what} "${name}" is there already and is not the cache's: it has to be renamed first.`, {
    detail: { name },
  });
