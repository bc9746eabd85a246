/** Root of the content app; content of containers is served by the Registry API and `/pulp/container/`. */
export const CONTENT_ROOT = '/pulp/content/';

const MAX_PATH = 4096;

/**
 * The path below the root, decoded; undefined where it is malformed or leads out of it, or where the root itself is written
 * otherwise. A `+` is a plus sign and only `%20` is a space: what forms do to a query does not hold in a path (RFC 3986, 2.2).
 */
export function contentPath(url: string): string | undefined {
  const written = url.split('?', 1)[0] as string;
  if (!`${written}/`.startsWith(CONTENT_ROOT)) return undefined;
  try {
    const path = decodeURIComponent(written.slice(CONTENT_ROOT.length));
    if (path.length > MAX_PATH || path.includes('\0')) return undefined;
    const parts = path.replace(/\/$/, '').split('/');
    return path !== '' && parts.some((part) => part === '' || part === '.' || part === '..') ? undefined : path;
  } catch {
    return undefined;
  }
}

/** `a/b/c` -> `a`, `a/b`, `a/b/c`: the base paths that a distribution may have which serves this path. */
export function basePathsOf(path: string): string[] {
  const parts = path.replace(/\/$/, '').split('/');
  return parts.map((_part, index) => parts.slice(0, index + 1).join('/'));
}
