import { createHash } from 'node:crypto';
import { sql } from '../../db/sql.ts';
import type { WantedFile } from '../../kit/served-file.ts';
import type { Services } from '../../kit/services.ts';
import type { UnitFile, UnitFiles } from '../../kit/unit-files.ts';
import { RunningChecksums } from '../../lib/checksums.ts';
import { artifactKey } from '../../storage/layout.ts';
import { MissingFileError, type StoredStat } from '../../storage/storage.ts';
import { linkArtifacts, type StoredFile, saveArtifacts, storedFile } from '../artifacts/save-artifacts.ts';
import { DAMAGE_CHANNEL } from '../files/stored-files.ts';

/** An artifact whose file is looked at. */
export interface CheckedArtifact {
  readonly id: string;
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/** What is wrong with a file. */
export type Flaw = { readonly kind: 'missing' } | { readonly kind: 'corrupted'; readonly found: StoredStat };

type FileServices = Pick<Services, 'db' | 'storage' | 'config'>;

/** What is wrong with the artifact's file; undefined where it is as it should be. With `verify` all its bytes are read. */
export async function flawOf(
  { storage }: Pick<Services, 'storage'>,
  { file, size, sha256 }: CheckedArtifact,
  verify: boolean,
  signal: AbortSignal,
): Promise<Flaw | undefined> {
  const found = await storage.stat(file);
  if (!found) return { kind: 'missing' };
  if (found.size !== size) return { kind: 'corrupted', found };
  if (!verify) return undefined;
  try {
    const hash = createHash('sha256');
    for await (const chunk of await storage.read(file)) {
      signal.throwIfAborted();
      hash.update(chunk as Buffer);
    }
    return hash.digest('hex') === sha256 ? undefined : { kind: 'corrupted', found };
  } catch (error) {
    if (error instanceof MissingFileError) return { kind: 'missing' };
    throw error;
  }
}

/** Takes a damaged file out of its place, where nobody is served it any more; it is kept. Nothing is done where it was replaced meanwhile. */
export async function withdraw(
  { db, storage }: Pick<Services, 'db' | 'storage'>,
  file: string,
  found: StoredStat,
): Promise<void> {
  await db.transaction(async (tx) => {
    // Of two repairs, the second finds what the first has put in its place, and not only after it has looked.
    await tx.query(sql`select pg_advisory_xact_lock(hashtext(${`damaged ${file}`}))`);
    const now = await storage.stat(file);
    if (now?.size !== found.size || now.modified.getTime() !== found.modified.getTime()) return;
    await storage.setAside(file, 'damaged');
    await tx.query(sql`select pg_notify(${DAMAGE_CHANNEL}, ${file})`);
  });
}

/** Ids of the content that has the artifact. */
export async function contentOf({ db }: Pick<Services, 'db'>, artifactId: string): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql`select id from content where artifact_id = ${artifactId}::uuid order by id`);
  return rows.map(({ id }) => id);
}

/**
 * Stores the artifact's file again, as one of its units has it made or a remote gives it. Where what comes is another form of it, each unit
 * is given that. Answers whether every unit has its file now. `onFailure` is told what a remote said.
 */
export async function restore(
  services: FileServices,
  domainId: string,
  artifact: CheckedArtifact,
  ways: readonly { readonly id: string; readonly file: UnitFile }[],
  onFailure: (remoteId: string, error: unknown) => void,
  signal: AbortSignal,
): Promise<boolean> {
  let left = ways.length;
  for (const { id, file } of ways) {
    const stored =
      'made' in file
        ? await storeMade(services, artifact, file.made)
        : await fetchAgain(services, id, file.fetched, onFailure, signal);
    if (!stored) continue;
    if (stored.checksums.sha256 === artifact.sha256) {
      await services.storage.dropAside(artifact.file, 'damaged');
      return true;
    }
    await services.db.transaction(async (tx) => {
      const ids = await saveArtifacts(tx, services.storage, domainId, [stored]);
      await linkArtifacts(tx, [{ content_id: id, artifact_id: ids.get(stored.checksums.sha256) as string, lost: artifact.id }]);
    });
    left -= 1;
  }
  return ways.length > 0 && left === 0;
}

async function storeMade(
  { storage }: FileServices,
  { file, sha256 }: CheckedArtifact,
  made: Buffer,
): Promise<StoredFile | undefined> {
  if (createHash('sha256').update(made).digest('hex') !== sha256) return undefined;
  await storage.putSmall([{ key: file, body: made }]);
  return storedFile(made.length, { sha256 });
}

/** Undefined where no remote gives it. */
async function fetchAgain(
  services: FileServices,
  contentId: string,
  wanted: WantedFile,
  onFailure: (remoteId: string, error: unknown) => void,
  signal: AbortSignal,
): Promise<StoredFile | undefined> {
  for (const remoteId of await remotesOf(services, contentId)) {
    signal.throwIfAborted();
    try {
      return await fetchFrom(services, remoteId, wanted, signal);
    } catch (error) {
      signal.throwIfAborted();
      onFailure(remoteId, error);
    }
  }
  return undefined;
}

/** The file is whole and right, and durable, when this answers. */
async function fetchFrom(
  { storage, config }: FileServices,
  remoteId: string,
  wanted: WantedFile,
  signal: AbortSignal,
): Promise<StoredFile> {
  const stream = await wanted.fetchFrom(remoteId, signal);
  const pending = await storage.create();
  try {
    const checksums = new RunningChecksums(config.PULP_ALLOWED_CONTENT_CHECKSUMS);
    let size = 0;
    for await (const chunk of stream.body) {
      checksums.update(chunk as Buffer);
      size += (chunk as Buffer).byteLength;
      await pending.write(chunk as Buffer);
    }
    const file = storedFile(size, checksums.finish());
    await pending.commit(artifactKey(file.checksums.sha256));
    return file;
  } finally {
    stream.body.destroy();
    await pending.abort();
  }
}

/** The remotes that are known to have the content, and those of the repositories that hold it: the newest first. */
async function remotesOf({ db }: FileServices, contentId: string): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql`
    select remote_id as id from remote_content where content_id = ${contentId}::uuid
    union
    select p.remote_id from repository_content rc join repository p on p.id = rc.repository_id
    where rc.content_id = ${contentId}::uuid and p.remote_id is not null
    order by id desc`);
  return rows.map(({ id }) => id);
}

/** The ways to get units' files again that all plugins know. */
export function unitFiles(services: Services): UnitFiles {
  const plugins = services.catalog.plugins.flatMap((plugin) => (plugin.files ? [plugin.files(services)] : []));
  return {
    async find(unitIds) {
      const found = await Promise.all(plugins.map((plugin) => plugin.find(unitIds)));
      return new Map(found.flatMap((ways) => [...ways]));
    },
    async close() {
      await Promise.all(plugins.map((plugin) => plugin.close()));
    },
  };
}
