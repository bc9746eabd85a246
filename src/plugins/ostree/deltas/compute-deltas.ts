import { createReadStream, type Stats } from 'node:fs';
import { lstat, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type StoredFile, storedFile } from '../../../core/plugin-api.ts';
import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import type { Services } from '../../../kit/services.ts';
import { RunningChecksums } from '../../../lib/checksums.ts';
import { MissingProgramError, ProgramError } from '../../../lib/run-program.ts';
import { codeOf } from '../../../storage/full-disk.ts';
import { artifactKey } from '../../../storage/layout.ts';
import { ProcessFolder } from '../../../storage/process-folder.ts';
import { type RepositoryFile, saveFiles } from '../content/file-saver.ts';
import { storeBytes } from '../content/stored-bytes.ts';
import type { Checksum } from '../format/checksum.ts';
import { type DeltaName, deltaFolder, deltaNameText, deltaPartPath, superblockPath } from '../format/delta-name.ts';
import { FormatError, refuse } from '../format/format-error.ts';
import { MAX_METADATA_BYTES } from '../format/object.ts';
import { type DeltaPart, parseSuperblock } from '../format/static-delta.ts';
import { latestFiles } from '../sync/latest-version.ts';
import { layOutRepository } from './delta-repository.ts';
import { runOstree } from './ostree-program.ts';

/** Bytes of a delta's parts together: a delta is there to be smaller than what it leads to. */
const MAX_DELTA_BYTES = 8 * 1024 * 1024 * 1024;

/** From a commit to one that follows it; both are saved, with all that they consist of. */
export interface WantedDelta extends DeltaName {
  readonly from: Checksum;
}

/** Whether a repository wants static deltas to be made (`compute_delta`). */
export async function computesDeltas(db: Database, repositoryId: string): Promise<boolean> {
  const [row] = await db.query<{ compute_delta: boolean }>(sql`
    select compute_delta from ostree_repository where id = ${repositoryId}::uuid`);
  return row?.compute_delta === true;
}

/** From the parent of each ref's commit, where there is one, to that commit. `parents`: commit -> parent, of all that are saved. */
export function deltasTo(
  refs: readonly { readonly commit: Checksum }[],
  parents: ReadonlyMap<Checksum, Checksum | undefined>,
): WantedDelta[] {
  const heads = new Set(refs.map(({ commit }) => commit));
  return [...heads].flatMap((to) => {
    const from = parents.get(to);
    return from === undefined ? [] : [{ from, to }];
  });
}

/**
 * Makes static deltas by the real `ostree`, proves them and saves their files, save for those that are among `units` (ids of what the
 * coming version gets anyway). Answers the ids of their units, those that the repository's latest version has already included. A delta
 * is a convenience: where one cannot be made, a progress report and the log say why, and the task goes on. Throws the signal's reason,
 * and what database and storage throw.
 */
export async function computeDeltas(
  context: TaskContext,
  repositoryId: string,
  deltas: readonly WantedDelta[],
  units: readonly string[],
): Promise<string[]> {
  const { services, task } = context;
  const coming = await superblocksAmong(services, units, deltas);
  const missing = deltas.filter((delta) => !coming.has(superblockPath(delta)));
  if (missing.length === 0) return [];
  const latest = [...(await latestFiles(services.db, repositoryId)).values()];
  const kept: string[] = [];
  const wanted: WantedDelta[] = [];
  for (const delta of missing) {
    const present = latest.filter(({ relative_path }) => relative_path.startsWith(`${deltaFolder(delta)}/`));
    if (present.some(({ relative_path }) => relative_path === superblockPath(delta))) kept.push(...present.map(({ id }) => id));
    else wanted.push(delta);
  }
  const made = await makeDeltas(context, wanted);
  return [...kept, ...(await services.db.transaction((tx) => saveFiles(tx, services.storage, task.domain_id, made)))];
}

async function superblocksAmong(
  { db }: Services,
  units: readonly string[],
  deltas: readonly WantedDelta[],
): Promise<ReadonlySet<string>> {
  if (deltas.length === 0) return new Set();
  const rows = await db.query<{ relative_path: string }>(sql`
    select relative_path from ostree_content
    where id = any(${units}::uuid[]) and relative_path = any(${deltas.map(superblockPath)}::text[])`);
  return new Set(rows.map(({ relative_path }) => relative_path));
}

