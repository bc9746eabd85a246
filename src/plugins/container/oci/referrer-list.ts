import { z } from 'zod';
import type { SmallResponse } from '../../../download/upstream.ts';
import { publicUrl } from '../../../download/upstream-error.ts';
import { type Digest, digestSchema } from '../../../lib/digest.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { essenceOf, OCI_INDEX } from './media-types.ts';
import { nextPage } from './next-page.ts';
import { RegistryError } from './registry-error.ts';

const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** Referrers of one manifest. */
export const MAX_REFERRERS = 10_000;

/** What a registry says of a manifest that refers to another. */
export interface ReferrerEntry {
  readonly digest: Digest;
  readonly mediaType: string;
}

const pageSchema = z.object({ manifests: z.array(z.object({ digest: digestSchema, mediaType: z.string() })).nullish() });

/** Statuses of registries that have no such API, or none for this repository; 404 is what the specification names. */
export const NO_REFERRERS_API: readonly number[] = [400, 401, 403, 404, 405, 406, 410, 501];

/** Asks for one page, with the repository's authentication; `NO_REFERRERS_API` are answers. */
export type AskForReferrers = (url: string, maxBytes: number) => Promise<Pick<SmallResponse, 'status' | 'headers' | 'body'>>;

/**
 * The referrers of all pages from `first` on, each once; undefined where the registry has no Referrers API: it refuses, or answers with
 * something else than an index. Throws RegistryError where the list cannot be read or has no end.
 */
export async function readReferrers(first: URL, ask: AskForReferrers): Promise<readonly ReferrerEntry[] | undefined> {
  const found = new Map<Digest, ReferrerEntry>();
  const pages = new Set<string>();
  for (let next: URL | undefined = first; next; ) {
    const page: URL = next;
    const what = `The list of referrers ${publicUrl(page)}`;
    const place = page.pathname + page.search;
    if (pages.has(place)) throw new RegistryError('list', `${what} leads back to a page that was read already`);
    pages.add(place);
    if (pages.size > MAX_REFERRERS) throw new RegistryError('list', `${what} has more than ${MAX_REFERRERS} pages`);
    const answer = await ask(page.href, MAX_PAGE_BYTES);
    if (NO_REFERRERS_API.includes(answer.status) || essenceOf(answer.headers['content-type'] ?? '') !== OCI_INDEX)
      return undefined;
    for (const entry of parsePage(answer.body, what)) found.set(entry.digest, entry);
    if (found.size > MAX_REFERRERS) throw new RegistryError('list', `${what} has more than ${MAX_REFERRERS} entries`);
    next = nextPage(page, answer.headers.link, what);
  }
  return [...found.values()];
}

function parsePage(body: Buffer, what: string): readonly ReferrerEntry[] {
  const parsed = pageSchema.safeParse(parseBoundedJson(body, 'list', what));
  if (!parsed.success)
    throw new RegistryError('list', `${what} cannot be read: it is no list of manifests`, { cause: parsed.error });
  return parsed.data.manifests ?? [];
}
