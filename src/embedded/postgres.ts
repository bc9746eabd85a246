import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import {
  applicationPassword,
  findPostmaster,
  isAlive,
  openFolder,
  type PostgresFolder,
  spawnOptions,
} from './postgres-folder.ts';
import { EmbeddedPostgresError } from './postgres-program.ts';

export interface EmbeddedPostgresOptions {
  /** Keeps the data directory, the password and the log; made when absent. */
  readonly folder: string;
  readonly log: Logger;
  /** Insist on this port, that of the server whose place is taken; default: the last one used if it is free, else any. */
  readonly port?: number;
  /** Whether a commit is safe from a power cut (default) or, much faster, from crashes of processes only: for tests. */
  readonly durable?: boolean;
}

/** A PostgreSQL server of our own, on a port of 127.0.0.1. */
export interface EmbeddedPostgres {
  /** Whether it ran already. */
  readonly adopted: boolean;
  readonly pid: number;
  readonly port: number;
  /** For the application: role `deckle`, which owns the database of the same name and is no superuser. */
  readonly url: string;
  /** As superuser, for the one who runs the server. */
  readonly superuserUrl: string;
  /** Stops the server: sessions are ended, transactions rolled back, everything written. */
  stop(): Promise<void>;
}

const START_SECONDS = 60; // recovery after a crash may take its time
const STOP_SECONDS = 60;
const POLL_MS = 25;
const LOG_FILE_BYTES = 10 * 1024 * 1024;

const settings = (port: number, durable: boolean): string[] =>
  Object.entries({
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    cluster_name: 'deckle',
    max_connections: durable ? 200 : 1000,
    shared_buffers: totalmem() >= 4 * 1024 ** 3 ? '256MB' : '128MB',
    max_wal_size: '2GB',
    checkpoint_timeout: '15min',
    wal_compression: 'on',
    random_page_cost: 1.1,
    jit: 'off',
    track_activity_query_size: 4096, // what a statement does is said late in it
    max_parallel_workers_per_gather: 0, // its shared memory (/dev/shm) is 64 MB in a container
    log_min_messages: 'log', // failed statements are reported by the one who made them
    log_checkpoints: 'off',
    ...(durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);

/** `preferred` if it is free, else any free port of 127.0.0.1. */
async function freePort(preferred: number): Promise<number> {
  const bind = (port: number) =>
    new Promise<number>((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => resolve(typeof address === 'object' && address ? address.port : port));
      });
    });
  return bind(preferred).catch(() => bind(0));
}

function lastPort(folder: string): number {
  try {
    const port = Number(readFileSync(join(folder, 'port'), 'utf8'));
    return Number.isInteger(port) && port > 0 && port < 65536 ? port : 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/** The server's own output, kept to two files of bounded size. */
function openLog(folder: string): number {
  const file = join(folder, 'postgres.log');
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_FILE_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

const logTail = (folder: string): string =>
  readFileSync(join(folder, 'postgres.log'), 'utf8').slice(-2000).trim().split('\n').slice(-3).join('; ');

/** Starts the server in a session of its own: a Ctrl-C in our terminal must not reach it before we have stopped. */
async function launch(folder: PostgresFolder, options: EmbeddedPostgresOptions): Promise<number | undefined> {
  const port = options.port ?? (await freePort(lastPort(folder.path)));
  const output = openLog(folder.path);
  const child = spawn(folder.program.path('postgres'), ['-D', folder.dataArgument, ...settings(port, options.durable ?? true)], {
    ...spawnOptions(folder.account, folder.data),
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  child.unref();
  writeFileSync(join(folder.path, 'port'), `${port}\n`);
  await Promise.race([failed, new Promise((resolve) => child.once('spawn', resolve))]);
  return child.pid;
}

const connectionUrl = (role: string, password: string, port: number, database: string): string =>
  `postgresql://${role}:${password}@127.0.0.1:${port}/${database}`;

/**
 * Whether the server on this port is the one of our folder: it alone knows the password, and proves so in the SCRAM
 * handshake. Undefined: it does not answer yet.
 */
async function isOurs(folder: PostgresFolder, port: number): Promise<boolean | undefined> {
  const client = new pg.Client({
    connectionString: connectionUrl('postgres', folder.password, port, 'postgres'),
    connectionTimeoutMillis: 3000,
  });
  client.on('error', () => undefined); // the statement in hand reports it
  try {
    await client.connect();
    // A copy of the folder has the same password. On Linux findPostmaster has looked at where the process works.
    if (process.platform === 'linux') return true;
    const { rows } = await client.query<{ path: string }>(`select current_setting('data_directory') as path`);
    return rows[0] !== undefined && realpathSync(rows[0].path) === realpathSync(folder.data);
  } catch (error) {
    if ((error as { code?: string }).code === '28P01') return false;
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function stopServer(pid: number, folder: PostgresFolder, log: Logger): Promise<void> {
  const kill = (signal: NodeJS.Signals) => {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const gone = async (seconds: number) => {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; await delay(POLL_MS)) if (!isAlive(pid)) return true;
    return false;
  };
  if (!isAlive(pid)) return;
  kill('SIGINT'); // "fast": ends the sessions, then writes a checkpoint
  if (await gone(STOP_SECONDS)) return;
  log.warn({ postgres: pid, folder: folder.path }, 'embedded PostgreSQL does not stop; forcing it, the next start will recover');
  kill('SIGQUIT');
  if (!(await gone(STOP_SECONDS))) throw new EmbeddedPostgresError(`the embedded PostgreSQL (process ${pid}) does not stop`);
}

/**
 * Starts the PostgreSQL of this folder, or takes over the one that survived the process which had started it. Answers when
 * it accepts connections. Any number of processes may hold the same server; whoever calls `stop` stops it for all.
 * Throws EmbeddedPostgresError when it does not come up within a minute, with the end of its log.
 */
export async function startPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log } = options;
  const folder = await openFolder(options.folder, log);
  let launched: number | undefined;
  for (const end = Date.now() + START_SECONDS * 1000; Date.now() < end; await delay(POLL_MS)) {
    const postmaster = findPostmaster(folder.data, log);
    if (!postmaster) {
      // Absent: never started, or just launched and not that far yet, or it gave up (port taken, the processes of a
      // killed predecessor still around) and is launched again.
      if (launched === undefined || !isAlive(launched)) {
        if (launched !== undefined) await delay(10 * POLL_MS);
        launched = await launch(folder, options);
      }
      continue;
    }
    if (!postmaster.ready) continue;
    const ours = await isOurs(folder, postmaster.port);
    if (ours === undefined) continue;
    if (!ours)
      throw new EmbeddedPostgresError(`${folder.data} is in use by a PostgreSQL that is not ours (process ${postmaster.pid})`);
    const { pid, port } = postmaster;
    const adopted = pid !== launched;
    log.info({ postgres: pid, port, adopted }, 'embedded PostgreSQL is ready');
    return {
      adopted,
      pid,
      port,
      url: connectionUrl('deckle', applicationPassword(folder.password), port, 'deckle'),
      superuserUrl: connectionUrl('postgres', folder.password, port, 'postgres'),
      stop: () => stopServer(pid, folder, log),
    };
  }
  throw new EmbeddedPostgresError(`the embedded PostgreSQL did not start within ${START_SECONDS} s: ${logTail(folder.path)}`);
}

/** Removes the folder of a server that is stopped. */
export const removePostgres = (folder: string): void => rmSync(folder, { recursive: true, force: true });
