import { RegistryError, type RegistryErrorKind } from './registry-error.ts';

const MAX_DEPTH = 64;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** How deep the objects and arrays go, without parsing; stops at the first level over the limit. */
function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (quoted) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return false;
}

/** JSON of an upstream, at most 64 levels deep (spec: security, rule 9). `what` begins the message of the RegistryError. */
export function parseBoundedJson(bytes: Buffer, kind: RegistryErrorKind, what: string): unknown {
  if (isTooDeep(bytes)) throw new RegistryError(kind, `${what} is nested more than ${MAX_DEPTH} levels deep`);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    const start = bytes.toString('utf8', 0, 64).trimStart();
    const reason = start.startsWith('<') ? 'it looks like a web page' : start === '' ? 'it is empty' : 'it is not JSON';
    throw new RegistryError(kind, `${what} cannot be read: ${reason}`, { cause });
  }
}
