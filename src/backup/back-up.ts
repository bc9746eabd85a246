import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip } from 'node:zlib';
import type { Logger } from 'pino';
import { type Config, ConfigError } from '../config.ts';
import { openSnapshot, type Snapshot } from '../db/snapshot.ts';
import { forEachConcurrent } from '../lib/concurrent-map.ts';
import { packageVersion } from '../lib/package-root.ts';
import { codeOf } from '../storage/full-disk.ts';
import { artifactKey, asidePath } from '../storage/layout.ts';
import {
  copyChecked,
  FILES_AT_ONCE,
  filesBelow,
  hashFile,
  isSame,
  linkFile,
  readFileList,
  type StoredFile,
} from './checked-files.ts';
import { DESCRIPTION, type Description, FILES, FORM, KEYS, MEDIA, SUMS, tableFile } from './description.ts';

/** Tables that stay behind: what says of this moment's processes and half-uploaded or half-removed files means nothing elsewhere. */
const LEFT_OUT = new Set(['worker', 'upload_chunk', 'doomed_file']);

/** While it is made. One that was broken off is looked through by the next. */
const UNFINISHED = '.unfinished';
const BROKEN_OFF = '.broken-off';

const FILE_LIST = 'select sha256, max(size) from artifact group by sha256 order by sha256';

/** Names of whole backups, oldest first. */
const BACKUP_NAME = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z$/;

/** What the operator can mend in a folder. */
const UNUSABLE: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EACCES', 'EROFS', 'EIO']);

export interface BackupOptions {
  readonly config: Config;
  readonly url: string;
  /** Folder of the backups; made if it is not there. */
  readonly target: string;
  readonly withKeys: boolean;
  readonly log: Logger;
  readonly print: (text: string) => void;
}

/** The whole backups in a folder, oldest first. */
export async function backupsIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => BACKUP_NAME.test(name)).sort();
}

/**
 * Makes a backup in a folder of its own below `target`, while Deckle runs: the database as it is at one moment, then the files that it
 * knows, then the keys. It is there whole or not at all. Throws ConfigError where it cannot be made, and where it was made but the storage
 * itself lacked files.
 */
export async function backUp(options: BackupOptions): Promise<void> {
  const { config, url, log, print } = options;
  const target = await openTarget(options.target, config.DATA_DIR);
  const taken = new Date().toISOString();
  const snapshot = await openSnapshot(url);
  try {
    const [before] = (await backupsIn(target)).slice(-1);
    const places = await prepare(target, before);
    const tables = await dumpTables(snapshot, places.folder);
    await snapshot.copyOut(FILE_LIST, createWriteStream(join(places.folder, FILES), { mode: 0o600 }));
    await snapshot.endReading();
    const files = await copyFiles(join(config.DATA_DIR, MEDIA), places, log);
    await snapshot.confirm();
    const keys = await copyKeys(options, places.folder);
    const { migrations, sequences } = snapshot;
    const { count, bytes, lacking } = files;
    await describe(places.folder, {
      form: FORM,
      deckle: packageVersion(),
      taken,
      migrations: [...migrations],
      tables,
      sequences: [...sequences],
      files: { count, bytes, lacking: [...lacking] },
      keys,
    });
    await rm(join(target, BROKEN_OFF), { recursive: true, force: true });
    const made = join(target, taken.replaceAll(':', '-'));
    await promisify(execFile)('sync');
    await rename(places.folder, made);
    await promisify(execFile)('sync');
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    print(
      `Backup ${made}\n  database  ${tables.length} tables, ${rows} rows, as of ${taken}\n` +
        `  files     ${count} of ${bytes} bytes; ${files.copied} of ${files.copiedBytes} bytes were copied, the others are shared with the backup before\n` +
        `  keys      ${keysText(keys)}\n`,
    );
    if (lacking.length > 0) throw new ConfigError(lackingText(made, lacking));
  } catch (error) {
    if (!UNUSABLE.has(codeOf(error))) throw error;
    const reason = (error as Error).message;
    throw new ConfigError(`there is no backup: ${reason}. What is copied already is used by the next one`, { cause: error });
  } finally {
    await snapshot.close();
  }
}

const keysText = (keys: Description['keys']): string => {
  if (keys === 'included') return 'are in it: whoever reads it can read the secrets of remotes';
  if (keys === 'left out') return 'ARE NOT IN IT: without DATA_DIR/keys, kept elsewhere, the secrets of remotes are lost';
  return 'DECKLE_SECRET_KEYS IS NOT IN IT: without it, kept elsewhere, the secrets of remotes are lost';
};

const lackingText = (made: string, lacking: readonly string[]): string =>
  `the backup ${made} is whole but for ${lacking.length} files that the storage itself lacks or has damaged (${lacking.slice(0, 5).join(', ')}${
    lacking.length > 5 ? ', …' : ''
  }); \`POST /pulp/api/v3/repair/\` fetches them again where a remote has them`;

