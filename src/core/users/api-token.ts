import { createHash, randomBytes } from 'node:crypto';
import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { UserRow } from './credential.ts';

const SECRET_BYTES = 32;
/** The prefix lets scanners find tokens that have leaked. */
const PREFIX = 'dkl_';
const FORM = /^dkl_[A-Za-z0-9_-]{43}$/;

/** Whether a text given as a password is meant as an API token. */
export const isApiToken = (password: string): boolean => FORM.test(password);

/** SHA-256 is enough for 256 random bits, and it makes the token's look-up one by index: who guesses cannot steer the hash that is compared. */
const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** A new token, and how it is stored. */
export function newApiToken(): { readonly secret: string; readonly hash: Buffer } {
  const secret = `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64url')}`;
  return { secret, hash: hashOf(secret) };
}

/** The token's id and its user, if it is one of the user with this name, has not expired, and the user is active. Notes its use, at most once a minute. */
export async function findApiToken(
  db: Queryable,
  username: string,
  secret: string,
): Promise<{ readonly tokenId: string; readonly user: UserRow } | undefined> {
  const [found] = await db.query<UserRow & { token_id: string; stale: boolean }>(sql`
    select u.id, u.username, u.is_superuser, u.is_active, u.password, t.id as token_id,
      t.last_used_at is null or t.last_used_at < clock_timestamp() - interval '1 minute' as stale
    from api_token t join app_user u on u.id = t.user_id
    where t.secret_hash = ${hashOf(secret)} and u.username = ${username} and u.is_active
      and (t.expires_at is null or t.expires_at > clock_timestamp())`);
  if (!found) return undefined;
  const { token_id: tokenId, stale, ...user } = found;
  if (stale) await db.execute(sql`update api_token set last_used_at = clock_timestamp() where id = ${tokenId}::uuid`);
  return { tokenId, user };
}
