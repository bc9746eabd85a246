import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';

/** No row has it, and each row's comes after it. */
const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';

/**
 * Rows in the order of their ids, page by page, each by a query of its own: rows may come and go meanwhile. `selectAfter` is a `select` of
 * `id`, and of what else is wanted, from the rows whose ids come after one. No page is empty, and none has more than `size` rows.
 */
export async function* pagesById<Row extends { readonly id: string }>(
  db: Queryable,
  size: number,
  selectAfter: (id: string) => Sql,
): AsyncGenerator<readonly Row[], void, undefined> {
  for (let after = BEFORE_ALL; ; ) {
    const rows: readonly Row[] = await db.query<Row>(sql`${selectAfter(after)} order by id limit ${size}`);
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    if (rows.length < size) return;
    after = last.id;
  }
}
