import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';

/** What a guard asks for, by its kind. */
export type GuardRule = { readonly id: string } & (
  | { readonly pulp_type: 'core.rbac' | 'core.content_redirect' }
  | {
      readonly pulp_type: 'core.header';
      readonly header_name: string;
      readonly header_value: string;
      readonly jq_filter: string | null;
    }
  | { readonly pulp_type: 'core.envvar_header'; readonly header_name: string; readonly env_var: string }
  | { readonly pulp_type: 'core.composite'; readonly members: readonly string[] }
);

/** The guard of a distribution, and by their ids it and all that it asks, however deep. */
export interface GuardRules {
  readonly root: string;
  readonly byId: ReadonlyMap<string, GuardRule>;
}

/**
 * The rules of the distribution's guard as they are now; 'open' where it has none any more, undefined where the distribution is gone. Not
 * kept anywhere: what is changed of a guard counts for the next request, on every server.
 */
export async function loadGuardRules(db: Queryable, distributionId: string): Promise<GuardRules | 'open' | undefined> {
  const rows = await db.query<{ root: string | null; rule: GuardRule | null }>(sql`
    with recursive asked(id) as (
      select content_guard_id from distribution where id = ${distributionId}::uuid
      union select c.guard_id from composite_guard_member c join asked on asked.id = c.composite_id)
    select d.content_guard_id as root, to_jsonb(rules) as rule
    from distribution d left join (
      select g.id, g.pulp_type, coalesce(h.header_name, e.header_name) as header_name, h.header_value, h.jq_filter, e.env_var,
        array(select c.guard_id from composite_guard_member c where c.composite_id = g.id order by c.position) as members
      from asked join content_guard g on g.id = asked.id
        left join header_content_guard h on h.id = g.id
        left join envvar_header_content_guard e on e.id = g.id) rules on true
    where d.id = ${distributionId}::uuid`);
  const [first] = rows;
  if (!first) return undefined;
  if (first.root === null) return 'open';
  return { root: first.root, byId: new Map(rows.flatMap(({ rule }) => (rule ? [[rule.id, rule]] : []))) };
}
