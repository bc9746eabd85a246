import type { Database, Queryable } from '../../db/database.ts';
import { empty, join, raw, type Sql, sql } from '../../db/sql.ts';
import { isForeignKeyViolation } from '../../kit/conflicts.ts';
import type { UnitTable } from '../../kit/unit-table.ts';
import { batches } from '../../lib/batches.ts';
import { mapConcurrent } from '../../lib/concurrent-map.ts';
import { horizon } from './horizon.ts';
import { pagesById } from './pages-by-id.ts';

/** Units that are looked for at once, so that what is found of a whole server fits into memory. */
const PAGE = 20_000;
/** Units of one transaction: whoever wants one of them waits for no more than these. */
const BATCH = 250;
/** Transactions at once: removing a row is the database's work, and that has several processors. */
const BATCHES_AT_ONCE = 3;

export interface OrphanSearch {
  readonly domain_id: string;
  /** Minutes for which what was seen is spared. */
  readonly protection: number;
  /** Only these units; undefined: all. */
  readonly only: readonly string[] | undefined;
}

/** A condition on content `c`: it is in no version, and nobody has seen it lately. */
export const isForgotten = ({ domain_id, protection, only }: OrphanSearch): Sql => sql`
  c.domain_id = ${domain_id}::uuid and c.last_seen < ${horizon(protection)}
  ${only ? sql`and c.id = any(${only}::uuid[])` : empty}
  and not exists (select from repository_content rc where rc.content_id = c.id)`;

/** A condition on content `c` of the type: no other unit needs it. */
const isNeedless = (units: UnitTable): Sql =>
  join(
    [
      sql`true`,
      ...units.neededBy.map(({ table, needs }) => sql`not exists (select from ${raw(table)} l where l.${raw(needs)} = c.id)`),
    ],
    ' and ',
  );

/**
 * Removes the orphans of one type, batch by batch: each transaction locks what it is about to remove, passing over what somebody else
 * holds, and looks again whether it is an orphan. `onRemoved` is told how many went, and which artifacts they had. Units that something
 * outside of the declared links refers to stay.
 */
export async function removeOrphans(
  db: Database,
  search: OrphanSearch,
  units: UnitTable,
  onRemoved: (count: number, artifacts: readonly string[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const remove = async (ids: readonly string[]): Promise<number> => {
    const removed = await removeBatch(db, search, units, ids);
    const artifacts = removed.flatMap(({ artifact_id }) => artifact_id ?? []);
    onRemoved(removed.length, artifacts);
    return removed.length;
  };
  const orphans = (after: string) => sql`
    select c.id from content c
    where c.pulp_type = ${units.pulp_type} and c.id > ${after}::uuid and ${isForgotten(search)} and ${isNeedless(units)}`;
  const limit = units.chained ? 1 : BATCHES_AT_ONCE;
  let removed: number;
  do {
    removed = 0;
    for await (const page of pagesById(db, PAGE, orphans)) {
      const ids = page.map(({ id }) => id);
      for await (const count of mapConcurrent(batches(ids, BATCH), remove, { limit, signal })) removed += count;
    }
  } while (units.chained && removed > 0);
}

interface Removed {
  readonly id: string;
  readonly artifact_id: string | null;
}

async function removeBatch(
  db: Database,
  search: OrphanSearch,
  units: UnitTable,
  ids: readonly string[],
): Promise<readonly Removed[]> {
  try {
    return await db.transaction((tx) => removeLocked(tx, search, units, ids));
  } catch (error) {
    if (!isForeignKeyViolation(error)) throw error;
    // One of them is needed in a way that nobody has declared: the others go.
    if (ids.length === 1) return [];
    const half = Math.ceil(ids.length / 2);
    const first = await removeBatch(db, search, units, ids.slice(0, half));
    return [...first, ...(await removeBatch(db, search, units, ids.slice(half)))];
  }
}

/** The second statement sees what was committed before the first one's locks: a version or a unit that has come to need one of them. */
async function removeLocked(
  tx: Queryable,
  search: OrphanSearch,
  units: UnitTable,
  ids: readonly string[],
): Promise<readonly Removed[]> {
  await byIndexes(tx);
  const locked = await tx.query<{ id: string }>(sql`
    select c.id from content c join ${raw(units.table)} d on d.id = c.id
    where c.id = any(${ids}::uuid[]) and c.last_seen < ${horizon(search.protection)}
    order by c.id for update of c, d skip locked`);
  return tx.query<Removed>(sql`
    delete from content c where c.id = any(${locked.map(({ id }) => id)}::uuid[]) and ${isForgotten(search)} and ${isNeedless(units)}
    returning c.id, c.artifact_id`);
}

/**
 * The transaction's statements look things up row by row, by indexes: tables that are being emptied are far from what the database knows of them,
 * and a scan of what is left of one costs more than a batch.
 */
export async function byIndexes(tx: Queryable): Promise<void> {
  await tx.query(sql`
    select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`);
}
