import { empty, raw, type Sql } from '../db/sql.ts';

/** `, d."depth", d."url"`: the columns of a detail table in a select list, after those of its master. Names are the code's own. */
export const detailColumns = (names: readonly string[]): Sql =>
  names.length === 0 ? empty : raw(`, ${names.map((name) => `d."${name}"`).join(', ')}`);
