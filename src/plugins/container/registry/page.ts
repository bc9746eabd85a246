import { pageSizeInvalid } from './registry-error.ts';

/** One page of a list in ASCII order: what comes after `last`, `n` entries at most. */
export interface Page {
  readonly n: number;
  /** Exclusive; need not exist. */
  readonly last: string | undefined;
}

const DEFAULT_SIZE = 100;
const MAX_SIZE = 1000;

/** Reads `?n=&last=` (OCI distribution-spec, "Listing Tags"). `size`: where the client does not say. */
export function parsePage(query: URLSearchParams, size = DEFAULT_SIZE): Page {
  const text = query.get('n');
  if (text !== null && !/^\d+$/.test(text)) throw pageSizeInvalid(text);
  const last = query.get('last');
  // PostgreSQL has no text with NUL; nothing sorts after it that does not sort after the text before it.
  return { n: text === null ? size : Math.min(Number(text), MAX_SIZE), last: last?.split('\0')[0] || undefined };
}

/** The `Link` header of the page after `last`. It is relative, which RFC 8288 allows and clients resolve: no host has to be known. */
export const nextLink = (path: string, { n, last }: { n: number; last: string }, filter: Record<string, string> = {}): string =>
  `<${path}?${new URLSearchParams({ ...filter, n: String(n), last })}>; rel="next"`;

/** Cuts a list that was read with one entry more than the page has: the page, and the `Link` header of the next one where there is one. */
export function cutPage(path: string, page: Page, entries: readonly string[]): { entries: string[]; link: string | undefined } {
  const kept = entries.slice(0, page.n);
  const last = kept.at(-1);
  const more = entries.length > page.n && last !== undefined;
  return { entries: kept, link: more ? nextLink(path, { n: page.n, last }) : undefined };
}
