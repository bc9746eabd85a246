import type { IncomingHttpHeaders } from 'node:http';
import type { Services } from '../../kit/services.ts';
import type { ServedDistribution } from '../distributions/served-distributions.ts';
import { ContentUrls } from './content-url.ts';

/** What a guard looks at. */
export interface GuardedRequest {
  /** Decoded, from the root of the server. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

/** Why the guard with this id refuses the request, in words for the client; undefined where it lets it pass. */
type GuardCheck = (guardId: string, request: GuardedRequest) => Promise<string | undefined>;

const REFUSED = 'Access not authenticated';

/** Asks the guards of distributions, before anything of their content is looked at. A guard of a kind that has no check lets nobody pass. */
export class ContentGuards {
  readonly #checks: ReadonlyMap<string, GuardCheck>;

  private constructor(checks: ReadonlyMap<string, GuardCheck>) {
    this.#checks = checks;
  }

  /** Reads the key of signed URLs, making it on the first start. */
  static async open(services: Pick<Services, 'config' | 'clock'>): Promise<ContentGuards> {
    const urls = await ContentUrls.load(services);
    const signed: GuardCheck = async (_guardId, { path, query }) => (urls.verify(path, query) ? undefined : REFUSED);
    return new ContentGuards(new Map([['core.content_redirect', signed]]));
  }

  /** Why the request is refused; undefined where it may pass. */
  async refusal(
    { content_guard_id, guard_type }: Pick<ServedDistribution, 'content_guard_id' | 'guard_type'>,
    request: GuardedRequest,
  ): Promise<string | undefined> {
    if (content_guard_id === null) return undefined;
    const check = guard_type === null ? undefined : this.#checks.get(guard_type);
    return check ? check(content_guard_id, request) : REFUSED;
  }
}
