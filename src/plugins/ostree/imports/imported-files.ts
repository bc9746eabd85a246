import { sql } from '../../../db/sql.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { mapConcurrent } from '../../../lib/concurrent-map.ts';
import { type RepositoryFile, saveFiles } from '../content/file-saver.ts';
import type { UpstreamSummary } from '../content/made-files.ts';
import { storeBytes } from '../content/stored-bytes.ts';
import { type Checksum, checksumOf } from '../format/checksum.ts';
import { type DeltaName, parseDeltaPath, superblockPath } from '../format/delta-name.ts';
import { parseDictionary } from '../format/dictionary.ts';
import { ObjectType, objectPath } from '../format/object.ts';
import { parseSummary } from '../format/summary.ts';
import type { SelectedRef } from '../sync/commit-chains.ts';
import { DeltaFetcher, type DeltaFiles } from '../sync/delta-fetcher.ts';
import type { ImportedCommits } from './imported-commits.ts';
import type { TarRepository } from './tar-repository.ts';

const FILES_AT_ONCE = 16;

export interface ImportFilesOptions {
  readonly tar: TarRepository;
  readonly config: Buffer;
  readonly refs: readonly SelectedRef[];
  readonly commits: ImportedCommits;
  readonly repository_id: string;
  /** Whether the tar's config takes the place of the repository's. */
  readonly replacesConfig: boolean;
}

/** The files beside objects, saved. */
export interface ImportedFiles {
  readonly units: readonly string[];
  /** The tar's summary, where it is signed: one that is not is made anew. */
  readonly summary: UpstreamSummary | undefined;
}

/** Takes the config, the signatures of commits and of the summary, and the static deltas to the commits that are imported. */
export async function importFiles(options: ImportFilesOptions, context: TaskContext): Promise<ImportedFiles> {
  const { tar, config, commits, repository_id, replacesConfig } = options;
  const { services, task } = context;
  const files: RepositoryFile[] = [];
  const add = async (relative_path: string, bytes: Buffer): Promise<void> => {
    files.push({ relative_path, file: await storeBytes(bytes, services) });
  };
  if (replacesConfig || !(await hasConfig(repository_id, context))) await add('config', config);
  for (const commit of commits.ids.keys()) {
    const bytes = await tar.commitMeta(commit);
    if (!bytes) continue;
    const path = objectPath(commit, ObjectType.commitMeta);
    parseDictionary(bytes, path);
    await add(path, bytes);
  }
  const { known, fetched } = await importDeltas(tar, commits, context);
  const saved = await services.db.transaction((tx) => saveFiles(tx, services.storage, task.domain_id, [...files, ...fetched]));
  return { units: [...known, ...saved], summary: await signedSummary(tar) };
}

async function hasConfig(repositoryId: string, { services: { db } }: TaskContext): Promise<boolean> {
  const rows = await db.query(sql`
    select rc.content_id from repository_content rc join ostree_config f on f.id = rc.content_id
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null limit 1`);
  return rows.length > 0;
}

/** A summary or an index may be older than the deltas: what is taken is what is there. */
async function importDeltas(tar: TarRepository, { ids }: ImportedCommits, context: TaskContext): Promise<DeltaFiles> {
  const wanted = tar.pathsBelow('deltas').flatMap((path) => {
    const parsed = parseDeltaPath(path);
    return parsed?.file === 'superblock' && ids.has(parsed.delta.to) ? [parsed.delta] : [];
  });
  const fetcher = new DeltaFetcher({ context, client: tar, onFetched: () => undefined, signal: context.signal });
  const fetch = async (name: DeltaName) => fetcher.delta(name, await superblockChecksum(tar, name));
  const known: string[] = [];
  const fetched: RepositoryFile[] = [];
  for await (const files of mapConcurrent(wanted, fetch, { limit: FILES_AT_ONCE, signal: context.signal })) {
    known.push(...files.known);
    fetched.push(...files.fetched);
  }
  return { known, fetched };
}

async function superblockChecksum(tar: TarRepository, name: DeltaName): Promise<Checksum> {
  const path = superblockPath(name);
  const bytes = await tar.small(path);
  if (!bytes) throw new Error(`${path} went while the tar was read`);
  return checksumOf(bytes);
}

async function signedSummary(tar: TarRepository): Promise<UpstreamSummary | undefined> {
  const bytes = await tar.summary();
  const signature = bytes && (await tar.summarySignature());
  if (!bytes || !signature) return undefined;
  parseSummary(bytes);
  parseDictionary(signature, 'summary.sig');
  return { bytes, signature };
}
