import { compareBytes } from './byte-order.ts';
import { type Checksum, checksumFromBytes, checksumToBytes } from './checksum.ts';
import { secondsOf } from './commit.ts';
import { deltaNameText, parseDeltaName } from './delta-name.ts';
import { asDictionary, type Dictionary, lookUp } from './dictionary.ts';
import { refuse } from './format-error.ts';
import { parseGVariant, swap64, type Value, type Variant } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { serializeGVariant } from './gvariant-writer.ts';
import { hashTableOrder } from './hash-table-order.ts';
import { isRefName } from './ref-name.ts';

/** Bytes of a summary; one of 25,000 refs has 10 MB. */
export const MAX_SUMMARY_BYTES = 64 * 1024 * 1024;

/** Refs: name, (size, checksum, metadata) of its commit. Metadata of the repository. */
const SUMMARY = gvariantType('(a(s(taya{sv}))a{sv})');
const COLLECTIONS_TYPE = 'a{sa(s(taya{sv}))}';
const SUBJECT = 'summary';

/** A ref as a summary tells it. */
export interface SummaryRef {
  readonly name: string;
  readonly commit: Checksum;
  /** Bytes of the commit object. */
  readonly commitSize: number;
  /** Time of the commit, in seconds since 1970; undefined where the summary does not say. */
  readonly timestamp: number | undefined;
  readonly version: string | undefined;
}

export interface Summary {
  readonly refs: readonly SummaryRef[];
  /** Refs of further collections, by collection id. */
  readonly collections: ReadonlyMap<string, readonly SummaryRef[]>;
  /** Name of a delta (`from-to` or `to`) -> sha256 of its superblock. Empty where the summary does not tell. */
  readonly staticDeltas: ReadonlyMap<string, Checksum>;
  /** Whether `delta-indexes/` tell the deltas. */
  readonly indexedDeltas: boolean;
  /** Seconds since 1970. */
  readonly lastModified: number | undefined;
  readonly collectionId: string | undefined;
  /** `archive-z2` as a rule. */
  readonly mode: string | undefined;
  readonly tombstoneCommits: boolean;
  /** All of the repository's metadata, the above included. */
  readonly metadata: Dictionary;
}

type WrittenRef = [name: string, commit: [size: bigint, checksum: Buffer, metadata: Value]];

/** Parses a repository's `summary`; FormatError where it is none or names what cannot be a ref, a commit or a delta. */
export function parseSummary(bytes: Buffer): Summary {
  if (bytes.length > MAX_SUMMARY_BYTES) refuse(SUBJECT, `it is larger than ${MAX_SUMMARY_BYTES} bytes`);
  const [refs, written] = parseGVariant(SUMMARY, bytes, SUBJECT) as [WrittenRef[], Value];
  const metadata = asDictionary(written);
  const lastModified = lookUp(metadata, 'ostree.summary.last-modified', 't');
  const collections = (lookUp(metadata, 'ostree.summary.collection-map', COLLECTIONS_TYPE) ?? []) as [string, WrittenRef[]][];
  return {
    refs: refsOf(refs),
    collections: new Map(collections.map(([id, refs]) => [id, refsOf(refs)])),
    staticDeltas: deltasOf(metadata, SUBJECT),
    indexedDeltas: lookUp(metadata, 'ostree.summary.indexed-deltas', 'b') ?? false,
    lastModified: lastModified === undefined ? undefined : secondsOf(lastModified, SUBJECT),
    collectionId: lookUp(metadata, 'ostree.summary.collection-id', 's'),
    mode: lookUp(metadata, 'ostree.summary.mode', 's'),
    tombstoneCommits: lookUp(metadata, 'ostree.summary.tombstone-commits', 'b') ?? false,
    metadata,
  };
}

function refsOf(written: readonly WrittenRef[]): SummaryRef[] {
  const refs = written.map(refOf);
  const names = new Set<string>();
  for (const { name } of refs) {
    if (names.has(name)) refuse(SUBJECT, `it names the ref ${name} twice`);
    names.add(name);
  }
  return refs;
}

function refOf([name, [size, checksum, written]]: WrittenRef): SummaryRef {
  if (!isRefName(name)) refuse(SUBJECT, `${JSON.stringify(name.slice(0, 255))} is not the name of a ref`);
  const metadata = asDictionary(written);
  const timestamp = lookUp(metadata, 'ostree.commit.timestamp', 't');
  return {
    name,
    commit: checksumFromBytes(checksum, SUBJECT, `the checksum of the ref ${name}`),
    commitSize: sizeOf(size, name),
    timestamp: timestamp === undefined ? undefined : secondsOf(timestamp, SUBJECT),
    version: lookUp(metadata, 'ostree.commit.version', 's'),
  };
}

