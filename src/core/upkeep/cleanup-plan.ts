import type { Database, Queryable } from '../../db/database.ts';
import { empty, raw, sql } from '../../db/sql.ts';
import type { UnitTable } from '../../kit/unit-table.ts';
import { horizon } from './horizon.ts';
import type { Doomed } from './orphan-artifacts.ts';
import { isForgotten, type OrphanSearch } from './orphan-content.ts';

/** What an orphan cleanup would remove. */
export interface CleanupPlan {
  /** Units by pulp_type; a type without any is absent. */
  readonly content: Readonly<Record<string, number>>;
  readonly artifacts: Doomed;
}

/**
 * Works out what a cleanup would remove, without removing or locking anything. A unit goes only if all that need it go: those that do not
 * are struck off until nothing changes.
 */
export function planCleanup(db: Database, search: OrphanSearch, units: readonly UnitTable[]): Promise<CleanupPlan> {
  return db.transaction(async (tx) => {
    await tx.execute(
      sql`create temporary table going (id uuid primary key, pulp_type text not null, artifact_id uuid) on commit drop`,
    );
    await tx.execute(sql`
      insert into going select c.id, c.pulp_type, c.artifact_id from content c
      where c.pulp_type = any(${units.map(({ pulp_type }) => pulp_type)}::text[]) and ${isForgotten(search)}`);
    await tx.execute(sql`analyze going`);
    let struck: number;
    do {
      struck = 0;
      for (const each of units) struck += await strikeNeeded(tx, each);
    } while (struck > 0);
    const content = await tx.query<{ pulp_type: string; count: number }>(
      sql`select pulp_type, count(*) as count from going group by pulp_type order by pulp_type`,
    );
    return {
      content: Object.fromEntries(content.map(({ pulp_type, count }) => [pulp_type, count])),
      artifacts: await artifactsOf(tx, search),
    };
  });
}

async function strikeNeeded(tx: Queryable, { pulp_type, neededBy }: UnitTable): Promise<number> {
  let struck = 0;
  for (const { table, needs, unit } of neededBy) {
    struck += await tx.execute(sql`
      delete from going g where g.pulp_type = ${pulp_type} and exists (
        select from ${raw(table)} l where l.${raw(needs)} = g.id and not exists (select from going o where o.id = l.${raw(unit)}))`);
  }
  return struck;
}

/** Those that no content has once the units have gone. Of chosen units, only theirs. */
async function artifactsOf(tx: Queryable, { domain_id, protection, only }: OrphanSearch): Promise<Doomed> {
  const [artifacts] = await tx.query<Doomed>(sql`
    select count(*) as count, coalesce(sum(a.size), 0)::bigint as bytes from artifact a
    where a.domain_id = ${domain_id}::uuid and a.last_seen < ${horizon(protection)}
      and not exists (select from content c where c.artifact_id = a.id and not exists (select from going g where g.id = c.id))
      ${only ? sql`and a.id in (select g.artifact_id from going g)` : empty}`);
  return artifacts as Doomed;
}
