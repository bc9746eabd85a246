import type { StreamCheck } from '../../../lib/verified-stream.ts';
import { filezVerifier, inflatesInHand, verifyFilez } from './filez.ts';
import { FormatError } from './format-error.ts';
import { MAX_METADATA_BYTES, ObjectType, parseObjectPath, verifyMetadata } from './object.ts';

/*
 * Proves the objects of a repository, by their paths. Download threads load this module (see BodyProof), so that what costs is done beside
 * the fetching: inflating and hashing.
 */

/** Throws a FormatError, naming the object, unless the bytes are the object that belongs at the path. */
export async function prove(bytes: Buffer, path: string): Promise<void> {
  const { checksum, type } = objectAt(path);
  if (type !== ObjectType.file) return verifyMetadata(bytes, checksum, type);
  if (inflatesInHand(bytes)) return verifyFilez(bytes, checksum);
  const check = filezVerifier(checksum);
  try {
    await check.update(bytes);
    await check.finish();
  } finally {
    check.destroy();
  }
}

/** The same for bytes that pass by, of any size if it is a file. */
export function check(path: string): StreamCheck<void> {
  const { checksum, type } = objectAt(path);
  if (type === ObjectType.file) return filezVerifier(checksum);
  const chunks: Uint8Array[] = [];
  let size = 0;
  return {
    update(chunk) {
      size += chunk.byteLength;
      if (size > MAX_METADATA_BYTES) throw new FormatError(`${path}: it is larger than ${MAX_METADATA_BYTES} bytes`);
      chunks.push(chunk);
    },
    finish: () => verifyMetadata(Buffer.concat(chunks), checksum, type),
  };
}

function objectAt(path: string) {
  const object = parseObjectPath(path);
  if (!object) throw new FormatError(`${path}: it is not the path of an object`);
  const { checksum, type } = object;
  if (type === ObjectType.file || type === ObjectType.dirtree || type === ObjectType.dirmeta || type === ObjectType.commit) {
    return { checksum, type };
  }
  throw new FormatError(`${path}: objects of this type have no checksum`);
}
