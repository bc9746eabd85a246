import type { Dispatcher } from 'undici';
import { abortScope } from './abort.ts';
import { responseHeaders } from './exchange.ts';
import { statusError, totalTimeoutError, upstreamErrorOf } from './failure.ts';
import type { Hop } from './redirect.ts';
import { followRedirect, isRedirect, MAX_REDIRECTS, tooManyRedirects } from './redirect.ts';
import type { Timeouts } from './remote-settings.ts';
import type { Resume } from './resume.ts';
import { SlowBody } from './slow-body.ts';
import type { ResponseHeaders } from './upstream.ts';

export interface StreamContext {
  readonly dispatcher: Dispatcher;
  readonly timeouts: Timeouts;
  readonly validatesTls: boolean;
  /** Asked with every URL before it is connected to; throws. */
  readonly checkUrl: (url: URL) => void;
  readonly signal: AbortSignal | undefined;
}

/** The head of a 200 or 206, and its body still to come. */
export interface OpenBody {
  readonly headers: ResponseHeaders;
  readonly url: string;
  readonly chunks: AsyncGenerator<Buffer, void, void>;
}

/** Sends the request of `first`, for the bytes that `resume` still lacks, and follows redirects to the body. */
export async function openBody(context: StreamContext, first: Hop, resume: Resume): Promise<OpenBody> {
  const { signal, end } = abortScope(context.signal, context.timeouts.total, () =>
    totalTimeoutError(first.url.href, context.timeouts),
  );
  try {
    let hop: Hop = { url: first.url, headers: { ...first.headers, ...resume.headers() } };
    for (let redirects = 0; ; redirects += 1) {
      const answer = await ask({ ...context, signal }, hop);
      const headers = responseHeaders(answer.headers, hop.url);
      const { statusCode: status } = answer;
      if (status === 200 || status === 206 || status === 416) {
        resume.begin(status, headers, hop.url.href);
        return { headers, url: hop.url.href, chunks: bodyOf({ ...context, signal }, hop.url, answer.body, end) };
      }
      await answer.body.dump({ limit: 64 * 1024 });
      if (!isRedirect(status)) throw statusError(status, answer.statusText, headers, hop.url.href);
      if (redirects === MAX_REDIRECTS) throw tooManyRedirects(first.url.href);
      hop = followRedirect(hop, headers.location);
    }
  } catch (error) {
    end();
    throw error;
  }
}

async function ask(context: StreamContext, { url, headers }: Hop): Promise<Dispatcher.ResponseData> {
  context.checkUrl(url);
  try {
    return await context.dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'GET',
      headers,
      headersTimeout: context.timeouts.read,
      bodyTimeout: context.timeouts.read,
      ...(context.signal ? { signal: context.signal } : {}),
    });
  } catch (error) {
    throw failure(context, url, error, false);
  }
}

const failure = (context: StreamContext, url: URL, error: unknown, answered: boolean): unknown => {
  if (context.signal?.aborted) return context.signal.reason;
  return upstreamErrorOf(error, { url: url.href, timeouts: context.timeouts, validatesTls: context.validatesTls, answered });
};

async function* bodyOf(
  context: StreamContext,
  url: URL,
  body: Dispatcher.ResponseData['body'],
  end: () => void,
): AsyncGenerator<Buffer, void, void> {
  // Only the time that the upstream takes counts, not that of a slow reader.
  const slow = new SlowBody(url.href);
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const asked = performance.now();
      const next = await chunks.next();
      if (next.done) return;
      const chunk = next.value as Buffer;
      slow.add(chunk.byteLength, performance.now() - asked);
      yield chunk;
    }
  } catch (error) {
    throw failure(context, url, error, true);
  } finally {
    end();
    body.destroy();
  }
}
