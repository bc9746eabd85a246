import type { Queryable } from '../db/database.ts';
import { sql } from '../db/sql.ts';

/** Rows of one count that are summed up anew by each list: above that they are put together. */
const MANY = 100;

/**
 * Puts the rows of each count that has many together into one with their sum (ADR 018). One statement, so that whoever reads sees all of them
 * or the one. What is not committed yet stays as it is.
 */
export async function compactRowCounts(db: Queryable): Promise<void> {
  await db.execute(sql`
    with many as (select table_name, pulp_type from row_count group by table_name, pulp_type having count(*) > ${MANY}::int),
    gone as (delete from row_count c using many where c.table_name = many.table_name and c.pulp_type = many.pulp_type returning c.*)
    insert into row_count (table_name, pulp_type, rows) select table_name, pulp_type, sum(rows) from gone group by table_name, pulp_type`);
}
