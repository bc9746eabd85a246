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
