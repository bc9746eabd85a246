import type { Queryable } from '../db/database.ts';
import { join, raw, type Sql, sql } from '../db/sql.ts';
import { type SecretBox, SecretError } from '../lib/secret-box.ts';
import { REMOTE_SECRETS } from './remotes/remote-fields.ts';
import { argsPlace } from './tasks/claimed-task.ts';

/** A column of secrets that will be opened again. A finished task's arguments are not among them. */
interface SecretColumn {
  readonly table: string;
  readonly column: string;
  readonly condition: Sql;
  readonly place: (id: string) => string;
}

const columns: readonly SecretColumn[] = [
  ...REMOTE_SECRETS.map((column) => ({
    table: 'remote',
    column,
    condition: sql`${raw(column)} is not null`,
    place: (id: string) => `remote:${column}:${id}`,
  })),
  { table: 'task', column: 'args', condition: sql`state in ('waiting', 'running')`, place: argsPlace },
];

/** Throws SecretError when a stored secret needs a key that is not there: better at the start than in the middle of a sync. */
export async function checkStoredSecrets(db: Queryable, secrets: SecretBox): Promise<void> {
  // One value stands for all that have the same version and key id, which are the text before the last colon.
  const one = ({ table, column, condition }: SecretColumn) => sql`
    (select distinct on (split_part(${raw(column)}, ':', 2)) ${`${table}.${column}`}::text as what, ${raw(column)} as sealed
     from ${raw(table)} where ${condition})`;
  const samples = await db.query<{ what: string; sealed: string }>(sql`${join(columns.map(one), ' union all ')}`);
  const locked = samples.find(({ sealed }) => !secrets.knows(sealed));
  if (locked) {
    throw new SecretError(
      `secrets in ${locked.what} were encrypted with key ${locked.sealed.split(':')[1]}, which is not among the keys; restore DATA_DIR/keys/secrets.key or DECKLE_SECRET_KEYS`,
    );
  }
}

/** Encrypts every stored secret anew, with the first key of `secrets`. Answers how many there were. */
export async function resealStoredSecrets(tx: Queryable, secrets: SecretBox): Promise<number> {
  let count = 0;
  for (const { table, column, condition, place } of columns) {
    const rows = await tx.query<{ id: string; sealed: string }>(
      sql`select id, ${raw(column)} as sealed from ${raw(table)} where ${condition} for update`,
    );
    const sealed = rows.map((row) => secrets.seal(secrets.open(row.sealed, place(row.id)), place(row.id)));
    count += await tx.execute(sql`
      update ${raw(table)} set ${raw(column)} = fresh.sealed
      from unnest(${rows.map((row) => row.id)}::uuid[], ${sealed}::text[]) as fresh (id, sealed)
      where ${raw(table)}.id = fresh.id`);
  }
  return count;
}
