import { errors, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { v4 } from 'uuid';
import { z } from 'zod';
import type { Services } from '../../../kit/services.ts';
import { atMost } from '../../../lib/cache-limit.ts';
import type { TokenKeys } from './token-keys.ts';

/** One entry of a token's `access` claim: what may be done with one resource. */
export interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** A proven access token. */
export interface VerifiedToken {
  /** The user's name; '' for nobody. */
  readonly subject: string;
  readonly access: readonly Access[];
  /** Names of the repositories that may be pulled from. */
  readonly pull: ReadonlySet<string>;
  readonly expiresAt: number;
}

/** A new token, with its times in the form that clients are told. */
export interface IssuedToken {
  readonly token: string;
  readonly issuedAt: Date;
  readonly expiresIn: number;
}

/** Seconds for which an access token is good. What it allows is asked again whenever rights have changed. */
export const TOKEN_SECONDS = 300;
const REFRESH_SECONDS = 30 * 24 * 3600;
const SKEW_SECONDS = 60;
const MAX_VERIFIED = 10_000;
const ALGORITHM = 'ES256';

const accessClaims = z.object({
  sub: z.string(),
  exp: z.number(),
  access: z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
});
const refreshClaims = z.object({ sub: z.string(), credential: z.string() });

/** The tokens of the registry: JWT signed with ES256, `aud` being this registry and `iss` the token server's URL. */
export class Tokens {
  /** The registry's name in challenges and in `aud`: host and port of the content origin, whatever Host a request states. */
  readonly service: string;
  readonly realm: string;
  readonly #keys: TokenKeys;
  readonly #clock: () => Date;
  readonly #verified = new LRUCache<string, VerifiedToken>(atMost(MAX_VERIFIED));

  constructor(services: Pick<Services, 'config' | 'clock'>, keys: TokenKeys) {
    this.service = new URL(services.config.PULP_CONTENT_ORIGIN).host;
    this.realm = services.config.PULP_TOKEN_SERVER;
    this.#keys = keys;
    this.#clock = services.clock;
  }

  /** An access token for `subject` ('' for nobody). */
  async issue(subject: string, access: readonly Access[]): Promise<IssuedToken> {
    const issuedAt = this.#clock();
    const token = await this.#sign(
      { access },
      { subject, audience: this.service, type: 'JWT', issuedAt, seconds: TOKEN_SECONDS },
    );
    return { token, issuedAt, expiresIn: TOKEN_SECONDS };
  }

  /** A refresh token, good for the token server only and as long as the user's credential is the same. */
  issueRefresh(subject: string, credential: string): Promise<string> {
    const issuedAt = this.#clock();
    return this.#sign({ credential }, { subject, audience: this.realm, type: 'refresh+jwt', issuedAt, seconds: REFRESH_SECONDS });
  }

  /** What an access token says; undefined for one that is foreign, damaged or expired. A proven token is remembered. */
  async verify(token: string): Promise<VerifiedToken | undefined> {
    const known = this.cached(token);
    if (known) return known;
    const payload = await this.#payload(token, { audience: this.service, typ: 'JWT' });
    const claims = accessClaims.safeParse(payload);
    if (!claims.success || claims.data.exp * 1000 <= this.#clock().getTime()) return undefined;
    const { sub, access, exp } = claims.data;
    const verified: VerifiedToken = {
      subject: sub,
      access,
      pull: new Set(access.flatMap((entry) => (allows(entry, 'repository', 'pull') ? [entry.name] : []))),
      expiresAt: exp * 1000,
    };
    this.#verified.set(token, verified);
    return verified;
  }

  /** A token that was proven before and is still good. */
  cached(token: string): VerifiedToken | undefined {
    const known = this.#verified.get(token);
    return known && known.expiresAt > this.#clock().getTime() ? known : undefined;
  }

  async verifyRefresh(token: string): Promise<{ subject: string; credential: string } | undefined> {
    const payload = await this.#payload(token, { audience: this.realm, typ: 'refresh+jwt' });
    const claims = refreshClaims.safeParse(payload);
    return claims.success ? { subject: claims.data.sub, credential: claims.data.credential } : undefined;
  }

  #sign(
    claims: Record<string, unknown>,
    of: { subject: string; audience: string; type: string; issuedAt: Date; seconds: number },
  ): Promise<string> {
    const seconds = Math.floor(of.issuedAt.getTime() / 1000);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, kid: this.#keys.id, typ: of.type })
      .setIssuer(this.realm)
      .setAudience(of.audience)
      .setSubject(of.subject)
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + of.seconds)
      .setJti(v4())
      .sign(this.#keys.privateKey);
  }

  async #payload(token: string, expected: { audience: string; typ: string }): Promise<unknown> {
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const key = kid === undefined ? undefined : this.#keys.accepted.get(kid);
          if (!key) throw new errors.JWKSNoMatchingKey();
          return key;
        },
        {
          ...expected,
          algorithms: [ALGORITHM],
          issuer: this.realm,
          clockTolerance: SKEW_SECONDS,
          currentDate: this.#clock(),
          requiredClaims: ['exp', 'nbf', 'iat', 'jti'],
        },
      );
      return payload;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

/** Whether an entry of the `access` claim allows the action on resources of the type. */
export const allows = (entry: Access, type: string, action: string): boolean =>
  entry.type === type && (entry.actions.includes(action) || entry.actions.includes('*'));
