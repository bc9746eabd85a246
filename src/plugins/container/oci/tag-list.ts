import { z } from 'zod';
import type { SmallResponse, Upstream } from '../../../download/upstream.ts';
import { publicUrl } from '../../../download/upstream-error.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { nextPage } from './next-page.ts';
import { isTag } from './reference.ts';
import { RegistryError } from './registry-error.ts';

/** Limits of spec: security, rule 9. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
const MAX_TAGS = 1_000_000;

const pageSchema = z.object({ tags: z.array(z.string()).nullish() });

/** Asks for one page, with the repository's authentication. */
export type AskForPage = (url: string, maxBytes: number) => Promise<SmallResponse>;

/** The tags of all pages from `first` on, each once. Text outside the tag grammar cannot be asked for and is passed over with a log line. */
export async function* readTagList(first: URL, ask: AskForPage, log: Upstream['log']): AsyncGenerator<string, void, void> {
  const tags = new Set<string>();
  const pages = new Set<string>();
  for (let next: URL | undefined = first; next; ) {
    const page: URL = next;
    const shown = publicUrl(page);
    const place = page.pathname + page.search;
    if (pages.has(place)) throw new RegistryError('list', `The tag list ${shown} leads back to a page that was read already`);
    pages.add(place);
    if (pages.size > MAX_PAGES) throw new RegistryError('list', `The tag list ${shown} has more than ${MAX_PAGES} pages`);
    const answer = await ask(page.href, MAX_PAGE_BYTES);
    for (const tag of parsePage(answer.body, shown)) {
      if (tags.has(tag)) continue;
      if (!isTag(tag)) {
        log.warn({ url: shown, tag: tag.slice(0, 128) }, 'an upstream lists a tag that no registry can have; it is left out');
        continue;
      }
      tags.add(tag);
      if (tags.size > MAX_TAGS) throw new RegistryError('list', `The tag list ${shown} has more than ${MAX_TAGS} tags`);
      yield tag;
    }
    next = nextPage(page, answer.headers.link, `The tag list ${shown}`);
  }
}

function parsePage(body: Buffer, shown: string): readonly string[] {
  const what = `The tag list ${shown}`;
  const parsed = pageSchema.safeParse(parseBoundedJson(body, 'list', what));
  if (!parsed.success) throw new RegistryError('list', `${what} cannot be read: it has no list of tags`, { cause: parsed.error });
  return parsed.data.tags ?? [];
}
