import type { DownloadJob, JobSettings } from './download-job.ts';
import type { ProvenJob } from './proven-job.ts';
import type { Downloaded } from './upstream.ts';
import { UpstreamError, type UpstreamErrorKind } from './upstream-error.ts';

/** What the process tells a download thread. Both sides send what one turn of their event loop brings as one message. */
export type ToThread =
  | { readonly open: JobSettings }
  | { readonly close: string }
  | { readonly id: number; readonly upstream: string; readonly job: DownloadJob | ProvenJob }
  | { readonly id: number; readonly abort: true };

/** Where the body of an answer is in the bytes that come with the answers. */
export interface HeldPart {
  readonly at: number;
  readonly length: number;
}

/** All that one turn of a thread's event loop answers. The bodies are in one piece, which is handed over: many small pieces cost more. */
export interface Answers {
  readonly answers: readonly FromThread[];
  readonly bytes: ArrayBuffer;
}

/** What a thread answers: `done` and `failed` end a job. */
export type FromThread =
  | { readonly id: number; readonly done: Downloaded; readonly held?: HeldPart }
  | { readonly id: number; readonly failed: PlainError }
  | { readonly id: number; readonly retry: PlainError; readonly number: number; readonly waitMs: number };

/** An error without its class, which a message to another thread loses. */
export interface PlainError {
  readonly message: string;
  /** Of an UpstreamError. */
  readonly upstream?: {
    readonly kind: UpstreamErrorKind;
    readonly url: string;
    readonly status: number | undefined;
    readonly challenge: string | undefined;
    readonly retryAfter: string | undefined;
  };
  /** Of a system error, such as ENOSPC. */
  readonly code?: string;
  readonly cause?: string;
}

export function plainError(error: unknown): PlainError {
  if (error instanceof UpstreamError) {
    const { kind, url, status, challenge, retryAfter } = error;
    const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
    return { message: error.message, upstream: { kind, url, status, challenge, retryAfter }, ...cause };
  }
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as NodeJS.ErrnoException;
  return { message: error.message, ...(code === undefined ? {} : { code }) };
}

export function errorOf({ message, upstream, code, cause }: PlainError): Error {
  if (upstream) {
    return new UpstreamError(upstream.kind, upstream.url, message, {
      ...upstream,
      ...(cause === undefined ? {} : { cause: new Error(cause) }),
    });
  }
  return code === undefined ? new Error(message) : Object.assign(new Error(message), { code });
}
