import { publicUrl, UpstreamError } from './upstream-error.ts';

/** Redirects that are followed for one request. */
export const MAX_REDIRECTS = 5;

/** A request's place and headers; names in lower case. */
export interface Hop {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const SECRET_HEADERS = ['authorization', 'cookie', 'proxy-authorization'];

/** Headers as another server may see them. */
export const withoutSecrets = (headers: Hop['headers']): Hop['headers'] =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !SECRET_HEADERS.includes(name)));

export const isRedirect = (status: number): boolean => REDIRECTS.has(status);

/**
 * The request that a redirect's `Location` leads to. Credentials stay behind when scheme, host or port change. Throws for a
 * missing or unusable Location, another scheme than http(s), and a step from https to http.
 */
export function followRedirect({ url, headers }: Hop, location: string | undefined): Hop {
  const from = publicUrl(url);
  if (location === undefined) throw new UpstreamError('redirect', from, `${from} redirects without saying where to`);
  if (!URL.canParse(location, url.href))
    throw new UpstreamError('redirect', from, `${from} redirects to something that is no URL`);
  const target = new URL(location, url);
  target.username = '';
  target.password = '';
  target.hash = '';
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    throw new UpstreamError('redirect', from, `${from} redirects to ${target.protocol}, which is not followed`);
  }
  if (url.protocol === 'https:' && target.protocol === 'http:') {
    throw new UpstreamError(
      'redirect',
      from,
      `${from} redirects from https to http, at ${publicUrl(target)}, which is not followed`,
    );
  }
  if (target.origin === url.origin) return { url: target, headers };
  return { url: target, headers: withoutSecrets(headers) };
}

export const tooManyRedirects = (url: string): UpstreamError =>
  new UpstreamError('redirect', publicUrl(url), `${publicUrl(url)} redirects more than ${MAX_REDIRECTS} times`);
