import type { Services } from '../../../kit/services.ts';
import type { Checksum } from '../format/checksum.ts';
import { parseRepoConfig } from '../format/config.ts';
import {
  type DeltaName,
  deltaIndexPath,
  deltaNameText,
  parseDeltaIndexPath,
  parseDeltaName,
  parseDeltaPath,
} from '../format/delta-name.ts';
import { ObjectType, parseObjectPath } from '../format/object.ts';
import { makeDeltaIndex } from '../format/static-delta.ts';
import { makeSummary, parseSummary, type Summary, type SummaryParts } from '../format/summary.ts';
import type { ComingFile, ComingVersion } from './coming-version.ts';
import { readStored } from './stored-bytes.ts';

const CONFIG = 'config';
/** As `ostree init --mode=archive` writes it. Without a config nobody can pull. */
const PLAIN_CONFIG = '[core]\nrepo_version=1\nmode=archive-z2\n';

export const SUMMARY = 'summary';
export const SUMMARY_SIGNATURE = 'summary.sig';

/** A summary as it came from upstream, with its signature. */
export interface UpstreamSummary {
  readonly bytes: Buffer;
  readonly signature: Buffer | undefined;
}

/** What follows from the rest of a version. */
export interface MadeFiles {
  /** Path -> bytes. */
  readonly write: ReadonlyMap<string, Buffer>;
  /** Ids of units that stay or come back. */
  readonly keep: readonly string[];
  /** Ids of units that are not to be there, unless they are kept or written. */
  readonly drop: readonly string[];
}

export interface MadeFilesOptions {
  readonly upstream: UpstreamSummary | undefined;
  /** Seconds since 1970 that a summary made here says. */
  readonly lastModified: number;
}

/**
 * The files that follow from the refs and static deltas that a version will hold: the indexes of deltas, the summary and its
 * signature, and a config where there is none. Files about commits that it will not hold are dropped.
 */
export async function madeFiles(
  coming: ComingVersion,
  options: MadeFilesOptions,
  services: Pick<Services, 'storage'>,
): Promise<MadeFiles> {
  const files = [...coming.files.values()];
  const about = new Map(files.map((file) => [file, commitOf(file.relative_path)]));
  const held = await coming.held([...new Set([...about.values()].filter((commit) => commit !== undefined))]);
  const isHeld = (commit: Checksum | undefined): boolean => commit === undefined || held.has(commit);
  const stale = files.filter((file) => !isHeld(about.get(file)));
  const deltas = deltasOf(files.filter((file) => !stale.includes(file)));
  const write = new Map([...indexesOf(deltas)].map(([to, index]) => [deltaIndexPath(to), makeDeltaIndex(index)]));
  const indexes = files.filter(({ relative_path }) => parseDeltaIndexPath(relative_path) !== undefined);
  const drop = [...stale, ...indexes].map(({ id }) => id);
  const parts = await summaryParts(coming, deltas, options.lastModified, services);
  const summary = await chosenSummary(coming, parts, options.upstream, (commit) => held.has(commit), services);
  for (const [path, bytes] of summary.write) write.set(path, bytes);
  if (parts.refs.length > 0 && !coming.files.has(CONFIG)) write.set(CONFIG, Buffer.from(PLAIN_CONFIG));
  return { write, keep: summary.keep, drop: [...drop, ...summary.drop] };
}

/** The commit without which a file is of no use: the one that a delta leads to, or that detached metadata is of. */
function commitOf(path: string): Checksum | undefined {
  const object = parseObjectPath(path);
  if (object) return object.type === ObjectType.commitMeta ? object.checksum : undefined;
  return parseDeltaPath(path)?.delta.to ?? parseDeltaIndexPath(path);
}

/** Name of a delta -> sha256 of its superblock. */
function deltasOf(files: readonly ComingFile[]): Map<string, Checksum> {
  const deltas = new Map<string, Checksum>();
  for (const { relative_path, sha256 } of files) {
    const path = parseDeltaPath(relative_path);
    if (path?.file === 'superblock') deltas.set(deltaNameText(path.delta), sha256);
  }
  return deltas;
}

