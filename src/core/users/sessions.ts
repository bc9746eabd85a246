import { createHash, randomBytes } from 'node:crypto';
import { v7 as uuid7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Login } from '../../kit/api.ts';
import { passwordCredential, stillGood, type UserRow } from './credential.ts';

const SECRET_BYTES = 32;
/** A session ends after this time, however much it is used. */
export const SESSION_SECONDS = 14 * 24 * 3600;

/** Of one user; the oldest go first. Scripts that log in for every request are to leave no heap behind. */
const MAX_SESSIONS = 100;

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** Begins a session for a login, in the place of the one that it came with. Answers the secret that the cookie carries. */
export async function beginSession(tx: Queryable, login: Login): Promise<string> {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  if (login.session) await endSession(tx, login.session);
  await tx.execute(sql`
    insert into session (id, user_id, secret_hash, credential, expires_at)
    values (${uuid7()}::uuid, ${login.id}, ${hashOf(secret)}, ${login.credential}, clock_timestamp() + make_interval(secs => ${SESSION_SECONDS}))`);
  await tx.execute(sql`
    delete from session where id in (select id from session where user_id = ${login.id} order by id desc offset ${MAX_SESSIONS})`);
  return secret;
}

/** The user of the session with this secret. Undefined once it is over, the user is gone or inactive, or what the login rested on is void. */
export async function findSession(db: Queryable, secret: string): Promise<Login | undefined> {
  const [found] = await db.query<UserRow & { session: string; credential: string }>(sql`
    select u.id, u.username, u.is_superuser, u.is_active, u.password, s.id as session, s.credential
    from session s join app_user u on u.id = s.user_id
    where s.secret_hash = ${hashOf(secret)} and s.expires_at > clock_timestamp()`);
  if (!found || !(await stillGood(db, found, found.credential))) return undefined;
  const { id, username, is_superuser, credential, session } = found;
  return { id, username, is_superuser, credential, session };
}

export async function endSession(db: Queryable, id: string): Promise<void> {
  await db.execute(sql`delete from session where id = ${id}::uuid`);
}

/** Keeps the session in which a user has changed his password; his others end. */
export async function keepSession(tx: Queryable, id: string, user: Pick<UserRow, 'id' | 'password'>): Promise<void> {
  await tx.execute(sql`update session set credential = ${passwordCredential(user)} where id = ${id}::uuid`);
}

/** Removes sessions that are over. */
export const removeEndedSessions = (tx: Queryable): Promise<number> =>
  tx.execute(sql`delete from session where expires_at <= clock_timestamp()`);
