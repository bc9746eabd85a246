import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { sql } from '../../db/sql.ts';
import type { Caller, Login } from '../../kit/api.ts';
import { ApiError } from '../../kit/errors.ts';
import type { Services } from '../../kit/services.ts';
import { atMost } from '../../lib/cache-limit.ts';
import { verifyPassword } from '../../lib/password-hash.ts';
import { type Reader, readTogether } from '../../lib/read-together.ts';
import { type AuditEntry, writeAudit } from '../audit/audit-log.ts';
import { findApiToken, isApiToken } from './api-token.ts';
import { passwordCredential, stillGood, tokenCredential, type UserRow } from './credential.ts';
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

/** Where credentials come from; a request of the framework is one. */
export interface RequestSource {
  /** Address of the client. */
  readonly ip: string;
  /** Correlation id. */
  readonly id: string;
  readonly method: string;
}

/** Who a request says it is, proven. The password may be an API token of the user. */
export interface Authenticator {
  /**
   * The active user that an `Authorization: Basic …` header names.
   * @throws InvalidCredentialsError, ThrottledError
   */
  basic(header: string, source: RequestSource): Promise<Login>;
  /** The same for a name and a password that came another way (a token request's form). */
  password(username: string, password: string, source: RequestSource): Promise<Login>;
  /** Whether the password is that of the user, tried under the same limits as a login. Throws ThrottledError. */
  knows(username: string, password: string, source: RequestSource): Promise<boolean>;
  /** The active user of this name, read now; undefined where there is none. */
  find(username: string): Promise<Caller | undefined>;
  /** The user whose earlier login rested on this credential; undefined where that is void by now. */
  again(username: string, credential: string): Promise<Login | undefined>;
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

/** Runs an attempt within the limits of its address and user name. One that fails is noted in the audit log. */
type Limited = (username: string, source: RequestSource, work: () => Promise<boolean>) => Promise<boolean>;

/** Reads the rows of users, of all names that are asked for at once together: a registry asks for one with each request. */
function rowReader(db: Services['db']): Reader<string, UserRow> {
  const read = readTogether(async (usernames: readonly string[]) => {
    const rows = await db.query<UserRow>(sql`
      select id, username, password, is_active, is_superuser from app_user where username = any(${usernames}::text[])`);
    return new Map(rows.map((row) => [row.username, row]));
  });
  // PostgreSQL has no text with NUL, so nobody has such a name.
  return async (username) => (username.includes('\0') ? undefined : read(username));
}

/** Makes what answers the user whose password it is, or undefined. */
function passwordProver(readRow: Reader<string, UserRow>, limited: Limited) {
  const key = randomBytes(32);
  const verified = new LRUCache<string, true>({ ...atMost(MAX_VERIFIED), ttl: VERIFIED_MS });
  const attempts = new Map<string, Promise<boolean>>();

  // The first one asks for the hash, those who come with the same credentials meanwhile wait for its answer.
  const attempt = (proof: string, work: () => Promise<boolean>): Promise<boolean> => {
    const running = attempts.get(proof);
    if (running) return running;
    const started = work().finally(() => attempts.delete(proof));
    attempts.set(proof, started);
    return started;
  };

  return async (username: string, password: string, source: RequestSource): Promise<UserRow | undefined> => {
    const row = await readRow(username);
    const stored = row?.is_active ? (row.password ?? undefined) : undefined;
    const proof = createHmac('sha256', key)
      .update(JSON.stringify([row?.id ?? username, stored ?? null, password]))
      .digest('base64');
    if (!verified.has(proof)) {
      // Without a stored hash the work is the same and the answer is no.
      const right = await attempt(proof, () => limited(username, source, () => verifyPassword(password, stored)));
      if (!right) return undefined;
      verified.set(proof, true);
    }
    return row;
  };
}

function makeAuthenticator({ db, clock }: AuthenticatorServices): Authenticator {
  const readRow = rowReader(db);
  const throttle = new FailureThrottle(clock);
  const limited: Limited = async (username, source, work) => {
    const right = await throttle.guard([`address ${source.ip}`, `user ${username}`], work);
    if (!right) await writeAudit(db, failedLogin(username, source));
    return right;
  };
  const provenUser = passwordProver(readRow, limited);

  const check = async (username: string, password: string, source: RequestSource): Promise<Login> => {
    if (isApiToken(password) && !username.includes('\0')) {
      const found = await findApiToken(db, username, password);
      if (found) return loginOf(found.user, tokenCredential(found.tokenId));
      await limited(username, source, async () => false);
      throw new InvalidCredentialsError();
    }
    const row = await provenUser(username, password, source);
    if (!row) throw new InvalidCredentialsError();
    return loginOf(row, passwordCredential(row));
  };

  return {
    basic: async (header, source) => {
      const credentials = parseBasic(header);
      if (!credentials) throw new InvalidCredentialsError();
      return check(credentials.username, credentials.password, source);
    },
    password: check,
    knows: async (username, password, source) => (await provenUser(username, password, source)) !== undefined,
    find: async (username) => {
      const row = await readRow(username);
      return row?.is_active ? { id: row.id, username: row.username, is_superuser: row.is_superuser } : undefined;
    },
    again: async (username, credential) => {
      const row = await readRow(username);
      return row && (await stillGood(db, row, credential)) ? loginOf(row, credential) : undefined;
    },
  };
}

const loginOf = ({ id, username, is_superuser }: UserRow, credential: string): Login => ({
  id,
  username,
  is_superuser,
  credential,
});

const failedLogin = (username: string, { ip, id, method }: RequestSource): AuditEntry => ({
  user_id: null,
  username,
  address: ip,
  authentication: null,
  method,
  operation: 'authenticate',
  status: 401,
  correlation_id: id,
});
