import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ConfigError } from './config.ts';
import { MigrationError } from './db/migrate.ts';
import { EmbeddedPostgresError } from './embedded/postgres-program.ts';
import { AlreadyRunningError } from './embedded/supervised-postgres.ts';
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
const STOP_LIMIT_MS = 20_000;

const EXPECTED = [
  ConfigError,
  MigrationError,
  EmbeddedPostgresError,
  AlreadyRunningError,
  SecretError,
  SecretKeysError,
  ChildFailedError,
];

/** One line for a failure that the operator can mend, the stack for one that only a developer can. */
export function failureText(error: unknown): string {
  if (EXPECTED.some((kind) => error instanceof kind)) return (error as Error).message;
  const { code, address, port, syscall, message } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (code === 'EADDRINUSE') return `PORT: ${port} of ${address} is in use by another program; stop it, or choose another PORT`;
  if (code === 'EACCES' && syscall === 'listen')
    return `PORT: ${port} needs more rights than this user has; choose one above 1023`;
  if (code === 'EADDRNOTAVAIL' || (code === 'ENOTFOUND' && syscall === 'getaddrinfo'))
    return `HOST: ${address ?? message} is no address of this machine`;
  if (syscall === 'connect') return `DATABASE_URL: PostgreSQL at ${address}:${port} does not answer (${code})`;
  // SQLSTATE classes: no such database, wrong credentials.
  if (code === '3D000' || code?.startsWith('28')) return `DATABASE_URL: ${message}`;
  return error instanceof Error && error.stack ? error.stack : String(error);
}

/** Says why the program cannot go on, and ends it. */
export function fail(error: unknown): never {
  if (!(error instanceof ChildFailedError && error.explained)) process.stderr.write(`deckle: ${failureText(error)}\n`);
  process.exit(1);
}

/**
 * Runs `start`, then waits to be asked to stop: by SIGINT or SIGTERM, or, in a process that a supervisor started, by the
 * supervisor's message or its end. A second signal ends the process at once.
 */
export async function runUntilStopped(log: Logger, start: () => Promise<Running>): Promise<never> {
  const supervised = process.connected;
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
    process.on('disconnect', () => resolve('supervisor is gone'));
  });
  try {
    const running = await start();
    process.send?.('ready' satisfies ChildMessage);
    const by = await asked;
    log.info({ by }, 'stopping');
    const late = delay(STOP_LIMIT_MS, 'late', { ref: false });
    if ((await Promise.race([running.stop(), late])) === 'late') {
      log.error({ ms: STOP_LIMIT_MS }, 'did not stop in time; ending all the same');
      process.exit(1);
    }
  } catch (error) {
    fail(error);
  }
  log.info('stopped');
  process.exit(); // with process.exitCode, where something had gone wrong
}
