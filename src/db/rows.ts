import type { Queryable } from './database.ts';
import { isSql, join, raw, sql } from './sql.ts';

const quoted = (name: string) => raw(`"${name.replaceAll('"', '""')}"`);

/** A value as a parameter: structures as JSON text, SQL as it stands, everything else as it is. Column and table names are the code's own. */
function parameter(value: unknown) {
  if (isSql(value)) return value;
  const structure = typeof value === 'object' && value !== null && !(value instanceof Date) && !Buffer.isBuffer(value);
  return sql`${structure ? JSON.stringify(value) : value}`;
}

/** Inserts one row. */
export async function insertRow(tx: Queryable, table: string, columns: Readonly<Record<string, unknown>>): Promise<void> {
  const names = Object.keys(columns);
  await tx.execute(
    sql`insert into ${quoted(table)} (${join(names.map(quoted))}) values (${join(names.map((name) => parameter(columns[name])))})`,
  );
}

/** Updates the given columns of one row; none given: nothing happens. Answers whether the row was there. */
export async function updateRow(
  tx: Queryable,
  table: string,
  id: string | number,
  columns: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  const names = Object.keys(columns);
  if (names.length === 0) return true;
  const assignments = join(names.map((name) => sql`${quoted(name)} = ${parameter(columns[name])}`));
  return (
    (await tx.execute(
      sql`update ${quoted(table)} set ${assignments} where id = ${typeof id === 'number' ? sql`${id}` : sql`${id}::uuid`}`,
    )) > 0
  );
}
