import { Prisma } from './generated/client.ts';

/**
 * Composable SQL: `sql` is a tagged template whose values become parameters; `join`, `raw` and `empty` compose fragments.
 * `raw` takes text from code only, never from a request.
 */
export const { sql, join, raw, empty } = Prisma;
export type Sql = Prisma.Sql;
