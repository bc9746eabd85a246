import { RegistryError } from './registry-error.ts';

/** A link of a Link header (RFC 8288, 3): the target and what follows it. */
const LINK = /<([^<>]*)>((?:[^,"]|"(?:[^"\\]|\\.)*")*)/g;
const REL = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i;

/**
 * The page that `rel="next"` names: its path and query, at the server that was asked. Behind a proxy that ends TLS a registry
 * may know neither its scheme nor its port, so these may differ; another host may not. `what` begins the message of the RegistryError.
 */
export function nextPage(page: URL, header: string | undefined, what: string): URL | undefined {
  for (const [, target = '', parameters = ''] of (header ?? '').matchAll(LINK)) {
    const [, quoted, bare = ''] = REL.exec(parameters) ?? [];
    if (!(quoted ?? bare).toLowerCase().split(/\s+/).includes('next')) continue;
    if (!URL.canParse(target, page.href)) {
      throw new RegistryError('list', `${what} continues at something that is no URL`);
    }
    const next = new URL(target, page);
    if (next.hostname !== page.hostname) {
      throw new RegistryError('list', `${what} continues on another host, ${next.host}, which is not followed`);
    }
    const own = new URL(page);
    own.pathname = next.pathname;
    own.search = next.search;
    return own;
  }
  return undefined;
}