async function openTarget(given: string, dataDir: string): Promise<string> {
  const target = resolve(given);
  try {
    await mkdir(target, { recursive: true, mode: 0o700 });
    const [real, data] = [await realpath(target), await realpath(dataDir)];
    if (`${real}${sep}`.startsWith(`${data}${sep}`))
      throw new ConfigError(`${target} is inside DATA_DIR, and would be lost with it`);
    return real;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${target} cannot be used for backups: ${(error as Error).message}`, { cause: error });
  }
}

interface Places {
  /** Of the backup that is made. */
  readonly folder: string;
  /** Of the one before, whose files are proven. */
  readonly before: string | undefined;
  /** Of one that was broken off, whose files are not. */
  readonly brokenOff: string;
}

async function prepare(target: string, before: string | undefined): Promise<Places> {
  const [folder, brokenOff] = [join(target, UNFINISHED), join(target, BROKEN_OFF)];
  const left = await readdir(target);
  if (left.includes(UNFINISHED)) {
    await rm(brokenOff, { recursive: true, force: true });
    await rename(folder, brokenOff);
  }
  await mkdir(join(folder, 'database'), { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  return { folder, before: before === undefined ? undefined : join(target, before), brokenOff };
}

async function dumpTables(snapshot: Snapshot, folder: string): Promise<Description['tables']> {
  const dumped: Description['tables'] = [];
  for (const { name, columns } of snapshot.tables) {
    if (LEFT_OUT.has(name)) continue;
    const text = new PassThrough();
    const [rows] = await Promise.all([
      snapshot.copyOut({ name, columns }, text),
      pipeline(text, createGzip({ level: 1 }), createWriteStream(join(folder, tableFile(name)), { mode: 0o600 })),
    ]);
    dumped.push({ name, columns: [...columns], rows });
  }
  return dumped;
}

interface Copied {
  readonly count: number;
  readonly bytes: number;
  readonly copied: number;
  readonly copiedBytes: number;
  readonly lacking: readonly string[];
}

/** Brings each file of the list into the backup. Files are found in their places, or aside where a cleanup has moved them meanwhile. */
async function copyFiles(media: string, places: Places, log: Logger): Promise<Copied> {
  let [count, bytes, copied, copiedBytes] = [0, 0, 0, 0];
  const lacking: string[] = [];
  for (let first = 0; first < 256; first++) {
    const folder = first.toString(16).padStart(2, '0');
    await mkdir(join(places.folder, MEDIA, 'artifact', folder), { recursive: true, mode: 0o700 });
  }
  const bring = async (file: StoredFile) => {
    const key = artifactKey(file.sha256);
    const to = join(places.folder, MEDIA, key);
    const known = await linkKnown(file, join(MEDIA, key), to, places);
    if (!known && !(await copyStored(file, media, to))) {
      log.error({ sha256: file.sha256, size: file.size }, 'stored file is missing or damaged; the backup is made without it');
      lacking.push(file.sha256);
      return;
    }
    count += 1;
    bytes += file.size;
    if (known) return;
    copied += 1;
    copiedBytes += file.size;
  };
  await forEachConcurrent(readFileList(join(places.folder, FILES)), bring, { limit: FILES_AT_ONCE });
  return { count, bytes, copied, copiedBytes, lacking: lacking.sort() };
}

async function linkKnown(file: StoredFile, path: string, to: string, { before, brokenOff }: Places): Promise<boolean> {
  if (before !== undefined && (await linkFile(join(before, path), to, file.size))) return true;
  const left = join(brokenOff, path);
  return isSame(await hashFile(left), file) && (await linkFile(left, to, file.size));
}

/** Whether the file was found, and whole. It may move between its place and aside while it is looked for. */
async function copyStored(file: StoredFile, media: string, to: string): Promise<boolean> {
  const key = artifactKey(file.sha256);
  for (const place of [key, asidePath(key, 'doomed'), key]) {
    if ((await copyChecked(join(media, place), to, file)) === 'copied') return true;
  }
  return false;
}

/** After the database: a key that something in it is encrypted with is there by now. */
async function copyKeys({ config, withKeys }: BackupOptions, folder: string): Promise<Description['keys']> {
  if (!withKeys) return 'left out';
  const source = resolve(config.DATA_DIR, KEYS);
  for (const name of await filesBelow(source)) {
    const to = join(folder, KEYS, name);
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await copyFile(join(source, name), to);
    await chmod(to, 0o600);
  }
  return config.DECKLE_SECRET_KEYS ? 'included, but for DECKLE_SECRET_KEYS' : 'included';
}

async function describe(folder: string, description: Description): Promise<void> {
  await writeFile(join(folder, DESCRIPTION), `${JSON.stringify(description, null, 2)}\n`, { mode: 0o600 });
  const keys = (await filesBelow(join(folder, KEYS))).map((name) => `${KEYS}/${name}`);
  const tables = description.tables.map(({ name }) => tableFile(name));
  const lines: string[] = [];
  for (const path of [DESCRIPTION, FILES, ...tables, ...keys]) {
    const found = await hashFile(join(folder, path));
    if (!found) throw new Error(`${path} vanished while the backup was made`);
    lines.push(`${found.sha256}  ${path}\n`);
  }
  await writeFile(join(folder, SUMS), lines.join(''), { mode: 0o600 });
}
