import { type Checksum, checksumFromBytes, checksumOf } from './checksum.ts';
import { asDictionary, lookUp } from './dictionary.ts';
import { refuse, type Subject } from './format-error.ts';
import { parseGVariant, swap64, type Value } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { MAX_METADATA_BYTES, ObjectType, objectName } from './object.ts';

/** metadata, parent, related objects, subject, body, time (big-endian), root tree, root meta. */
export const COMMIT_TYPE = '(a{sv}aya(say)sstayay)';
const COMMIT = gvariantType(COMMIT_TYPE);

/** What of a commit others depend on. Its texts and metadata, which may have megabytes, are checked and not kept: histories are long. */
export interface Commit {
  /** Undefined for the first of a history. */
  readonly parent: Checksum | undefined;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly rootTree: Checksum;
  readonly rootMeta: Checksum;
  /** `version` of the metadata: what `ostree log` and the summary show. */
  readonly version: string | undefined;
}

/** The commit that the bytes are; FormatError where they are none. Whether they are the ones asked for: see verifyMetadata. */
export function parseCommit(bytes: Buffer): Commit {
  const subject = () => objectName(checksumOf(bytes), ObjectType.commit);
  if (bytes.length > MAX_METADATA_BYTES) refuse(subject, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  return commitOf(parseGVariant(COMMIT, bytes, subject), subject);
}

/** The commit of a parsed value of COMMIT_TYPE: a superblock has one inside. */
export function commitOf(value: Value, subject: Subject): Commit {
  const [metadata, parent, related, , , timestamp, tree, meta] = value as [
    Value,
    Buffer,
    [string, Buffer][],
    string,
    string,
    bigint,
    Buffer,
    Buffer,
  ];
  for (const [, checksum] of related) checksumFromBytes(checksum, subject, 'the checksum of a related object');
  return {
    parent: parent.length === 0 ? undefined : checksumFromBytes(parent, subject, 'the checksum of the parent'),
    timestamp: secondsOf(timestamp, subject),
    rootTree: checksumFromBytes(tree, subject, 'the checksum of the root tree'),
    rootMeta: checksumFromBytes(meta, subject, 'the checksum of the root meta'),
    version: lookUp(asDictionary(metadata), 'version', 's'),
  };
}

/** Seconds since 1970, of a number read little-endian that was written big-endian. */
export function secondsOf(written: bigint, subject: Subject): number {
  const seconds = swap64(written);
  if (seconds > BigInt(Number.MAX_SAFE_INTEGER)) refuse(subject, `its time, ${seconds} seconds, is no time`);
  return Number(seconds);
}
