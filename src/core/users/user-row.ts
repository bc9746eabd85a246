import type { Queryable } from '../../db/database.ts';
import { updateRow } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import type { Columns } from '../../kit/define-resource.ts';
import { NotFoundError, ValidationError } from '../../kit/errors.ts';

/** Whoever takes administrators away waits for who does so already, so that two cannot remove each other. */
const lockAdministrators = (tx: Queryable) => tx.query(sql`select id from app_user where is_superuser order by id for update`);

/** Throws ValidationError where nobody is left who could log in and administer: there would be no way back but by the command line. */
async function keepAdministrator(tx: Queryable): Promise<void> {
  const [left] = await tx.query(sql`select from app_user where is_superuser and is_active and password is not null limit 1`);
  if (!left) throw new ValidationError({ non_field_errors: ['This is the last administrator who can log in.'] });
}

/** Changes a user. Throws NotFoundError, or ValidationError where no administrator would be left. */
export async function updateUser(tx: Queryable, id: number, columns: Columns): Promise<void> {
  const mayLockOut = columns.is_active === false || columns.password === null || columns.is_superuser === false;
  if (mayLockOut) await lockAdministrators(tx);
  if (!(await updateRow(tx, 'app_user', id, columns))) throw new NotFoundError('User');
  if (mayLockOut) await keepAdministrator(tx);
}

/** Removes a user with his sessions and tokens; answers how many went. Throws ValidationError where no administrator would be left. */
export async function deleteUser(tx: Queryable, id: number): Promise<number> {
  await lockAdministrators(tx);
  const gone = await tx.execute(sql`delete from app_user where id = ${id}`);
  await keepAdministrator(tx);
  return gone;
}