/** Sizes are in the byte order of the machine that made the summary: what is absurd in one is read in the other. */
function sizeOf(written: bigint, name: string): number {
  const size = written <= Number.MAX_SAFE_INTEGER ? written : swap64(written);
  if (size > Number.MAX_SAFE_INTEGER) refuse(SUBJECT, `the commit of the ref ${name} is said to have ${size} bytes`);
  return Number(size);
}

/** `ostree.static-deltas` of a summary's metadata or of a delta index: name -> sha256 of the superblock; empty where there is none. */
export function deltasOf(dictionary: Dictionary, subject: string): Map<string, Checksum> {
  const deltas = new Map<string, Checksum>();
  for (const [text, { type, value }] of asDictionary(lookUp(dictionary, 'ostree.static-deltas', 'a{sv}') ?? [])) {
    const name = parseDeltaName(text);
    if (!name) return refuse(subject, `${JSON.stringify(text.slice(0, 140))} is not the name of a static delta`);
    if (type !== 'ay') refuse(subject, `the superblock of the static delta ${text} has no checksum`);
    deltas.set(
      deltaNameText(name),
      checksumFromBytes(value as Buffer, subject, `the superblock checksum of the static delta ${text}`),
    );
  }
  return deltas;
}

/** What a summary is made of. */
export interface SummaryParts {
  /** In any order; a name once. */
  readonly refs: readonly SummaryRef[];
  /** Refs of further collections, by collection id. */
  readonly collections?: ReadonlyMap<string, readonly SummaryRef[]>;
  /** Name of a delta (`from-to` or `to`) -> sha256 of its superblock. */
  readonly staticDeltas: ReadonlyMap<string, Checksum>;
  readonly indexedDeltas: boolean;
  /** Seconds since 1970. */
  readonly lastModified: number;
  readonly collectionId: string | undefined;
  readonly tombstoneCommits: boolean;
}

/**
 * The `summary` of an archive repository: the bytes that `ostree summary -u` (2022.7) writes for the same refs, deltas and time, as
 * far as those do not follow from the order of a directory (see hashTableOrder). The same parts make the same bytes.
 */
export function makeSummary(parts: SummaryParts): Buffer {
  const collections = [...(parts.collections ?? [])].sort(([a], [b]) => compareBytes(a, b));
  // The order is that of the slots that these names have in GLib's hash table, whichever of them are present.
  const metadata: [string, Variant][] = [
    ['ostree.summary.mode', { type: 's', value: 'archive-z2' }],
    ['ostree.summary.last-modified', writtenSeconds(parts.lastModified)],
    ['ostree.summary.tombstone-commits', { type: 'b', value: parts.tombstoneCommits }],
  ];
  if (parts.staticDeltas.size > 0) metadata.push(['ostree.static-deltas', writtenDeltas(parts.staticDeltas)]);
  if (collections.length > 0) {
    const value = collections.map(([id, refs]) => [id, writtenRefs(refs)]);
    metadata.push(['ostree.summary.collection-map', { type: COLLECTIONS_TYPE, value }]);
  }
  metadata.push(['ostree.summary.indexed-deltas', { type: 'b', value: parts.indexedDeltas }]);
  if (parts.collectionId !== undefined) metadata.push(['ostree.summary.collection-id', { type: 's', value: parts.collectionId }]);
  return serializeGVariant(SUMMARY, [writtenRefs(parts.refs), metadata]);
}

const writtenSeconds = (seconds: number): Variant => ({ type: 't', value: swap64(BigInt(seconds)) });

const writtenRefs = (refs: readonly SummaryRef[]): Value =>
  refs
    .toSorted((a, b) => compareBytes(a.name, b.name))
    .map((ref) => {
      const metadata: [string, Variant][] = [];
      if (ref.version !== undefined) metadata.push(['ostree.commit.version', { type: 's', value: ref.version }]);
      if (ref.timestamp !== undefined) metadata.push(['ostree.commit.timestamp', writtenSeconds(ref.timestamp)]);
      return [ref.name, [BigInt(ref.commitSize), checksumToBytes(ref.commit), metadata]];
    });

/** `ostree.static-deltas`, for a summary or a delta index. */
export function writtenDeltas(deltas: ReadonlyMap<string, Checksum>): Variant {
  const sorted = new Map([...deltas].sort(([a], [b]) => compareBytes(a, b)));
  const value = hashTableOrder(sorted).map(([name, checksum]): [string, Variant] => [
    name,
    { type: 'ay', value: checksumToBytes(checksum) },
  ]);
  return { type: 'a{sv}', value };
}
