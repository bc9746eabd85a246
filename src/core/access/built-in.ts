import { v7 as uuid7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Catalog } from '../../kit/catalog.ts';
import { resourceKey } from '../../kit/names.ts';
import { lockedRoles } from '../../kit/permissions.ts';

/** Names of the policies that the API shows, one for each resource that declares one. */
const policyNames = (catalog: Catalog): string[] =>
  catalog.resources.filter((resource) => resource.policy !== undefined).map(resourceKey);

/**
 * Brings the built-in roles in step with what the plugins declare, and gives every policy its row, which has its id. A locked role
 * that no plugin declares any more loses its lock: somebody may hold it.
 */
export async function writeBuiltIns(tx: Queryable, catalog: Catalog): Promise<void> {
  const roles = JSON.stringify(lockedRoles(catalog).map((role) => ({ id: uuid7(), ...role })));
  await tx.execute(sql`
    insert into role (id, name, description, permissions, locked)
    select id, name, description, array(select jsonb_array_elements_text(permissions)), true
    from jsonb_to_recordset(${roles}::jsonb) as r(id uuid, name text, description text, permissions jsonb)
    on conflict (name) do update set description = excluded.description, permissions = excluded.permissions, locked = true,
      pulp_last_updated = now()
    where (role.description, role.permissions, role.locked) is distinct from (excluded.description, excluded.permissions, true)`);
  await tx.execute(sql`
    update role set locked = false
    where locked and not (name = any(${lockedRoles(catalog).map(({ name }) => name)}::text[]))`);
  const names = policyNames(catalog);
  await tx.execute(sql`
    insert into access_policy (id, viewset_name)
    select * from unnest(${names.map(() => uuid7())}::uuid[], ${names}::text[]) on conflict (viewset_name) do nothing`);
}
