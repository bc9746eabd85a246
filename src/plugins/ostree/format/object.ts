import { type Checksum, checksumOf, parseChecksum } from './checksum.ts';
import { refuse } from './format-error.ts';
import { looksLikeHtml } from './html-page.ts';

/** Bytes of a commit, dirtree, dirmeta, commitmeta or superblock (libostree's own limit is 128 MiB). */
export const MAX_METADATA_BYTES = 16 * 1024 * 1024;

/** Kinds of objects by their number on the wire. */
export const ObjectType = {
  file: 1,
  dirtree: 2,
  dirmeta: 3,
  commit: 4,
  tombstoneCommit: 5,
  commitMeta: 6,
  payloadLink: 7,
} as const;
export type ObjectType = (typeof ObjectType)[keyof typeof ObjectType];

/** The kinds whose checksum is the sha256 of their bytes. */
export type MetadataType = typeof ObjectType.dirtree | typeof ObjectType.dirmeta | typeof ObjectType.commit;

/** What an object is called at the end of its path, in an archive repository. */
const SUFFIXES: Readonly<Record<ObjectType, string>> = {
  [ObjectType.file]: 'filez',
  [ObjectType.dirtree]: 'dirtree',
  [ObjectType.dirmeta]: 'dirmeta',
  [ObjectType.commit]: 'commit',
  [ObjectType.tombstoneCommit]: 'tombstone-commit',
  [ObjectType.commitMeta]: 'commitmeta',
  [ObjectType.payloadLink]: 'payload-link',
};
const TYPES = new Map(Object.entries(SUFFIXES).map(([type, suffix]) => [suffix, Number(type) as ObjectType]));
const PATH = /^objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.([a-z-]+)$/;

/** Whether a number of the wire names a kind of object. */
export const isObjectType = (type: number): type is ObjectType => Number.isInteger(type) && type >= 1 && type <= 7;

/** `ab….dirtree`: how messages call an object, the same as libostree's do. */
export const objectName = (checksum: Checksum, type: ObjectType): string => `${checksum}.${SUFFIXES[type]}`;

/** `objects/ab/….filez`: where an archive repository keeps and serves it. */
export const objectPath = (checksum: Checksum, type: ObjectType): string =>
  `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${SUFFIXES[type]}`;

/** The object that a path of an archive repository is of, or undefined where it is of none. */
export function parseObjectPath(path: string): { readonly checksum: Checksum; readonly type: ObjectType } | undefined {
  const [, folder, rest, suffix] = PATH.exec(path) ?? [];
  const checksum = parseChecksum(`${folder}${rest}`);
  const type = suffix === undefined ? undefined : TYPES.get(suffix);
  return checksum === undefined || type === undefined ? undefined : { checksum, type };
}

/** FormatError unless the bytes are those of this commit, dirtree or dirmeta and within MAX_METADATA_BYTES. */
export function verifyMetadata(bytes: Buffer, expected: Checksum, type: MetadataType): void {
  const name = objectName(expected, type);
  if (bytes.length > MAX_METADATA_BYTES) refuse(name, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  const actual = checksumOf(bytes);
  if (actual !== expected)
    refuse(name, `its bytes have the checksum ${actual}${looksLikeHtml(bytes) ? ': it is an HTML page' : ''}`);
}
