import type { TaskContext } from '../../../kit/define-task.ts';
import { forEachConcurrent } from '../../../lib/concurrent-map.ts';
import { type RepositoryFile, saveFiles } from '../content/file-saver.ts';
import { readStored, storeBytes } from '../content/stored-bytes.ts';
import type { Checksum } from '../format/checksum.ts';
import { type DeltaName, deltaIndexPath, deltaNameText, parseDeltaName, parseDeltaPath } from '../format/delta-name.ts';
import { parseDictionary } from '../format/dictionary.ts';
import { ObjectType, objectPath } from '../format/object.ts';
import type { OstreeClient } from '../format/ostree-client.ts';
import { parseDeltaIndex } from '../format/static-delta.ts';
import { parseSummary } from '../format/summary.ts';
import { DeltaFetcher } from './delta-fetcher.ts';
import { type LatestFile, latestCommits, latestFiles } from './latest-version.ts';
import { parsing } from './parsing.ts';
import type { UpstreamMetadata } from './upstream-metadata.ts';

const FILES_AT_ONCE = 64;
const DELTAS_AT_ONCE = 8;

export interface RepositoryFilesOptions {
  readonly context: TaskContext;
  readonly client: OstreeClient;
  readonly repositoryId: string;
  readonly upstream: UpstreamMetadata;
  /** The commits that are mirrored. */
  readonly commits: readonly Checksum[];
  /** Told of each file that was fetched. */
  readonly onFetched: () => void;
  readonly signal: AbortSignal;
}

/**
 * Mirrors the files beside objects: config, signatures of commits, static deltas. Answers the ids of their units. Where the summary is
 * the one of the latest version, only commits that had signatures are asked for them, and no index of deltas is.
 */
export async function syncFiles(options: RepositoryFilesOptions): Promise<string[]> {
  const { context, repositoryId, commits, upstream } = options;
  const { services, task } = context;
  const latest = await latestFiles(services.db, repositoryId);
  const present = await latestCommits(services.db, repositoryId, commits);
  const isUnchanged = await hasSameSummary(latest.get('summary'), options);
  const files = new FileSync(options, latest, (commit) => isUnchanged && present.has(commit));
  await files.add('config', upstream.configBytes);
  await files.signatures();
  await files.deltas();
  const saved = await services.db.transaction((tx) => saveFiles(tx, services.storage, task.domain_id, files.fetched));
  return [...files.kept, ...saved];
}

/** Whether the upstream's summary is the one that the latest version's is, or was made from. */
async function hasSameSummary(latest: LatestFile | undefined, { upstream, context }: RepositoryFilesOptions): Promise<boolean> {
  // Without one, nothing can be told of the repository: what is here of a commit is taken for all.
  if (!upstream.summary) return true;
  if (!latest) return false;
  const bytes = await readStored(latest.file, context.services);
  if (!bytes) return false;
  const { lastModified } = upstream.summary.summary;
  return (
    bytes.equals(upstream.summary.bytes) || (lastModified !== undefined && parseSummary(bytes).lastModified === lastModified)
  );
}

class FileSync {
  readonly #options: RepositoryFilesOptions;
  readonly #latest: ReadonlyMap<string, LatestFile>;
  readonly #isUnchanged: (commit: Checksum) => boolean;
  /** To be saved. */
  readonly fetched: RepositoryFile[] = [];
  /** Ids of units that are known. */
  readonly kept: string[] = [];

  constructor(
    options: RepositoryFilesOptions,
    latest: ReadonlyMap<string, LatestFile>,
    isUnchanged: (commit: Checksum) => boolean,
  ) {
    this.#options = options;
    this.#latest = latest;
    this.#isUnchanged = isUnchanged;
  }

  async add(relative_path: string, bytes: Buffer): Promise<void> {
    this.fetched.push({ relative_path, file: await storeBytes(bytes, this.#options.context.services) });
  }

  /** Detached metadata of commits. It may change while the commit stays: what there was is asked for again. */
  async signatures(): Promise<void> {
    const { client, commits, onFetched, signal } = this.#options;
    const asked = commits.filter(
      (commit) => !this.#isUnchanged(commit) || this.#latest.has(objectPath(commit, ObjectType.commitMeta)),
    );
    const ask = async (commit: Checksum): Promise<void> => {
      const path = objectPath(commit, ObjectType.commitMeta);
      const bytes = await client.commitMeta(commit, signal);
      if (!bytes) return;
      parsing(client.place(path), () => parseDictionary(bytes, path));
      await this.add(path, bytes);
      onFetched();
    };
    await forEachConcurrent(asked, ask, { limit: FILES_AT_ONCE, signal });
  }

  /** Static deltas to the mirrored commits. */
  async deltas(): Promise<void> {
    const { context, client, onFetched, signal } = this.#options;
    const fetcher = new DeltaFetcher({ context, client, onFetched, signal });
    const fetch = async ([name, superblock]: readonly [string, Checksum]): Promise<void> => {
      const { known, fetched } = await fetcher.delta(parseDeltaName(name) as DeltaName, superblock);
      this.kept.push(...known);
      this.fetched.push(...fetched);
    };
    await forEachConcurrent(await this.#deltaNames(), fetch, { limit: DELTAS_AT_ONCE, signal });
  }

  /** From the summary, or from the indexes where the summary leaves them out. */
  async #deltaNames(): Promise<ReadonlyMap<string, Checksum>> {
    const { upstream, commits } = this.#options;
    const summary = upstream.summary?.summary;
    const wanted = new Set(commits);
    if (summary && summary.staticDeltas.size > 0) {
      return new Map([...summary.staticDeltas].filter(([name]) => wanted.has((parseDeltaName(name) as DeltaName).to)));
    }
    if (!(summary?.indexedDeltas || upstream.config.indexedDeltas)) return new Map();
    this.#keepDeltas(new Set(commits.filter(this.#isUnchanged)));
    return this.#indexed(commits.filter((commit) => !this.#isUnchanged(commit)));
  }

  #keepDeltas(commits: ReadonlySet<Checksum>): void {
    for (const { relative_path, id } of this.#latest.values()) {
      const path = parseDeltaPath(relative_path);
      if (path && commits.has(path.delta.to)) this.kept.push(id);
    }
  }

  async #indexed(commits: readonly Checksum[]): Promise<ReadonlyMap<string, Checksum>> {
    const { client, signal } = this.#options;
    const names = new Map<string, Checksum>();
    const ask = async (commit: Checksum): Promise<void> => {
      const path = deltaIndexPath(commit);
      const bytes = await client.small(path, signal);
      if (!bytes) return;
      for (const [text, superblock] of parsing(client.place(path), () => parseDeltaIndex(bytes, path))) {
        const name = parseDeltaName(text) as DeltaName;
        if (name.to === commit) names.set(deltaNameText(name), superblock);
      }
    };
    await forEachConcurrent(commits, ask, { limit: FILES_AT_ONCE, signal });
    return names;
  }
}
