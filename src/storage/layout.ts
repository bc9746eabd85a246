const SHA256_HEX = /^[0-9a-f]{64}$/;

/**
 * Where the artifact with this sha256 lives: `artifact/ab/cdef…`, as Pulp lays it out, so that a folder of Pulp's can be read.
 * Throws a RangeError for anything but 64 lower case hexadecimal digits: no path is built from unchecked input.
 */
export function artifactKey(sha256Hex: string): string {
  if (!SHA256_HEX.test(sha256Hex)) throw new RangeError('an artifact key is made of 64 lower case hexadecimal digits');
  return `artifact/${sha256Hex.slice(0, 2)}/${sha256Hex.slice(2)}`;
}
