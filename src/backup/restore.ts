import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline, type Readable } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';
import type { Logger } from 'pino';
import { type Config, ConfigError } from '../config.ts';
import { type Migration, migrate, readMigrations } from '../db/migrate.ts';
import { isEmptyDatabase, loadDatabase } from '../db/snapshot.ts';
import { forEachConcurrent } from '../lib/concurrent-map.ts';
import { artifactKey } from '../storage/layout.ts';
import { backupsIn } from './back-up.ts';
import { copyChecked, FILES_AT_ONCE, hashFile, isSame, readFileList, readSums, type StoredFile } from './checked-files.ts';
import { DESCRIPTION, type Description, descriptionSchema, FILES, KEYS, MEDIA, SUMS, tableFile } from './description.ts';

/** Bad files that are named; the others are counted. */
const NAMED = 20;

/** A backup whose description, tables and keys are what was written. */
export interface ProvenBackup {
  readonly folder: string;
  readonly description: Description;
  /** The migrations that make the schema that its tables have. */
  readonly migrations: readonly Migration[];
  /** Its files below `keys/`, relative to it. */
  readonly keys: readonly string[];
}

const refused = (folder: string, bad: readonly string[]): ConfigError =>
  new ConfigError(
    `the backup ${folder} is damaged: ${bad.slice(0, NAMED).join('; ')}${bad.length > NAMED ? `; and ${bad.length - NAMED} more` : ''}`,
  );

/** The folder of one backup: `source` itself, or the newest that is in it. */
async function folderOf(source: string): Promise<string> {
  const given = resolve(source);
  const isBackup = await stat(join(given, DESCRIPTION)).catch(() => undefined);
  if (isBackup) return given;
  const newest = (await backupsIn(given).catch(() => [])).at(-1);
  if (newest === undefined) throw new ConfigError(`${given} is no backup, and there is none in it`);
  return join(given, newest);
}

/** Reads a backup and proves all of it but the stored files. Throws ConfigError, naming each file that is missing or not as it was written. */
export async function openBackup(source: string): Promise<ProvenBackup> {
  const folder = await folderOf(source);
  const sums = await readSums(join(folder, SUMS)).catch((cause: Error) => {
    throw refused(folder, [`${SUMS}: ${cause.message}`]);
  });
  const bad: string[] = [];
  for (const [path, sha256] of sums) {
    const found = await hashFile(join(folder, path));
    if (found?.sha256 !== sha256) bad.push(`${path} ${found ? 'is not what was written' : 'is missing'}`);
  }
  if (!sums.has(DESCRIPTION)) bad.push(`${SUMS} does not name ${DESCRIPTION}`);
  if (bad.length > 0) throw refused(folder, bad);
  const parsed = descriptionSchema.safeParse(JSON.parse(await readFile(join(folder, DESCRIPTION), 'utf8')));
  if (!parsed.success)
    throw new ConfigError(`${join(folder, DESCRIPTION)} is of another version of Deckle, which can restore it`);
  const description = parsed.data;
  const absent = [FILES, ...description.tables.map(({ name }) => tableFile(name))].filter((path) => !sums.has(path));
  if (absent.length > 0)
    throw refused(
      folder,
      absent.map((path) => `${SUMS} does not name ${path}`),
    );
  const keys = [...sums.keys()].filter((path) => path.startsWith(`${KEYS}/`));
  return { folder, description, keys, migrations: migrationsOf(folder, description) };
}

function migrationsOf(folder: string, { deckle, migrations }: Description): readonly Migration[] {
  const known = new Map(readMigrations().map((migration) => [migration.name, migration]));
  return migrations.map(({ name, checksum }) => {
    const migration = known.get(name);
    if (migration?.checksum === checksum) return migration;
    throw new ConfigError(
      `the backup ${folder} is of Deckle ${deckle}, which has a migration ${name} that this version does not have`,
    );
  });
}

/** What was found of the stored files. */
interface FilesSummary {
  readonly count: number;
  readonly bytes: number;
}

/** Has each stored file of the backup looked at by `look`. Throws ConfigError, naming the bad ones. */
async function eachFile(
  { folder, description }: ProvenBackup,
  look: (file: StoredFile, path: string) => Promise<'good' | 'absent' | 'wrong'>,
): Promise<FilesSummary> {
  const lacking = new Set(description.files.lacking);
  const bad: string[] = [];
  let [count, bytes] = [0, 0];
  const each = async (file: StoredFile) => {
    if (lacking.has(file.sha256)) return;
    const path = join(MEDIA, artifactKey(file.sha256));
    const found = await look(file, path);
    if (found !== 'good') bad.push(`${path} ${found === 'wrong' ? 'is not what was written' : 'is missing'}`);
    count += 1;
    bytes += file.size;
  };
  await forEachConcurrent(readFileList(join(folder, FILES)), each, { limit: FILES_AT_ONCE });
  if (bad.length > 0) throw refused(folder, bad.sort());
  return { count, bytes };
}

