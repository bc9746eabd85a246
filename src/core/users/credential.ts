import { createHash } from 'node:crypto';
import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { prnOf } from '../../kit/names.ts';

/*
 * What a login rests on, as a text that is no secret: sessions and refresh tokens carry it, and are void when the password has
 * changed or the API token is revoked or expired.
 */

/** A user's row, as far as logins are concerned. */
export interface UserRow {
  readonly id: number;
  readonly username: string;
  readonly is_superuser: boolean;
  readonly is_active: boolean;
  readonly password: string | null;
}

const TOKEN = 'token:';

/** Changes with the password. */
export const passwordCredential = ({ id, password }: Pick<UserRow, 'id' | 'password'>): string =>
  createHash('sha256')
    .update(JSON.stringify([id, password]))
    .digest('base64url');

export const tokenCredential = (tokenId: string): string => `${TOKEN}${tokenId}`;

/** The PRN of the API token that a login rests on; undefined for a password. */
export const tokenPrnOf = (credential: string): string | undefined =>
  credential.startsWith(TOKEN) ? prnOf('core', 'ApiToken', credential.slice(TOKEN.length)) : undefined;

/** Whether what a login of the user rested on is still good. */
export async function stillGood(db: Queryable, user: UserRow, credential: string): Promise<boolean> {
  if (!user.is_active) return false;
  if (!credential.startsWith(TOKEN)) return credential === passwordCredential(user);
  const [token] = await db.query(sql`
    select from api_token where id = ${credential.slice(TOKEN.length)}::uuid and user_id = ${user.id}
      and (expires_at is null or expires_at > clock_timestamp())`);
  return token !== undefined;
}
