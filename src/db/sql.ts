import { Prisma } from './generated/client.ts';

/**
 * Composable SQL: `sql` is a tagged template whose values become parameters; `join`, `raw` and `empty` compose fragments.
 * `raw` takes text from code only, never from a request.
 */
export const { sql, join, raw, empty } = Prisma;
export type Sql = Prisma.Sql;

/** Whether a value is a composed fragment. */
export const isSql = (value: unknown): value is Sql =>
  typeof value === 'object' && value !== null && value.constructor === sql`x`.constructor;

/**
 * At the end of a subquery in `exists`: it is asked for each row, by an index. Else the database may make a join of it, or a table in memory, for
 * which it reads whole what the subquery is about, as long as it takes that for small: a repository that has just been filled, tables that are new.
 */
export const EACH_BY_INDEX = sql`offset 0`;