const summary = ({ folder, description }: ProvenBackup, files: FilesSummary): string => {
  const rows = description.tables.reduce((sum, table) => sum + table.rows, 0);
  const { lacking } = description.files;
  return (
    `  backup    ${folder}, of Deckle ${description.deckle}, as of ${description.taken}\n` +
    `  database  ${description.tables.length} tables, ${rows} rows\n  files     ${files.count} of ${files.bytes} bytes, each compared with its digest\n` +
    (lacking.length > 0 ? `  LACKING   ${lacking.length} files that the storage did not have: repair when it runs\n` : '') +
    `  keys      ${description.keys}\n`
  );
};

/** Reads a backup, every byte of it, and restores nothing. Throws ConfigError where something is not right. */
export async function checkBackup(source: string, print: (text: string) => void): Promise<void> {
  const backup = await openBackup(source);
  const files = await eachFile(backup, async (file, path) => {
    const found = await hashFile(join(backup.folder, path));
    return found === undefined ? 'absent' : isSame(found, file) ? 'good' : 'wrong';
  });
  print(`The backup is whole.\n${summary(backup, files)}`);
}

/** What a file system puts into its topmost folder. */
const OF_THE_SYSTEM = new Set(['lost+found']);

/** Throws ConfigError where DATA_DIR holds something. */
export async function requireEmptyFolder(dataDir: string): Promise<void> {
  const names = await readdir(dataDir).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw new ConfigError(`DATA_DIR: ${dataDir} cannot be read (${error.code})`, { cause: error });
  });
  // A volume of its own is there already.
  const mounted = names.includes(MEDIA) && (await readdir(join(dataDir, MEDIA))).length === 0;
  const found = names.filter((name) => !OF_THE_SYSTEM.has(name) && !(mounted && name === MEDIA));
  if (found.length > 0)
    throw new ConfigError(
      `DATA_DIR: ${dataDir} is not empty (${found.slice(0, 5).join(', ')}); a backup is restored into an empty folder only. Move it away, or choose another`,
    );
}

export interface RestoreOptions {
  readonly config: Config;
  readonly backup: ProvenBackup;
  readonly log: Logger;
  readonly print: (text: string) => void;
  /** Runs `work` with the database that is to be filled. */
  readonly withDatabase: (work: (url: string) => Promise<void>) => Promise<void>;
}

/**
 * Restores a backup into an empty DATA_DIR (see `requireEmptyFolder`) and an empty database, proving every file on its way. The database
 * comes last, in one transaction. What fails leaves nothing behind. Throws ConfigError.
 */
export async function restore({ config, backup, log, print, withDatabase }: RestoreOptions): Promise<void> {
  const dataDir = resolve(config.DATA_DIR);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  try {
    // An external database is asked before hours of copying.
    if (config.DATABASE_URL) await requireEmptyDatabase(config.DATABASE_URL);
    const files = await restoreFiles(backup, dataDir);
    await restoreKeys(backup, dataDir);
    await promisify(execFile)('sync');
    await withDatabase(async (url) => {
      await requireEmptyDatabase(url);
      await migrate(url, log, backup.migrations);
      await loadDatabase(url, tablesOf(backup), backup.description.sequences);
      await migrate(url, log);
    });
    print(`Restored into ${dataDir}.\n${summary(backup, files)}`);
    if (backup.description.keys !== 'included')
      print('Before it is started, put the keys that the backup does not have into their place, or into DECKLE_SECRET_KEYS.\n');
  } catch (error) {
    for (const name of [MEDIA, KEYS, 'postgres'])
      await rm(join(dataDir, name), { recursive: true, force: true }).catch((cause: NodeJS.ErrnoException) => {
        // A mount point stays, empty.
        if (cause.code !== 'EBUSY') throw cause;
      });
    await rmdir(dataDir).catch((cause: unknown) => log.debug({ err: cause }, 'the folder of a failed restore is left'));
    throw error;
  }
}

async function requireEmptyDatabase(url: string): Promise<void> {
  if (!(await isEmptyDatabase(url)))
    throw new ConfigError('DATABASE_URL: the database is not empty; a backup is restored into an empty one only');
}

async function restoreFiles(backup: ProvenBackup, dataDir: string): Promise<FilesSummary> {
  const folders = new Set<string>();
  return eachFile(backup, async (file, path) => {
    const to = join(dataDir, path);
    if (!folders.has(dirname(to))) {
      await mkdir(dirname(to), { recursive: true });
      folders.add(dirname(to));
    }
    const outcome = await copyChecked(join(backup.folder, path), to, file);
    return outcome === 'copied' ? 'good' : outcome;
  });
}

async function restoreKeys({ folder, keys }: ProvenBackup, dataDir: string): Promise<void> {
  for (const path of keys) {
    const to = join(dataDir, path);
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await copyFile(join(folder, path), to);
    await chmod(to, 0o600);
  }
}

const tablesOf = ({ folder, description }: ProvenBackup) =>
  description.tables.map((table) => ({
    ...table,
    open: (): Readable => {
      const source = createReadStream(join(folder, tableFile(table.name)));
      // The reader of the answer is told of an error of either.
      return pipeline(source, createGunzip(), () => undefined);
    },
  }));
