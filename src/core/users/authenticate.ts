import { createHash, createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { sql } from '../../db/sql.ts';
import type { Caller } from '../../kit/api.ts';
import { ApiError } from '../../kit/errors.ts';
import type { Services } from '../../kit/services.ts';
import { verifyPassword } from '../../lib/password-hash.ts';
import { FailureThrottle } from './failure-throttle.ts';

/** 401: unknown user, wrong password, inactive user or unreadable header; the text does not tell which. */
export class InvalidCredentialsError extends ApiError {
  override readonly name = 'InvalidCredentialsError';
  readonly status = 401;
  readonly body = { detail: 'Invalid username/password.' };
  override readonly headers = { 'www-authenticate': 'Basic realm="api"' };
  constructor() {
    super('Invalid username/password.');
  }
}

/** Who a request says it is, proven. */
export interface Authenticator {
  /**
   * The active user that an `Authorization: Basic …` header names.
   * @throws InvalidCredentialsError, ThrottledError
   */
  basic(header: string, remoteAddress: string): Promise<Caller>;
  /** The same for a name and a password that came another way (a token request's form). */
  password(username: string, password: string, remoteAddress: string): Promise<Caller>;
  /** The active user of this name, read now; undefined where there is none. */
  find(username: string): Promise<KnownUser | undefined>;
}

/** A user found by name alone. */
export interface KnownUser extends Caller {
  /** Changes with the password: what was issued under another stamp is void. */
  readonly credentialStamp: string;
}

interface UserRow extends Caller {
  readonly password: string | null;
  readonly is_active: boolean;
}

const VERIFIED_MS = 60_000;
const MAX_VERIFIED = 10_000;

/** Splits `Basic <base64 of name:password>` (RFC 7617; the name holds no colon). Undefined where it is not that. */
function parseBasic(header: string): { username: string; password: string } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(header)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/**
 * Checks passwords without paying for the slow hash on every request: a proven password is remembered for a minute under
 * an HMAC, by a key of this process, of user id, stored hash and password. The user's row is read for every request, so a
 * changed password, a deactivated or a deleted user counts at once, whichever process changed it. Wrong passwords are not
 * remembered; they are slowed down (FailureThrottle).
 */
export function authenticator(services: AuthenticatorServices): Authenticator {
  const known = authenticators.get(services.db);
  if (known) return known;
  const made = makeAuthenticator(services);
  authenticators.set(services.db, made);
  return made;
}

type AuthenticatorServices = Pick<Services, 'db' | 'clock'>;

// One for REST and registry together, so that failures at both count as one number.
const authenticators = new WeakMap<Services['db'], Authenticator>();

function makeAuthenticator(services: AuthenticatorServices): Authenticator {
  const key = randomBytes(32);
  const verified = new LRUCache<string, true>({ max: MAX_VERIFIED, ttl: VERIFIED_MS });
  const attempts = new Map<string, Promise<boolean>>();
  const throttle = new FailureThrottle(services.clock);

  const readRow = async (username: string): Promise<UserRow | undefined> => {
    // PostgreSQL has no text with NUL, so nobody has such a name.
    if (username.includes('\0')) return undefined;
    const [row] = await services.db.query<UserRow>(
      sql`select id, username, password, is_active, is_superuser from app_user where username = ${username}`,
    );
    return row;
  };

  // The first one asks for the hash, those who come with the same credentials meanwhile wait for its answer.
  const attempt = (proof: string, work: () => Promise<boolean>): Promise<boolean> => {
    const running = attempts.get(proof);
    if (running) return running;
    const started = work().finally(() => attempts.delete(proof));
    attempts.set(proof, started);
    return started;
  };

  const check = async (username: string, password: string, remoteAddress: string): Promise<Caller> => {
    const row = await readRow(username);
    const stored = row?.is_active ? (row.password ?? undefined) : undefined;
    const proof = createHmac('sha256', key)
      .update(JSON.stringify([row?.id ?? username, stored ?? null, password]))
      .digest('base64');
    if (!verified.has(proof)) {
      const right = await attempt(proof, () =>
        // Without a stored hash the work is the same and the answer is no.
        throttle.guard([`address ${remoteAddress}`, `user ${username}`], () => verifyPassword(password, stored)),
      );
      if (!right) throw new InvalidCredentialsError();
      verified.set(proof, true);
    }
    if (!row) throw new InvalidCredentialsError();
    return { id: row.id, username: row.username, is_superuser: row.is_superuser };
  };

  return {
    basic: async (header, remoteAddress) => {
      const credentials = parseBasic(header);
      if (!credentials) throw new InvalidCredentialsError();
      return check(credentials.username, credentials.password, remoteAddress);
    },
    password: check,
    find: async (username) => {
      const row = await readRow(username);
      if (!row?.is_active) return undefined;
      const credentialStamp = createHash('sha256')
        .update(JSON.stringify([row.id, row.password]))
        .digest('base64url');
      return { id: row.id, username: row.username, is_superuser: row.is_superuser, credentialStamp };
    },
  };
}
