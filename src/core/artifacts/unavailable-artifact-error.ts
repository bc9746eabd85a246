import { UpstreamError } from '../../download/upstream-error.ts';

/** Seconds after which a client may try again where an upstream that takes no more requests does not say. */
const RETRY_SECONDS = '60';

/** No remote has the bytes, or none can be asked now. The cause is what the last one said. */
export class UnavailableArtifactError extends Error {
  override readonly name = 'UnavailableArtifactError';
  /** Remotes that are known to have it; with 0 there is nobody to ask. */
  readonly sources: number;
  /** Retry-After, where the last remote takes no more requests now. */
  readonly retryAfter: string | undefined;

  constructor(wanted: string, sources: number, cause?: unknown, retryAfter: string | undefined = retryAfterOf(cause)) {
    super(
      sources === 0
        ? `${wanted} is not stored and no remote is known to have it; sync its repository again`
        : `${wanted} is not stored and ${sources === 1 ? 'its remote does not give' : `none of its ${sources} remotes gives`} it now`,
      { cause },
    );
    this.sources = sources;
    this.retryAfter = retryAfter;
  }
}

const retryAfterOf = (cause: unknown): string | undefined =>
  cause instanceof UpstreamError && cause.status === 429 ? (cause.retryAfter ?? RETRY_SECONDS) : undefined;
