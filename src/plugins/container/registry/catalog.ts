import { heldOn } from '../../../core/plugin-api.ts';
import { empty, type Sql, sql } from '../../../db/sql.ts';
import type { Caller } from '../../../kit/api.ts';
import type { Services } from '../../../kit/services.ts';
import type { Page } from './page.ts';

const PULL = 'container.pull_containerdistribution';
const PULL_WITHIN = 'container.namespace_pull_containerdistribution';

/** Condition over `c`: the caller may pull from it. */
async function pullable({ access }: Pick<Services, 'access'>, caller: Caller | null): Promise<Sql> {
  if (!caller) return sql`not c.private`;
  if ((await access.holds(caller, PULL)) || (await access.holds(caller, PULL_WITHIN))) return sql`true`;
  return sql`(not c.private or c.id in (${heldOn(caller.id, PULL, 'container.containerdistribution')})
    or c.namespace_id in (${heldOn(caller.id, PULL_WITHIN, 'container.containernamespace')}))`;
}

/** The repositories that the caller may pull, after `page.last`, in ASCII order, one more than the page has. */
export async function listRepositories(
  services: Pick<Services, 'db' | 'domain' | 'access'>,
  caller: Caller | null,
  { last, n }: Page,
): Promise<string[]> {
  if (n === 0) return [];
  const after = last === undefined ? empty : sql`and d.base_path collate "C" > ${last}`;
  const rows = await services.db.query<{ base_path: string }>(sql`
    select d.base_path from distribution d join container_distribution c on c.id = d.id
    where d.domain_id = ${services.domain.id}::uuid ${after} and ${await pullable(services, caller)}
    order by d.base_path collate "C" limit ${n + 1}`);
  return rows.map((row) => row.base_path);
}
