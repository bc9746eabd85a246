import { v7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import type { Checksums } from '../../lib/checksums.ts';
import { artifactKey } from '../../storage/layout.ts';
import { MissingFileError, type Storage } from '../../storage/storage.ts';

/** A file that is stored, whole and verified, under the key of its sha256. Checksums are lower-case hexadecimal. */
export interface StoredFile {
  readonly size: number;
  readonly checksums: Readonly<Checksums> & { readonly sha256: string };
}

/** A file of this size with these checksums, of which `sha256` has been computed: the configuration sees to that. */
export function storedFile(size: number, checksums: Readonly<Checksums>): StoredFile {
  const { sha256 } = checksums;
  if (sha256 === undefined) throw new Error('a file is to be stored whose sha256 was not computed');
  return { size, checksums: { ...checksums, sha256 } };
}

const CHECKSUM_COLUMNS = ['md5', 'sha1', 'sha224', 'sha384', 'sha512'] as const;

/**
 * Writes the artifacts that are not there yet, in one statement; answers the id of each file's artifact, by sha256. Until the
 * transaction ends, none of them can be removed; files that an orphan cleanup is about to remove are taken back (docs/adr/015).
 */
export async function saveArtifacts(
  tx: Queryable,
  storage: Pick<Storage, 'bringBack'>,
  domainId: string,
  files: readonly StoredFile[],
): Promise<ReadonlyMap<string, string>> {
  if (files.length === 0) return new Map();
  const rows = await writeArtifacts(tx, domainId, files);
  const ids = new Map(rows.map(({ sha256, id }) => [sha256, id]));
  for (const { file } of await tx.query<{ file: string }>(undoom(domainId, [...ids.keys()]))) await storage.bringBack(file);
  return ids;
}

/** The row of an artifact. */
export interface WrittenArtifact {
  readonly id: string;
  readonly sha256: string;
  /** Key of its file. */
  readonly file: string;
  /** Whether it was not there before. */
  readonly made: boolean;
}

/** As `saveArtifacts`, without the files. */
function writeArtifacts(tx: Queryable, domainId: string, files: readonly StoredFile[]): Promise<WrittenArtifact[]> {
  const bySha256 = new Map(files.map((file) => [file.checksums.sha256, file]));
  const sorted = [...bySha256.values()].sort((a, b) => (a.checksums.sha256 < b.checksums.sha256 ? -1 : 1));
  const sha256 = sorted.map((file) => file.checksums.sha256);
  const [md5, sha1, sha224, sha384, sha512] = CHECKSUM_COLUMNS.map((name) => sorted.map((file) => file.checksums[name] ?? null));
  return tx.query<WrittenArtifact>(
    writeRows(
      domainId,
      sql`unnest(${sorted.map(() => v7())}::uuid[], ${sha256.map(artifactKey)}::text[], ${sorted.map((file) => file.size)}::bigint[],
        ${sha256}::text[], ${md5}::text[], ${sha1}::text[], ${sha224}::text[], ${sha384}::text[], ${sha512}::text[])`,
    ),
  );
}

/** Writes what `source` selects, in the order of `sha256`: a statement, or a part of one. Returns WrittenArtifact. */
const writeRows = (domainId: string, source: Sql): Sql => sql`
  insert into artifact (id, domain_id, file, size, sha256, md5, sha1, sha224, sha384, sha512)
  select t.id, ${domainId}::uuid, t.file, t.size, t.sha256, t.md5, t.sha1, t.sha224, t.sha384, t.sha512
  from ${source} as t(id, file, size, sha256, md5, sha1, sha224, sha384, sha512)
  on conflict (domain_id, sha256) do update set last_seen = now()
  returning sha256, id, file, xmax = 0 as made`;

/**
 * A common table expression that writes the artifact of this sha256, the only checksum that is known of it, where `source` has a row, with its
 * `size`. Returns WrittenArtifact. See `keepWritten`.
 */
export const writtenArtifact = (domainId: string, sha256: string, source: Sql): Sql =>
  writeRows(
    domainId,
    sql`(select ${v7()}::uuid, ${artifactKey(sha256)}::text, size, ${sha256}::text, null, null, null, null, null from ${source})`,
  );

/** What `write` of `keepWritten` has found. */
export interface Undoomed {
  /** Whether the file was doomed. */
  readonly doomed: boolean;
}

/**
 * Stores the file of an artifact whose row is this transaction's, by `writtenArtifact`, and then runs `write`, which asks `undoom` with what
 * else it writes; answers what that answers. So the file stays until the end of the transaction. As `saveNewArtifact`, with a statement less;
 * but a cleanup that had doomed the file may remove it until `write`, so `store` may be called twice.
 */
export async function keepWritten<Found extends Undoomed>(
  storage: Pick<Storage, 'size' | 'bringBack'>,
  { file, made }: WrittenArtifact,
  store: (key: string) => Promise<void>,
  write: () => Promise<Found>,
): Promise<Found> {
  const isThere = async () => (await storage.size(file)) !== undefined;
  if (made || !(await isThere())) await store(file);
  const found = await write();
  if (made && !(await isThere())) await store(file);
  if (found.doomed) await storage.bringBack(file);
  return found;
}

/**
 * Writes one artifact, where it is not there; one that is, is spared as if it had just been stored. Of several at once, one makes it, and the
 * others wait for the end of its transaction. `store` makes the file durable under its key: here, where the row is this transaction's, for no
 * cleanup waits for an upload, and a file that came before its row might go before it.
 */
export async function saveNewArtifact(
  tx: Queryable,
  storage: Pick<Storage, 'bringBack'>,
  domainId: string,
  file: StoredFile,
  store: () => Promise<void>,
): Promise<Omit<WrittenArtifact, 'sha256'>> {
  const { sha256 } = file.checksums;
  const [written] = await writeArtifacts(tx, domainId, [file]);
  if (!written) throw new Error(`the artifact ${sha256} went while it was saved`);
  if (!written.made) return written;
  const doomed = await tx.query<{ file: string }>(undoom(domainId, [sha256]));
  await store();
  for (const { file: key } of doomed) await storage.bringBack(key);
  return written;
}

/**
 * Returns the files that were doomed: a statement, or a part of one. Only once the artifacts' rows are this transaction's: what is not doomed
 * then is not doomed before its end.
 */
export const undoom = (domainId: string, sha256: readonly string[]): Sql => sql`
  delete from doomed_file where domain_id = ${domainId}::uuid and sha256 = any(${sha256}::text[]) returning file`;

/**
 * Whether the artifact is there; it stays while the task goes on that asks, or that is asked for within a minute (docs/adr/015). In a
 * transaction it stays until the end of that, too.
 */
export const seeArtifact = async (db: Queryable, id: string): Promise<boolean> =>
  (await db.execute(sql`update artifact set last_seen = now() where id = ${id}::uuid`)) > 0;

/** Those of the artifacts that are there, and stay there while the task goes on that asks, or that is asked for within a minute. */
export const seeArtifacts = (
  db: Queryable,
  ids: readonly string[],
): Promise<{ readonly id: string; readonly file: string; readonly size: number }[]> =>
  db.query(sql`
    update artifact a set last_seen = now() from (
      select id from artifact where id = any(${ids}::uuid[]) order by sha256 for no key update) s
    where a.id = s.id returning a.id, a.file, a.size`);

/** The artifacts that are there of these sha256. They stay there while the task that looks for them goes on. */
export const findArtifacts = (
  db: Queryable,
  domainId: string,
  sha256: readonly string[],
): Promise<{ readonly id: string; readonly sha256: string; readonly file: string }[]> =>
  db.query(sql`
    update artifact a set last_seen = now() from (
      select id from artifact where domain_id = ${domainId}::uuid and sha256 = any(${sha256}::text[]) order by sha256 for no key update) s
    where a.id = s.id returning a.id, a.sha256, a.file`);

/**
 * For those who store outside of a task, whom no cleanup waits for: throws MissingFileError where a file was removed between its storing and
 * its row. In the transaction of `saveArtifacts`, after it.
 */
export async function assertStored(storage: Pick<Storage, 'size'>, files: readonly StoredFile[]): Promise<void> {
  for (const { checksums } of files) {
    const key = artifactKey(checksums.sha256);
    if ((await storage.size(key)) === undefined) throw new MissingFileError(key);
  }
}

/** Content and the file that it gets. */
export interface ArtifactLink {
  readonly content_id: string;
  readonly artifact_id: string;
  /** The artifact whose place it takes, as the file of that one is lost; undefined where the content has none. */
  readonly lost?: string | undefined;
}

/** Gives content its stored file, where it still has none, or the lost one. Locks in the order of ids. */
export async function linkArtifacts(tx: Queryable, links: readonly ArtifactLink[]): Promise<void> {
  if (links.length === 0) return;
  await tx.execute(sql`
    with given as (
      select * from unnest(${links.map((link) => link.content_id)}::uuid[], ${links.map((link) => link.artifact_id)}::uuid[],
        ${links.map((link) => link.lost ?? null)}::uuid[]) as t(content_id, artifact_id, lost)),
    locked as materialized (
      select c.id, given.artifact_id from content c join given on given.content_id = c.id
      where c.artifact_id is not distinct from given.lost order by c.id for no key update of c)
    update content c set artifact_id = locked.artifact_id from locked where c.id = locked.id`);
}
