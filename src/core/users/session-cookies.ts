import { createHmac } from 'node:crypto';
import { SESSION_SECONDS } from './sessions.ts';

export const SESSION_COOKIE = 'sessionid';
export const CSRF_COOKIE = 'csrftoken';

/** A cookie's value in a `Cookie` header; undefined where it is not there, or empty. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name)
      return (
        pair
          .slice(at + 1)
          .trim()
          .replace(/^"(.*)"$/, '$1') || undefined
      );
  }
  return undefined;
}

/** What a page has to send with changes made by a session's cookie. It follows from the session's secret, and does not tell it. */
export const csrfToken = (secret: string): string => createHmac('sha256', secret).update('csrf').digest('base64url');

const cookie = (name: string, value: string, seconds: number, attributes: readonly string[]): string =>
  [
    `${name}=${value}`,
    `Expires=${new Date(seconds === 0 ? 0 : Date.now() + seconds * 1000).toUTCString()}`,
    `Max-Age=${seconds}`,
    'Path=/',
    'SameSite=Lax',
    ...attributes,
  ].join('; ');

/** The cookies of a new session: its secret, which scripts cannot read, and its CSRF token, which they have to. */
export function sessionCookies(secret: string, origin: string): string[] {
  const secure = origin.startsWith('https:') ? ['Secure'] : [];
  return [
    cookie(CSRF_COOKIE, csrfToken(secret), SESSION_SECONDS, secure),
    cookie(SESSION_COOKIE, secret, SESSION_SECONDS, ['HttpOnly', ...secure]),
  ];
}

/** Has the browser forget the session. */
export const ENDED_SESSION_COOKIE = cookie(SESSION_COOKIE, '""', 0, ['HttpOnly']);
