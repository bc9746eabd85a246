import { z } from 'zod';
import type { Upstream } from '../../../download/upstream.ts';
import { publicUrl, UpstreamError } from '../../../download/upstream-error.ts';
import { singleFlight } from '../../../lib/single-flight.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { RegistryError } from './registry-error.ts';

const MAX_TOKEN_BYTES = 1024 * 1024;
/** Where the answer does not say (distribution: auth/token.md). */
const DEFAULT_EXPIRY_SECONDS = 60;
/** A token is not used in its last seconds: the request still has to get there. */
const EXPIRY_MARGIN_MS = 5000;

const tokenSchema = z
  .object({
    token: z.string().min(1).optional(),
    access_token: z.string().min(1).optional(),
    expires_in: z.number().nonnegative().nullish(),
  })
  .transform((answer) => ({
    token: answer.token ?? answer.access_token,
    expiresIn: answer.expires_in ?? DEFAULT_EXPIRY_SECONDS,
  }));

export type AuthHeaders = Readonly<Record<string, string>>;

interface Authorization {
  readonly headers: AuthHeaders;
  readonly expires: number;
}

export interface TokenAuthOptions {
  readonly upstream: Upstream;
  /** DECKLE_TOKEN_REALMS */
  readonly tokenRealms: readonly string[];
}

/**
 * Authentication at a registry, as its challenges ask for it. Nothing is sent before a challenge; what a scope has been given
 * is then shared by all requests of that scope until it expires, and asked for once however many wait for it.
 */
export class TokenAuth {
  readonly #upstream: Upstream;
  readonly #realms: readonly string[];
  readonly #known = new Map<string, Authorization>();
  readonly #flight = singleFlight<string, Authorization>();

  constructor({ upstream, tokenRealms }: TokenAuthOptions) {
    this.#upstream = upstream;
    this.#realms = tokenRealms;
  }

  /** Runs `call` with the headers of the scope; after a 401, once more with what its challenge asks for. */
  async authorized<T>(scope: string, call: (headers: AuthHeaders) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const known = this.#known.get(scope);
    const valid = known !== undefined && known.expires > Date.now() ? known : undefined;
    try {
      return await call(valid?.headers ?? {});
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.status !== 401 || error.challenge === undefined) throw error;
      // Another request of the scope may have been given a new token since this one was sent.
      const current = this.#known.get(scope);
      const authorization =
        current !== undefined && current !== valid && current.expires > Date.now()
          ? current
          : await this.#authorize(scope, error, error.challenge);
      signal?.throwIfAborted();
      return call(authorization.headers);
    }
  }

  #authorize(scope: string, refusal: UpstreamError, header: string): Promise<Authorization> {
    // Only the upstream itself may name a realm: a place it redirects to must not learn the credentials.
    if (new URL(refusal.url).origin !== this.#upstream.url.origin) throw refusal;
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const basic = challenges.find(({ scheme }) => scheme === 'basic');
    if (!bearer && !(basic && this.#upstream.credentials)) throw refusal;
    return this.#flight(scope, async () => {
      const authorization = bearer ? await this.#tokenOf(scope, bearer, refusal) : this.#basic();
      this.#known.set(scope, authorization);
      return authorization;
    });
  }

  #basic(): Authorization {
    return { headers: { authorization: this.#basicValue() }, expires: Number.POSITIVE_INFINITY };
  }

  #basicValue(): string {
    const { username, password } = this.#upstream.credentials ?? { username: '', password: '' };
    return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }

  /** A token server that refuses is the upstream's refusal: that is the URL the operator knows. */
  async #tokenOf(scope: string, challenge: Challenge, refusal: UpstreamError): Promise<Authorization> {
    try {
      return await this.#fetchToken(scope, challenge);
    } catch (error) {
      if (!(error instanceof UpstreamError) || (error.status !== 401 && error.status !== 403)) throw error;
      throw new UpstreamError('status', refusal.url, refusal.message, { status: refusal.status, cause: error });
    }
  }

  /** Asks the realm. Not bound to one caller's signal: others wait for the same token. */
  async #fetchToken(scope: string, challenge: Challenge): Promise<Authorization> {
    const url = this.#realmUrl(challenge);
    const service = challenge.parameters.get('service');
    if (service !== undefined) url.searchParams.append('service', service);
    for (const one of (challenge.parameters.get('scope') ?? scope).split(' ')) url.searchParams.append('scope', one);
    const { credentials } = this.#upstream;
    if (credentials) url.searchParams.append('account', credentials.username);
    const { body } = await this.#upstream.request({
      method: 'GET',
      url: url.href,
      headers: credentials ? { authorization: this.#basicValue() } : {},
      maxBytes: MAX_TOKEN_BYTES,
    });
    const shown = publicUrl(url);
    const parsed = tokenSchema.safeParse(parseBoundedJson(body, 'token', `The answer of the token server ${shown}`));
    if (!parsed.success || parsed.data.token === undefined) {
      throw new RegistryError('token', `The token server ${shown} answered without a token`);
    }
    if (!/^[\x21-\x7e]+$/.test(parsed.data.token)) {
      throw new RegistryError('token', `The token server ${shown} answered with a token that cannot be a header`);
    }
    const expires = Date.now() + Math.max(0, parsed.data.expiresIn * 1000 - EXPIRY_MARGIN_MS);
    return { headers: { authorization: `Bearer ${parsed.data.token}` }, expires };
  }

  /**
   * The realm's URL, if the upstream may name it (spec: security, rule 8): never plain http named by https; another host than
   * the upstream's only over TLS on both sides, or where an administrator lists it.
   */
  #realmUrl(challenge: Challenge): URL {
    const upstream = this.#upstream.url;
    const realm = challenge.parameters.get('realm') ?? '';
    if (!URL.canParse(realm)) {
      throw new RegistryError('realm', `The upstream ${publicUrl(upstream)} asks for a token of something that is no URL`);
    }
    const url = new URL(realm);
    const shown = publicUrl(url);
    if (url.protocol !== 'https:' && (url.protocol !== 'http:' || upstream.protocol === 'https:')) {
      throw new RegistryError('realm', `The token server ${shown}, named by ${publicUrl(upstream)}, is refused: it is not https`);
    }
    const trusted =
      url.hostname === upstream.hostname ||
      (upstream.protocol === 'https:' && url.protocol === 'https:') ||
      this.#realms.includes(url.hostname) ||
      this.#realms.includes(url.host);
    if (trusted) return url;
    throw new RegistryError(
      'realm',
      `The token server ${shown}, named by ${publicUrl(upstream)} without TLS, is refused: list ${url.host} in DECKLE_TOKEN_REALMS to permit it`,
    );
  }
}
