import cluster from 'node:cluster';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ConfigError } from './config.ts';
import { DatabaseAwayError } from './db/database-away.ts';
import { MigrationError } from './db/migrate.ts';
import { BackupRunningError } from './db/snapshot.ts';
import { EmbeddedPostgresError } from './embedded/postgres-program.ts';
import { AlreadyRunningError } from './embedded/supervised-postgres.ts';
import { DeadlineError, withDeadline } from './lib/deadline.ts';
import { SecretError } from './lib/secret-box.ts';
import { SecretKeysError } from './lib/secret-keys.ts';
import { ChildFailedError } from './supervised-child.ts';

/** Something at work that can be stopped. */
export interface Running {
  stop(): Promise<void>;
}

/** What a supervised process and its supervisor say to each other. */
export type SupervisorMessage = 'stop';
export type ChildMessage = 'ready';

/** A Ctrl-C reaches us twice, from the terminal and from npm; a second one is somebody who does not want to wait. */
const SAME_KEYSTROKE_MS = 1_000;
/** Within which a process has to stop. The one that supervises others waits for them and then for its database. */
const STOP_LIMIT_S = 12;
export const SUPERVISOR_STOP_LIMIT_S = 28;

const ORPHANED = 'supervisor is gone';

const EXPECTED = [
  ConfigError,
  MigrationError,
  BackupRunningError,
  EmbeddedPostgresError,
  AlreadyRunningError,
  SecretError,
  SecretKeysError,
  ChildFailedError,
  DeadlineError,
];

/** One line for a failure that the operator can mend, the stack for one that only a developer can. */
export function failureText(error: unknown): string {
  if (EXPECTED.some((kind) => error instanceof kind)) return (error as Error).message;
  if (error instanceof DatabaseAwayError) return failureText(error.cause);
  const { code, address, port, syscall, message } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (code === 'EADDRINUSE') return `PORT: ${port} of ${address} is in use by another program; stop it, or choose another PORT`;
  if (code === 'EACCES' && syscall === 'listen')
    return `PORT: ${port} needs more rights than this user has; choose one above 1023`;
  if (code === 'EADDRNOTAVAIL' || (code === 'ENOTFOUND' && syscall === 'getaddrinfo'))
    return `HOST: ${address ?? message} is no address of this machine`;
  if (syscall === 'connect') return `DATABASE_URL: PostgreSQL at ${address}:${port} does not answer (${code})`;
  // SQLSTATE classes: no such database, wrong credentials, not ready or full.
  if (code === '3D000' || /^(28|53|57P0)/.test(code ?? '')) return `DATABASE_URL: ${message}`;
  return error instanceof Error && error.stack ? error.stack : String(error);
}

/** Says why the program cannot go on, and ends it. */
export function fail(error: unknown): never {
  if (!(error instanceof ChildFailedError && error.explained)) process.stderr.write(`deckle: ${failureText(error)}\n`);
  process.exit(1);
}

/**
 * Runs `start`, then waits to be asked to stop: by SIGINT or SIGTERM, or, in a process that a supervisor started, by the
 * supervisor's message or its end. A second signal ends the process at once; so does, with exit status 1, whatever has neither
 * started nor stopped `limit` seconds after it was asked.
 */
export async function runUntilStopped(log: Logger, start: () => Promise<Running>, limit = STOP_LIMIT_S): Promise<never> {
  const supervised = process.send !== undefined;
  const asked = new Promise<string>((resolve) => {
    let first: number | undefined;
    const onSignal = (signal: string) => {
      if (first === undefined) first = Date.now();
      else if (Date.now() - first > SAME_KEYSTROKE_MS) process.exit(1);
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    // A Ctrl-C reaches the whole group; the supervisor decides in which order it stops.
    process.on('SIGINT', supervised ? () => undefined : onSignal);
    process.on('SIGHUP', supervised ? () => undefined : onSignal);
    process.on('message', (message: SupervisorMessage) => message === 'stop' && resolve('supervisor'));
    process.on('disconnect', () => resolve(ORPHANED));
  });
  // Else the end of the supervisor would be ours too, in the midst of requests.
  if (cluster.worker) cluster.worker.exitedAfterDisconnect = true;
  // It may have died while this program was loading, when nobody listened.
  if (supervised && !process.connected) {
    log.info({ by: ORPHANED }, 'not started');
    process.exit();
  }
  try {
    const overdue = asked.then(() => delay(limit * 1_000, undefined, { ref: false }));
    const running = await Promise.race([start(), overdue]);
    if (!running)
      throw new DeadlineError(`asked to stop while it started, and not ready to within ${limit} s; ending all the same`);
    // Without a callback, a supervisor that has just ended would end us with an error.
    process.send?.('ready' satisfies ChildMessage, undefined, undefined, () => undefined);
    const by = await asked;
    log.info({ by }, 'stopping');
    await withDeadline(running.stop(), limit * 1_000, `did not stop within ${limit} s; ending all the same`);
  } catch (error) {
    fail(error);
  }
  log.info('stopped');
  process.exit(); // with process.exitCode, where something had gone wrong
}
