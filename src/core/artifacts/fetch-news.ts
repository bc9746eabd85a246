import { UnavailableArtifactError } from './unavailable-artifact-error.ts';

/* What a process that fetches content for all tells the others. */

/** A temporary file that the body is written to, and the bytes that it will have, where that is known. */
export interface GrowingFile {
  readonly path: string;
  readonly size?: number | undefined;
}

interface Failure {
  readonly sources: number;
  readonly message: string;
  readonly retryAfter?: string | undefined;
}

/** The last word about a body that was written to its end. */
export const WHOLE = 'whole';
const FAILED = 'failed ';
const MAX_MESSAGE = 1_000;

export const growingFileNews = (file: GrowingFile): string => JSON.stringify(file);

export const growingFileIn = (news: string | undefined): GrowingFile | undefined =>
  news === undefined ? undefined : (JSON.parse(news) as GrowingFile);

/** The last word about a fetch that has failed. None where it was not the remotes' fault: others may do better. */
export function failureNews(error: unknown): string | undefined {
  if (!(error instanceof UnavailableArtifactError)) return undefined;
  const { sources, retryAfter, cause } = error;
  const message = cause instanceof Error ? cause.message.slice(0, MAX_MESSAGE) : '';
  return FAILED + JSON.stringify({ sources, message, retryAfter } satisfies Failure);
}

/** The failure that the last word about a fetch of `wanted` speaks of. */
export function failureIn(wanted: string, news: string | undefined): UnavailableArtifactError | undefined {
  if (!news?.startsWith(FAILED)) return undefined;
  const { sources, message, retryAfter } = JSON.parse(news.slice(FAILED.length)) as Failure;
  return new UnavailableArtifactError(wanted, sources, new Error(message), retryAfter);
}