/** By the commit that they lead to. */
function indexesOf(deltas: ReadonlyMap<string, Checksum>): Map<Checksum, Map<string, Checksum>> {
  const indexes = new Map<Checksum, Map<string, Checksum>>();
  for (const [name, superblock] of deltas) {
    const { to } = parseDeltaName(name) as DeltaName;
    const index = indexes.get(to) ?? new Map<string, Checksum>();
    indexes.set(to, index.set(name, superblock));
  }
  return indexes;
}

/** Refs whose commits were removed by themselves are not told of. */
async function summaryParts(
  coming: ComingVersion,
  staticDeltas: ReadonlyMap<string, Checksum>,
  lastModified: number,
  services: Pick<Services, 'storage'>,
): Promise<SummaryParts> {
  const config = coming.files.get(CONFIG);
  const collectionId = config && parseRepoConfig((await read(config, services)).toString()).collectionId;
  const refs = coming.refs
    .filter((ref) => ref.held)
    .map(({ name, commit, commit_size, timestamp, version }) => ({
      name,
      commit,
      commitSize: commit_size,
      timestamp,
      version: version ?? undefined,
    }));
  return { refs, staticDeltas, indexedDeltas: true, lastModified, collectionId, tombstoneCommits: false };
}

/** The upstream's summary, one that was added, or the latest version's, whichever says what the version holds; else one made for it. */
async function chosenSummary(
  { files, latest }: ComingVersion,
  parts: SummaryParts,
  upstream: UpstreamSummary | undefined,
  isHeld: (commit: Checksum) => boolean,
  services: Pick<Services, 'storage'>,
): Promise<MadeFiles> {
  const coming = { summary: files.get(SUMMARY), signature: files.get(SUMMARY_SIGNATURE) };
  const old = { summary: latest.get(SUMMARY), signature: latest.get(SUMMARY_SIGNATURE) };
  const drop = [coming.summary, coming.signature, old.summary, old.signature].flatMap((file) => file?.id ?? []);
  if (upstream && tellsOf(parseSummary(upstream.bytes), parts, isHeld)) {
    const write = new Map([[SUMMARY, upstream.bytes]]);
    if (upstream.signature) write.set(SUMMARY_SIGNATURE, upstream.signature);
    return { write, keep: [], drop };
  }
  const added = coming.summary?.added
    ? { ...coming, signature: coming.signature?.added ? coming.signature : undefined }
    : undefined;
  for (const { summary, signature } of [added, old].flatMap((candidate) => candidate ?? [])) {
    if (!summary) continue;
    const stored = await readStored(summary.file, services);
    const told = stored && parseSummary(stored);
    if (!told || !tellsOf(told, parts, isHeld) || (!signature && told.staticDeltas.size !== parts.staticDeltas.size)) continue;
    return { write: new Map(), keep: [summary, signature].flatMap((file) => file?.id ?? []), drop };
  }
  const isNeeded = parts.refs.length > 0 || coming.summary !== undefined || upstream !== undefined;
  return { write: new Map(isNeeded ? [[SUMMARY, makeSummary(parts)]] : []), keep: [], drop };
}

/** Whether a summary tells of the refs, and of no delta that is not there. Deltas that it leaves out are found by their indexes. */
function tellsOf(summary: Summary, parts: SummaryParts, isHeld: (commit: Checksum) => boolean): boolean {
  const wanted = new Map(parts.refs.map(({ name, commit }) => [name, commit]));
  if (summary.refs.length !== wanted.size || summary.refs.some(({ name, commit }) => wanted.get(name) !== commit)) return false;
  if (summary.collections.size > 0 || summary.collectionId !== parts.collectionId) return false;
  for (const [name, superblock] of summary.staticDeltas) {
    const mine = parts.staticDeltas.get(name);
    if (mine !== superblock && (mine !== undefined || isHeld((parseDeltaName(name) as DeltaName).to))) return false;
  }
  return summary.indexedDeltas || [...parts.staticDeltas.keys()].every((name) => summary.staticDeltas.has(name));
}

const read = ({ file }: ComingFile, { storage }: Pick<Services, 'storage'>): Promise<Buffer> => storage.readWhole(file);
