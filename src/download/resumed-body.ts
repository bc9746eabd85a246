import type { OpenBody } from './body-stream.ts';
import type { Resume } from './resume.ts';
import { isTransient, type RetryOptions, withRetries } from './retry.ts';
import { UpstreamError } from './upstream-error.ts';

export interface ResumedBody {
  /** Of the first answer. */
  readonly opened: OpenBody;
  /** The whole body, over as many transfers as it takes. Nothing of it is verified but the length. */
  readonly chunks: AsyncGenerator<Buffer, void, void>;
}

/**
 * A body that goes on where it broke. `open` sends the request that `resume` stands for. A broken transfer is taken up at once
 * the first time, and with the usual waits when that fails; `tries` limits how often a body may break, too.
 */
export async function openResumedBody(retry: RetryOptions, resume: Resume, open: () => Promise<OpenBody>): Promise<ResumedBody> {
  const opened = await withRetries(retry, open);
  return { opened, chunks: resumedChunks(retry, resume, opened, open) };
}

async function* resumedChunks(
  retry: RetryOptions,
  resume: Resume,
  opened: OpenBody,
  open: () => Promise<OpenBody>,
): AsyncGenerator<Buffer, void, void> {
  let body = opened;
  for (let breaks = 1; ; breaks += 1) {
    try {
      for await (const chunk of body.chunks) {
        const fresh = resume.take(chunk, body.url);
        if (fresh.byteLength > 0) yield fresh;
      }
      resume.finish(body.url);
      return;
    } catch (error) {
      retry.signal?.throwIfAborted();
      // Wrong bytes cannot be taken back from whoever has them.
      const goesOn = error instanceof UpstreamError && isTransient(error) && error.kind !== 'size';
      if (!goesOn || breaks >= retry.tries) throw error;
      retry.onRetry(error, breaks, 0);
      body = await withRetries(retry, open);
    }
  }
}
