import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../../kit/api.ts';
import type { Services } from '../../kit/services.ts';
import type { ServedDistribution } from '../distributions/served-distributions.ts';
import { ContentUrls } from './content-url.ts';
import { type GuardRule, type GuardRules, loadGuardRules } from './guard-rules.ts';
import type { GuardedRequest } from './guarded-request.ts';
import { filtered, isSecret, textOfBase64 } from './header-secret.ts';
import { rbacGuard } from './rbac.ts';

const NOT_SIGNED = 'Access not authenticated';
const EXPIRED = 'Authentication expired';
const DENIED = 'Access denied.';
const NOBODY = 'Authentication credentials were not provided.';
const NOT_PERMITTED = 'You do not have permission to perform this action.';

/** What guards are asked with. */
type GuardServices = Pick<Services, 'db' | 'config' | 'domain' | 'catalog' | 'access'>;

type RuleOf<Type extends GuardRule['pulp_type']> = Extract<GuardRule, { readonly pulp_type: Type }>;

/** Asks the guards of distributions, before anything of their content is looked at (spec: Pulp's content app, which refuses with 403 and these words). */
export class ContentGuards {
  readonly #services: GuardServices;
  readonly #urls: ContentUrls;

  private constructor(services: GuardServices, urls: ContentUrls) {
    this.#services = services;
    this.#urls = urls;
  }

  /** Reads the key of signed URLs, making it on the first start. */
  static async open(services: GuardServices & Pick<Services, 'clock'>): Promise<ContentGuards> {
    return new ContentGuards(services, await ContentUrls.load(services));
  }

  /** Why the distribution's guard refuses the request; undefined where it may pass, or where there is no guard. */
  async refusal(
    { id, content_guard_id }: Pick<ServedDistribution, 'id' | 'content_guard_id'>,
    request: GuardedRequest,
  ): Promise<string | undefined> {
    if (content_guard_id === null) return undefined;
    const rules = await loadGuardRules(this.#services.db, id);
    if (rules === 'open') return undefined;
    return rules ? this.#ask(rules.root, rules, request, new Set()) : NOT_SIGNED;
  }

  /** Why a request is refused that nothing but a signed URL lets pass. */
  unsigned({ path, query }: Pick<GuardedRequest, 'path' | 'query'>): string | undefined {
    const verdict = this.#urls.verify(path, query);
    if (verdict === 'valid') return undefined;
    return verdict === 'expired' ? EXPIRED : NOT_SIGNED;
  }

  async #ask(id: string, rules: GuardRules, request: GuardedRequest, asked: Set<string>): Promise<string | undefined> {
    const rule = rules.byId.get(id);
    if (!rule) return DENIED;
    asked.add(id);
    switch (rule.pulp_type) {
      case 'core.content_redirect':
        return request.pulled ? undefined : this.unsigned(request);
      case 'core.header':
        return headerRefusal(rule, request.headers);
      case 'core.envvar_header':
        return secretRefusal(rule, request.headers, this.#services.config.guardSecrets.get(rule.env_var));
      case 'core.rbac':
        return this.#downloadRefusal(rule.id, await request.caller());
      case 'core.composite':
        return this.#askAny(rule, rules, request, asked);
    }
  }

  /** Whether the guard's access policy lets the caller download. */
  async #downloadRefusal(id: string, caller: Caller | null): Promise<string | undefined> {
    if (!caller) return NOBODY;
    const asked = { services: this.#services, caller, body: undefined, params: {} };
    return (await this.#services.access.may(asked, rbacGuard, 'download', { id })) ? undefined : NOT_PERMITTED;
  }

  /** The first guard that lets the request pass is enough; none to ask: it passes, as in Pulp. */
  async #askAny(
    { members }: RuleOf<'core.composite'>,
    rules: GuardRules,
    request: GuardedRequest,
    asked: Set<string>,
  ): Promise<string | undefined> {
    const refusals = new Set<string>();
    for (const member of members) {
      const refusal = asked.has(member) ? DENIED : await this.#ask(member, rules, request, asked);
      if (refusal === undefined) return undefined;
      refusals.add(refusal);
    }
    return members.length === 0 ? undefined : `Access forbidden. Refusals: ${[...refusals].join(' ')}`;
  }
}

/** The header as it came; several of one name are none, since nobody could say which of them the proxy in front has set. */
const headerOf = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name.toLowerCase()];
  return typeof value === 'string' && value !== '' ? value : undefined;
};

function headerRefusal(rule: RuleOf<'core.header'>, headers: IncomingHttpHeaders): string | undefined {
  const decoded = textOfBase64(headerOf(headers, rule.header_name) ?? '');
  if (typeof decoded === 'string') return DENIED;
  const value = rule.jq_filter === null ? decoded.text : filtered(decoded.text, rule.jq_filter);
  return value !== undefined && isSecret(value, rule.header_value) ? undefined : DENIED;
}

function secretRefusal(
  { header_name }: RuleOf<'core.envvar_header'>,
  headers: IncomingHttpHeaders,
  secret: string | undefined,
): string | undefined {
  if (secret === undefined) return DENIED;
  const header = headerOf(headers, header_name);
  if (header === undefined) return `Access not allowed. Header ${header_name} not found.`;
  const decoded = textOfBase64(header);
  if (decoded === 'no base64') return 'Access not allowed - Header content is not Base64 encoded.';
  if (decoded === 'no UTF-8') return 'Access not allowed - Header content is not valid UTF-8.';
  return isSecret(decoded.text, secret) ? undefined : DENIED;
}
