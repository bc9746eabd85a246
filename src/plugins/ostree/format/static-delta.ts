import { type Checksum, checksumFromBytes, checksumOf } from './checksum.ts';
import { COMMIT_TYPE, type Commit, commitOf, secondsOf } from './commit.ts';
import { type DeltaName, deltaPartPath } from './delta-name.ts';
import { asDictionary, DICTIONARY, type Dictionary, lookUp, parseDictionary } from './dictionary.ts';
import { refuse } from './format-error.ts';
import { parseGVariant, swap32, swap64, type Value } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { serializeGVariant } from './gvariant-writer.ts';
import { isObjectType, MAX_METADATA_BYTES, type ObjectType } from './object.ts';
import { deltasOf, writtenDeltas } from './summary.ts';

/** metadata, time (big-endian), from, to, commit, prerequisite deltas, parts, fallbacks. */
const SUPERBLOCK = gvariantType(`(a{sv}tayay${COMMIT_TYPE}aya(uayttay)a(yaytt))`);
const COMMIT = gvariantType(COMMIT_TYPE);
/** "OSTSGNDT", a superblock, signatures. */
const SIGNED_SUPERBLOCK = gvariantType('(taya{sv})');
const SIGNED_MAGIC = Buffer.from('OSTSGNDT', 'latin1');
/** Type and checksum. */
const OBJECT_BYTES = 33;
const LITTLE_ENDIAN = 0x6c;
const BIG_ENDIAN = 0x42;

/** A file of a delta, beside its superblock: `deltas/…/<index>`. */
export interface DeltaPart {
  /** sha256 of the file. */
  readonly checksum: Checksum;
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes of what it unpacks to. */
  readonly unpackedSize: number;
  readonly objects: readonly { readonly type: ObjectType; readonly checksum: Checksum }[];
  /** Held by the superblock's metadata: there is no file. */
  readonly inline: boolean;
}

/** An object that a delta leaves out: it is fetched by itself. */
export interface DeltaFallback {
  readonly type: ObjectType;
  readonly checksum: Checksum;
  readonly size: number;
  readonly unpackedSize: number;
}

export interface Superblock extends DeltaName {
  /** Seconds since 1970. */
  readonly timestamp: number;
  /** The commit that the delta leads to. */
  readonly commit: Commit;
  readonly parts: readonly DeltaPart[];
  readonly fallbacks: readonly DeltaFallback[];
  readonly metadata: Dictionary;
  /** Whether the superblock is wrapped in signatures. */
  readonly signed: boolean;
}

type WrittenPart = [version: number, checksum: Buffer, size: bigint, unpackedSize: bigint, objects: Buffer];
type WrittenFallback = [type: number, checksum: Buffer, size: bigint, unpackedSize: bigint];
type WrittenSuperblock = [Value, bigint, Buffer, Buffer, Value, Buffer, WrittenPart[], WrittenFallback[]];

