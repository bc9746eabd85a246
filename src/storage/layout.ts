import type { AsideReason } from './storage.ts';

const SHA256_HEX = /^[0-9a-f]{64}$/;

/**
 * Where the artifact with this sha256 lives: `artifact/ab/cdef…`, as Pulp lays it out, so that a folder of Pulp's can be read.
 * Throws a RangeError for anything but 64 lower case hexadecimal digits: no path is built from unchecked input.
 */
export function artifactKey(sha256Hex: string): string {
  if (!SHA256_HEX.test(sha256Hex)) throw new RangeError('an artifact key is made of 64 lower case hexadecimal digits');
  return `artifact/${sha256Hex.slice(0, 2)}/${sha256Hex.slice(2)}`;
}

/** Where a chunk of an upload lives: `upload/c3/<id>`. The folders go by the last digits, which are the random ones of a UUIDv7. */
export const uploadChunkKey = (id: string): string => `upload/${id.slice(-2)}/${id}`;

/** The folder of parts of blobs that are being pushed. */
export const PUSHED_PARTS = 'push';

/** Where a part of a pushed blob lives until the blob is whole: `push/c3/<id>`. */
export const pushedPartKey = (id: string): string => `${PUSHED_PARTS}/${id.slice(-2)}/${id}`;

const PUSHED_PART_KEY = /^push\/[0-9a-f]{2}\/([0-9a-f-]{36})$/;

/** The id that `pushedPartKey` makes this key of; undefined where it makes it of none. */
export const partOfKey = (key: string): string | undefined => PUSHED_PART_KEY.exec(key)?.[1];

/** Segments that are made of these and do not begin with a dot can name neither `.` nor `..`, nor a hidden file. */
const SEGMENT = '[A-Za-z0-9_][A-Za-z0-9._-]*';
const KEY = new RegExp(`^(?!(?:tmp|journal|aside)/)${SEGMENT}(?:/${SEGMENT})+$`);

/**
 * Every store asks this before it uses a key: `folder/…/file`, which cannot lead out of the store nor into
 * `tmp/`, `journal/` and `aside/`, which are the storage's own. Throws a RangeError.
 */
export function checkKey(key: string): void {
  if (!KEY.test(key) || key.length > 500) throw new RangeError(`not a key of the storage: ${JSON.stringify(key.slice(0, 500))}`);
}

/** Where a file is that was moved out of its place: no key of the storage, and read by no client. */
export const asidePath = (key: string, reason: AsideReason): string => `aside/${reason}/${key}`;

const ARTIFACT_KEY = /^artifact\/([0-9a-f]{2})\/([0-9a-f]{62})$/;

/** The sha256 that `artifactKey` makes this key of; undefined where it makes it of none. */
export function sha256OfKey(key: string): string | undefined {
  const [, first, rest] = ARTIFACT_KEY.exec(key) ?? [];
  return first === undefined || rest === undefined ? undefined : first + rest;
}
