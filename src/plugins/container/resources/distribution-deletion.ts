import { DISTRIBUTION_CHANNEL, REPOSITORY_CHANNEL } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Catalog } from '../../../kit/catalog.ts';
import { prnType } from '../../../kit/names.ts';

/*
 * With distributions go the repositories that a push or a pull-through made for them (docs/DIFFERENCES.md): nobody else knows of those.
 */

/** Condition over repository `r`: it was made on the way, and nothing serves it, or a version of it, but the distributions whose ids `going` selects. */
const goesWith = (going: Sql): Sql => sql`
  (r.pulp_type = 'container.container-push' or exists (
    select from container_repository made where made.id = r.id and made.origin is not null))
  and not exists (
    select from distribution other
    where (other.repository_id = r.id or other.repository_version_id in (select v.id from repository_version v where v.repository_id = r.id))
      and other.id not in (${going}))`;

/** The repositories that would go with the distributions: ids and pulp_types. */
export const repositoriesGoing = (db: Queryable, going: Sql): Promise<{ id: string; pulp_type: string }[]> =>
  db.query(sql`
    select r.id, r.pulp_type from repository r
    where r.id in (select s.repository_id from distribution s where s.id in (${going})) and ${goesWith(going)} order by r.id`);

/** Their PRNs, which a task that deletes them holds. */
export const lockedWith = (
  repositories: readonly { id: string; pulp_type: string }[],
  catalog: Pick<Catalog, 'ofType'>,
): string[] => repositories.map(({ id, pulp_type }) => `prn:${prnType(catalog.ofType('repositories', pulp_type))}:${id}`);

/** Deletes distributions, with the repositories that go with them. Answers how many rows of which model went. */
export async function deleteDistributions(tx: Queryable, ids: readonly string[]): Promise<Record<string, number>> {
  const going = sql`select unnest(${ids}::uuid[])`;
  const repositories = await repositoriesGoing(tx, going);
  const distributions = await tx.query<{ id: string }>(sql`delete from distribution where id = any(${ids}::uuid[]) returning id`);
  const gone = repositories.map(({ id }) => id);
  await tx.execute(sql`delete from repository where id = any(${gone}::uuid[])`);
  await tx.query(sql`
    select pg_notify(${DISTRIBUTION_CHANNEL}, id::text) from unnest(${ids}::uuid[]) as t(id)
    union all
    select pg_notify(${REPOSITORY_CHANNEL}, id::text) from unnest(${gone}::uuid[]) as t(id)`);
  const ordinary = repositories.filter(({ pulp_type }) => pulp_type === 'container.container').length;
  return counted({
    'core.Distribution': distributions.length,
    'container.ContainerDistribution': distributions.length,
    'core.Repository': gone.length,
    'container.ContainerRepository': ordinary,
    'container.ContainerPushRepository': gone.length - ordinary,
  });
}

const counted = (counts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