/** Parses a delta's `superblock`, signed or not (signatures are not checked); FormatError, naming `path`, where it is none. */
export function parseSuperblock(bytes: Buffer, path: string): Superblock {
  if (bytes.length > MAX_METADATA_BYTES) refuse(path, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  const signed = bytes.subarray(0, SIGNED_MAGIC.length).equals(SIGNED_MAGIC);
  const inner = signed ? ((parseGVariant(SIGNED_SUPERBLOCK, bytes, path) as [bigint, Buffer, Value])[1] as Buffer) : bytes;
  const written = parseGVariant(SUPERBLOCK, inner, path) as WrittenSuperblock;
  const [dictionary, time, source, target, commit, prerequisites, parts, fallbacks] = written;
  const metadata = asDictionary(dictionary);
  const name = {
    from: source.length === 0 ? undefined : checksumFromBytes(source, path, 'the commit it starts from'),
    to: checksumFromBytes(target, path, 'the commit it leads to'),
  };
  if (prerequisites.length > 0) refuse(path, 'it needs other deltas to be applied first, which no known writer asks for');
  checkCommit(commit, name, path);
  const swapped = isBigEndian(metadata, path);
  return {
    ...name,
    timestamp: secondsOf(time, path),
    commit: commitOf(commit, path),
    parts: parts.map((part, index) => partOf(part, swapped, isInline(metadata, name, index), `${path}, part ${index}`)),
    fallbacks: fallbacks.map((fallback) => fallbackOf(fallback, swapped, path)),
    metadata,
    signed,
  };
}

/** The commit inside is written as its object is: the same bytes, the same checksum. */
function checkCommit(commit: Value, { to }: DeltaName, path: string): void {
  const actual = checksumOf(serializeGVariant(COMMIT, commit));
  if (actual !== to) refuse(path, `it holds the commit ${actual} and says that it leads to ${to}`);
}

/** Whether versions and sizes are big-endian; without a word they are as most machines write them. */
function isBigEndian(metadata: Dictionary, path: string): boolean {
  const order = lookUp(metadata, 'ostree.endianness', 'y') ?? LITTLE_ENDIAN;
  if (order !== LITTLE_ENDIAN && order !== BIG_ENDIAN) refuse(path, `its byte order is said to be ${order}, which is none`);
  return order === BIG_ENDIAN;
}

const isInline = (metadata: Dictionary, name: DeltaName, index: number): boolean => {
  const path = deltaPartPath(name, index);
  return metadata.some(([key]) => key === path);
};

function partOf(
  [version, checksum, size, unpackedSize, objects]: WrittenPart,
  swapped: boolean,
  inline: boolean,
  subject: string,
): DeltaPart {
  const actual = swapped ? swap32(version) : version;
  if (actual !== 0) refuse(subject, `it is of the version ${actual}, not 0`);
  if (objects.length % OBJECT_BYTES !== 0) refuse(subject, `its list of objects is ${objects.length} bytes long`);
  return {
    checksum: checksumFromBytes(checksum, subject, 'its checksum'),
    size: sizeOf(size, swapped, subject),
    unpackedSize: sizeOf(unpackedSize, swapped, subject),
    objects: Array.from({ length: objects.length / OBJECT_BYTES }, (_, index) => {
      const object = objects.subarray(index * OBJECT_BYTES, (index + 1) * OBJECT_BYTES);
      return {
        type: typeOf(object.readUInt8(0), subject),
        checksum: checksumFromBytes(object.subarray(1), subject, 'an object'),
      };
    }),
    inline,
  };
}

const fallbackOf = ([type, checksum, size, unpackedSize]: WrittenFallback, swapped: boolean, subject: string): DeltaFallback => ({
  type: typeOf(type, subject),
  checksum: checksumFromBytes(checksum, subject, 'a fallback object'),
  size: sizeOf(size, swapped, subject),
  unpackedSize: sizeOf(unpackedSize, swapped, subject),
});

function typeOf(type: number, subject: string): ObjectType {
  return isObjectType(type) ? type : refuse(subject, `it names an object of the unknown type ${type}`);
}

function sizeOf(written: bigint, swapped: boolean, subject: string): number {
  const size = swapped ? swap64(written) : written;
  if (size > Number.MAX_SAFE_INTEGER) refuse(subject, `it states a size of ${size} bytes`);
  return Number(size);
}

/** Parses a `delta-indexes/…` file: name of a delta -> sha256 of its superblock; FormatError, naming `path`, where it is none. */
export const parseDeltaIndex = (bytes: Buffer, path: string): Map<string, Checksum> =>
  deltasOf(parseDictionary(bytes, path), path);

/** The `delta-indexes/…` file of the deltas to one commit, as `ostree summary -u` (2022.7) writes it. */
export const makeDeltaIndex = (deltas: ReadonlyMap<string, Checksum>): Buffer =>
  serializeGVariant(DICTIONARY, [['ostree.static-deltas', writtenDeltas(deltas)]]);
