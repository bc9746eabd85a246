/** On every answer of the Registry API. The second says that the signature extension is here. */
export const STANDING_HEADERS: Readonly<Record<string, string>> = {
  'Docker-Distribution-Api-Version': 'registry/2.0',
  'X-Registry-Supports-Signatures': '1',
};

/** Whether an `If-None-Match` names the digest (RFC 9110, 13.1.2; a weak comparison). */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((item) => {
    const tag = item.trim().replace(/^W\//, '');
    return tag === '*' || tag === `"${digest}"`;
  });
}
