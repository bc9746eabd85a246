import { pageSizeInvalid } from './registry-error.ts';

/** One page of a list in ASCII order: what comes after `last`, `n` entries at most. */
export interface Page {
  readonly n: number;
  /** Exclusive; need not exist. */
  readonly last: string | undefined;
}

const DEFAULT_SIZE = 100;
const MAX_SIZE = 1000;

/** Reads `?n=&last=` (OCI distribution-spec, "Listing Tags"). */
export function parsePage(query: URLSearchParams): Page {
  const text = query.get('n');
  if (text !== null && !/^\d{1,9}$/.test(text)) throw pageSizeInvalid(text);
  const last = query.get('last');
  // PostgreSQL has no text with NUL; nothing sorts after it that does not sort after the text before it.
  return { n: text === null ? DEFAULT_SIZE : Math.min(Number(text), MAX_SIZE), last: last?.split('\0')[0] || undefined };
}

/**
 * Cuts a list that was read with one entry more than the page has: the page, and the `Link` header of the next one where there
 * is one. The link is relative, which RFC 8288 allows and clients resolve: no host has to be known.
 */
export function cutPage(path: string, page: Page, entries: readonly string[]): { entries: string[]; link: string | undefined } {
  const kept = entries.slice(0, page.n);
  const last = kept.at(-1);
  const more = entries.length > page.n && last !== undefined;
  return { entries: kept, link: more ? `<${path}?n=${page.n}&last=${encodeURIComponent(last)}>; rel="next"` : undefined };
}
