import { createHash, timingSafeEqual } from 'node:crypto';
import { parseJsonPath, valueAt } from './json-path.ts';

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The text that base64 stands for; says why where it stands for none. */
export function textOfBase64(value: string): { readonly text: string } | 'no base64' | 'no UTF-8' {
  if (!BASE64.test(value)) return 'no base64';
  try {
    return { text: utf8.decode(Buffer.from(value, 'base64')) };
  } catch (error) {
    if (error instanceof TypeError) return 'no UTF-8';
    throw error;
  }
}

/** Compares in a time that tells nothing of the secret. */
export const isSecret = (text: string, secret: string): boolean =>
  timingSafeEqual(createHash('sha256').update(text).digest(), createHash('sha256').update(secret).digest());

/** The text at the filter's path in JSON; undefined where there is none, or something else than text. */
export function filtered(json: string, filter: string): string | undefined {
  const path = parseJsonPath(filter);
  if (!path) return undefined;
  try {
    const value = valueAt(JSON.parse(json), path);
    return typeof value === 'string' ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
