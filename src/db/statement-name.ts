import { createHash } from 'node:crypto';

const names = new Map<string, string>();
const MAX_PREPARED = 500;

/**
 * The name that a statement is prepared under, once a connection. Undefined for those that come when there are many already: lists make many
 * texts, and the long ones that occur once are not worth a name.
 */
export function statementName(text: string): string | undefined {
  const known = names.get(text);
  if (known || names.size >= MAX_PREPARED) return known;
  const name = createHash('sha1').update(text).digest('base64url');
  names.set(text, name);
  return name;
}
