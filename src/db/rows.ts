import type { Queryable } from './database.ts';
import { isSql, join, raw, type Sql, sql } from './sql.ts';

const quoted = (name: string) => raw(`"${name.replaceAll('"', '""')}"`);

/** A value as a parameter: structures as JSON text, SQL as it stands, everything else as it is. Column and table names are the code's own. */
function parameter(value: unknown) {
  if (isSql(value)) return value;
  const structure = typeof value === 'object' && value !== null && !(value instanceof Date) && !Buffer.isBuffer(value);
  return sql`${structure ? JSON.stringify(value) : value}`;
}

type Columns = Readonly<Record<string, unknown>>;

function insertion(table: string, columns: Columns): Sql {
  const names = Object.keys(columns);
  const values = names.map((name) => parameter(columns[name]));
  return sql`insert into ${quoted(table)} (${join(names.map(quoted))}) values (${join(values)})`;
}

/** Inserts one row. */
export async function insertRow(tx: Queryable, table: string, columns: Columns): Promise<void> {
  await tx.execute(insertion(table, columns));
}

/** Inserts one row of a table that numbers its rows; answers the row's number. */
export async function insertNumbered(tx: Queryable, table: string, columns: Columns): Promise<number> {
  const [row] = await tx.query<{ id: number }>(sql`${insertion(table, columns)} returning id`);
  if (!row) throw new Error(`an insert into ${table} answered no row`);
  return row.id;
}

/** Updates the given columns of one row; none given: nothing happens. Answers whether the row was there. */
export async function updateRow(tx: Queryable, table: string, id: string | number, columns: Columns): Promise<boolean> {
  const names = Object.keys(columns);
  if (names.length === 0) return true;
  const assignments = join(names.map((name) => sql`${quoted(name)} = ${parameter(columns[name])}`));
  return (
    (await tx.execute(
      sql`update ${quoted(table)} set ${assignments} where id = ${typeof id === 'number' ? sql`${id}` : sql`${id}::uuid`}`,
    )) > 0
  );
}
