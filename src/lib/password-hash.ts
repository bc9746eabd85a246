import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { limitConcurrency } from './limit-concurrency.ts';

/** OWASP's strongest scrypt setting: 128 MiB and some 0.3 s for each password. */
const COST = { N: 2 ** 17, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** `scrypt$N$r$p$salt$hash`, the last two in base64. */
const STORED = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)$/;

/** Not every core, and not the whole of libuv's pool of four: files are read there too. */
const limited = limitConcurrency(Math.max(1, Math.min(availableParallelism() - 1, 3)));

/** A stored hash that is not in our form. */
export class PasswordHashError extends Error {
  override readonly name = 'PasswordHashError';
}

/** The password as it is stored: `scrypt$N$r$p$salt$hash`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, HASH_BYTES, COST);
  return `scrypt$${COST.N}$${COST.r}$${COST.p}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/**
 * Whether the password is the one that was stored. `stored` is undefined for a user who does not exist or has no password: the
 * answer is then false and takes as long as any other, so that time tells nobody which users exist. Throws PasswordHashError.
 */
export async function verifyPassword(password: string, stored: string | undefined): Promise<boolean> {
  if (stored === undefined) {
    await derive(password, Buffer.alloc(SALT_BYTES), HASH_BYTES, COST);
    return false;
  }
  const [, N, r, p, salt, hash] = STORED.exec(stored) ?? [];
  if (salt === undefined || hash === undefined)
    throw new PasswordHashError('the stored password hash is malformed; set a new password');
  const expected = Buffer.from(hash, 'base64');
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  return timingSafeEqual(expected, await derive(password, Buffer.from(salt, 'base64'), expected.byteLength, cost));
}

function derive(password: string, salt: Buffer, length: number, cost: typeof COST): Promise<Buffer> {
  // scrypt needs 128·N·r bytes and a little; Node refuses above 32 MiB unless told.
  const options: ScryptOptions = { ...cost, maxmem: 256 * cost.N * cost.r };
  return limited(
    () =>
      new Promise((resolve, reject) => {
        scrypt(password, salt, length, options, (error, hash) => (error ? reject(error) : resolve(hash)));
      }),
  );
}
