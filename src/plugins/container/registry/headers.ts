/** On every answer of the Registry API. The second says that the signature extension is here. */
export const STANDING_HEADERS: Readonly<Record<string, string>> = {
  'Docker-Distribution-Api-Version': 'registry/2.0',
  'X-Registry-Supports-Signatures': '1',
};