async function makeDeltas(context: TaskContext, wanted: readonly WantedDelta[]): Promise<RepositoryFile[]> {
  if (wanted.length === 0) return [];
  const folder = new ProcessFolder(join(context.services.config.DATA_DIR, 'work'), context.log);
  await folder.open();
  const files: RepositoryFile[] = [];
  try {
    for (const delta of wanted) {
      const repository = join(folder.path, deltaNameText(delta));
      try {
        files.push(...(await makeDelta(context, delta, repository)));
      } catch (error) {
        if (!(error instanceof MissingProgramError || error instanceof ProgramError || error instanceof FormatError)) throw error;
        tellSkipped(context, error);
        if (error instanceof MissingProgramError) return files;
      } finally {
        await rm(repository, { recursive: true, force: true });
      }
    }
  } finally {
    await folder.close();
  }
  return files;
}

function tellSkipped(context: TaskContext, error: Error): void {
  context.log.warn({ err: error }, 'a static delta was not made; clients fetch the objects one by one');
  context.progress('computing.deltas', `Skipping static deltas: ${error.message}`).complete();
}

async function makeDelta(context: TaskContext, delta: WantedDelta, repository: string): Promise<RepositoryFile[]> {
  const { services, task, signal } = context;
  if (!(await layOutRepository(repository, [delta.from, delta.to], task.domain_id, services, signal))) {
    throw new ProgramError(`the objects of ${delta.from} or ${delta.to} are not all stored here`);
  }
  const ends = [`--from=${delta.from}`, `--to=${delta.to}`];
  await runOstree([`--repo=${repository}`, 'static-delta', 'generate', ...ends], dirname(repository), signal);
  return readDelta(repository, delta, services, signal);
}

/** The files of the delta that was made, stored: the superblock says what the parts are. */
async function readDelta(
  repository: string,
  delta: WantedDelta,
  services: Services,
  signal: AbortSignal,
): Promise<RepositoryFile[]> {
  const path = superblockPath(delta);
  const { size } = await made(join(repository, path), path);
  if (size > MAX_METADATA_BYTES) refuse(path, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  const bytes = await readFile(join(repository, path));
  const { from, to, parts } = parseSuperblock(bytes, path);
  if (from !== delta.from || to !== delta.to) refuse(path, 'it is of another delta');
  const total = parts.reduce((sum, part) => sum + part.size, 0);
  if (total > MAX_DELTA_BYTES) refuse(path, `its parts have ${total} bytes: ${MAX_DELTA_BYTES} are the most`);
  const files: RepositoryFile[] = [];
  for (const [index, part] of parts.entries()) {
    if (part.inline) continue;
    const relative_path = deltaPartPath(delta, index);
    files.push({ relative_path, file: await storePart(join(repository, relative_path), relative_path, part, services, signal) });
  }
  return [...files, { relative_path: path, file: await storeBytes(bytes, services) }];
}

/** What the file system says of a file, which is none where it is a link. */
async function made(file: string, path: string): Promise<Stats> {
  const stats = await lstat(file).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  return stats?.isFile() ? stats : refuse(path, 'it was not made');
}

async function storePart(
  source: string,
  path: string,
  { checksum, size }: DeltaPart,
  { storage, config }: Services,
  signal: AbortSignal,
): Promise<StoredFile> {
  if ((await made(source, path)).size !== size) refuse(path, 'it is not what its superblock says');
  const running = new RunningChecksums(config.PULP_ALLOWED_CONTENT_CHECKSUMS);
  const pending = await storage.create();
  try {
    let read = 0;
    for await (const chunk of createReadStream(source, { signal }) as AsyncIterable<Buffer>) {
      running.update(chunk);
      read += chunk.length;
      await pending.write(chunk);
    }
    const file = storedFile(read, running.finish());
    if (read !== size || file.checksums.sha256 !== checksum) refuse(path, 'it is not what its superblock says');
    await pending.commit(artifactKey(checksum));
    return file;
  } catch (error) {
    await pending.abort();
    throw error;
  }
}
