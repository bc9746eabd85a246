import { spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { keyFile } from '../lib/key-file.ts';
import { type Account, accountFor, EmbeddedPostgresError, findProgram, type PostgresProgram } from './postgres-program.ts';

/** Everything about the embedded server that its folder says. */
export interface PostgresFolder {
  readonly path: string;
  /** PostgreSQL's own data directory. */
  readonly data: string;
  readonly account: Account | undefined;
  readonly program: PostgresProgram;
  /** Password of the superuser `postgres`; that of the role `deckle` follows from it. */
  readonly password: string;
  /** The data directory as the server is told it. */
  readonly dataArgument: string;
}

/** Of the role that the application uses, which is no superuser. */
export const applicationPassword = (password: string): string =>
  createHmac('sha256', password).update('deckle').digest('base64url');

/** The environment of PostgreSQL's processes: none of ours, which holds secrets. */
const environment = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/local/bin:/usr/bin:/bin' };

/** How PostgreSQL's programs are started. Inside the data directory: see `dataArgument`. */
export const spawnOptions = (account: Account | undefined, data: string) => ({ ...account, cwd: data, env: environment });

/** Whether a process runs: one that has ended and waits for its parent does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  if (process.platform !== 'linux') return true;
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false; // It ended in between.
  }
}

/** What `postmaster.pid` says of the server that runs, or ran, on the data. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

/**
 * The server that is at work on this data directory, if one is. The file of a server that was killed may name a process
 * that has since got its number (in a container, often ourselves): such a file is removed, since it would stop the next start.
 */
export function findPostmaster(data: string, log: Logger): Postmaster | undefined {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
  if (process.platform === 'linux' && !worksIn(pid, data)) {
    log.warn(
      { pid, file },
      'stale lock file of the embedded PostgreSQL removed: its process number is in use by another program',
    );
    rmSync(file);
    return undefined;
  }
  return { pid, port, ready: lines[7]?.trim() === 'ready' };
}

/** Whether the process's working directory is `data`, where every process of PostgreSQL stays. A foreign user's is not. */
function worksIn(pid: number, data: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(data);
  } catch {
    return false;
  }
}

function run(program: string, args: readonly string[], options: ReturnType<typeof spawnOptions>, input = ''): void {
  const { status, error, stdout, stderr } = spawnSync(program, args, { ...options, input, encoding: 'utf8' });
  // A single-user server goes on after a statement that fails, and exits with 0.
  if (status === 0 && !/\b(ERROR|FATAL|PANIC):/.test(stderr)) return;
  const output = error?.message ?? `${stdout}\n${stderr}`.trim().split('\n').slice(-5).join('; ');
  throw new EmbeddedPostgresError(`the embedded PostgreSQL could not be set up: ${output}`);
}

/**
 * Where the account that runs PostgreSQL cannot walk down to the data (it lies below a private folder of root's), the
 * server is started inside the folder and told to use the one it is in. Linux only.
 */
function dataArgumentFor(data: string, account: Account | undefined): string {
  if (!account) return data;
  const test = (path: string) => spawnSync('test', ['-d', path], spawnOptions(account, data)).status === 0;
  if (test(join(data, '.'))) return data;
  if (test('/proc/self/cwd/.')) return '/proc/self/cwd';
  throw new EmbeddedPostgresError(
    `user ${account.uid}, which runs PostgreSQL in place of root, cannot reach ${data}; choose another DATA_DIR, start as an ordinary user, or set DATABASE_URL`,
  );
}

const INITDB = [
  '--username=postgres',
  '--auth-local=reject',
  '--auth-host=scram-sha-256',
  '--data-checksums',
  '--encoding=UTF8',
].concat(['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']);

/** Fills an empty folder with a database cluster: the superuser's password, the application's role and its database. */
function initialise(data: string, password: string, log: Logger): void {
  const account = accountFor(data);
  const program = findProgram(account, log);
  if (account) chownSync(data, account.uid, account.gid);
  const argument = dataArgumentFor(data, account);
  const options = spawnOptions(account, data);
  run(program.path('initdb'), ['-D', argument, ...INITDB], options);
  const statements = [
    `alter role postgres password '${password}'`,
    `create role deckle login password '${applicationPassword(password)}'`,
    'create database deckle owner deckle',
  ];
  run(program.path('postgres'), ['--single', '-D', argument, 'postgres'], options, `${statements.join('\n')}\n`);
}

/** Makes the data directory aside and renames it when it is whole, so that a start that is killed leaves none behind. */
function createData(folder: string, data: string, password: string, log: Logger): void {
  const fresh = mkdtempSync(`${data}.new-${process.pid}-`);
  try {
    initialise(fresh, password, log);
    renameSync(fresh, data);
  } catch (error) {
    rmSync(fresh, { recursive: true });
    if (existsSync(join(data, 'PG_VERSION'))) return; // Another start was faster.
    throw error;
  }
  log.info({ folder }, 'embedded PostgreSQL created');
}

/** Removes what starts that were killed left. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^data\.new-(\d+)-/.exec(name)?.[1];
    if (pid && !isAlive(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Gives data that root has copied or restored to the account that runs PostgreSQL. */
function giveTo(account: Account, data: string): void {
  chownSync(data, account.uid, account.gid);
  for (const name of readdirSync(data, { recursive: true, encoding: 'utf8' }))
    lchownSync(join(data, name), account.uid, account.gid);
}

/** Opens the folder of an embedded PostgreSQL, making the data directory in it on the first start (half a second). */
export async function openFolder(path: string, log: Logger): Promise<PostgresFolder> {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  removeLeftovers(path);
  const password = await keyFile(join(path, 'password'), () => randomBytes(24).toString('base64url'));
  const data = join(path, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) createData(path, data, password, log);
  const account = accountFor(data);
  if (account && statSync(data).uid !== account.uid) giveTo(account, data);
  return { path, data, account, password, program: findProgram(account, log), dataArgument: dataArgumentFor(data, account) };
}
