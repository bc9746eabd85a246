import { randomUUID } from 'node:crypto';
import type { Database, Queryable } from '../../db/database.ts';
import { insertNumbered } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import { prnOf } from '../../kit/names.ts';
import { hashPassword } from '../../lib/password-hash.ts';
import { writeAudit } from '../audit/audit-log.ts';
import { updateUser } from './user-row.ts';

/** What the operator of the machine did to a user, past the API. */
async function note(tx: Queryable, operation: string, id: number, after: Record<string, unknown>): Promise<void> {
  await writeAudit(tx, {
    user_id: null,
    username: 'command line',
    address: 'local',
    authentication: null,
    method: 'CLI',
    operation,
    object: prnOf('auth', 'User', id),
    after,
    status: 200,
    correlation_id: randomUUID().replaceAll('-', ''),
  });
}

const idOf = async (tx: Queryable, username: string): Promise<number | undefined> => {
  const [user] = await tx.query<{ id: number }>(sql`select id from app_user where username = ${username}`);
  return user?.id;
};

/** Sets the password of a user, and makes him active; answers whether there is such a user. Noted in the audit log. */
export async function resetPassword(db: Database, username: string, password: string): Promise<boolean> {
  const hash = await hashPassword(password);
  return db.transaction(async (tx) => {
    const id = await idOf(tx, username);
    if (id === undefined) return false;
    await updateUser(tx, id, { password: hash, is_active: true });
    await note(tx, 'admin_reset_password', id, { password: '(hidden)', is_active: true });
    return true;
  });
}

/** Makes an administrator; answers false where there is a user of that name. Noted in the audit log. */
export async function createAdministrator(db: Database, username: string, password: string): Promise<boolean> {
  const hash = await hashPassword(password);
  return db.transaction(async (tx) => {
    if ((await idOf(tx, username)) !== undefined) return false;
    const id = await insertNumbered(tx, 'app_user', { username, password: hash, is_superuser: true, is_staff: true });
    await note(tx, 'admin_create', id, { username, password: '(hidden)', is_superuser: true });
    return true;
  });
}

/**
 * Makes a user an administrator, or an administrator a user; answers whether there is one of that name. Noted in the audit log. Throws
 * ValidationError for the last administrator who can log in.
 */
export function setAdministrator(db: Database, username: string, isAdministrator: boolean): Promise<boolean> {
  return db.transaction(async (tx) => {
    const id = await idOf(tx, username);
    if (id === undefined) return false;
    await updateUser(tx, id, { is_superuser: isAdministrator, is_staff: isAdministrator });
    await note(tx, isAdministrator ? 'admin_promote' : 'admin_demote', id, { is_superuser: isAdministrator });
    return true;
  });
}
