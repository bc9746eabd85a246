import { type ChildProcess, fork } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Running, SupervisorMessage } from './run.ts';

/** Longer than a process gives itself. */
const KILL_AFTER_MS = 13_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** A process that lived this long had started well: the next pause is a short one again. */
const LIVED_WELL_MS = 60_000;
const MiB = 2 ** 20;

/** A process that ended before it was ready. */
export class ChildFailedError extends Error {
  override readonly name = 'ChildFailedError';
  /** Whether it has said why, on stderr; a process that was killed has not. */
  readonly explained: boolean;
  constructor(name: string, { exitCode, signalCode }: ChildProcess) {
    super(`the ${name} did not start (${signalCode ?? `exit status ${exitCode}`})`);
    this.explained = exitCode === 1;
  }
}

export interface ChildOptions {
  /** In logs: `server 2`, `worker 1`. */
  readonly name: string;
  /** The module to run, its arguments and its environment. */
  readonly module: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** Whether it listens at the port of others of its kind: this process accepts the connections. Default: no. */
  readonly sharesPort?: boolean;
}

/** A server's objects mostly die young, or stay: each of these costs 10 to 30 MB less so, and answers as much (docs/adr/022). */
const SERVER_FLAGS = ['--max-semi-space-size=2'];
/** Two places to take memory from, which give back what is free at their end; with these limits they are not changed by what was once large. */
const SERVER_ENV = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: `${4 * MiB}`, MALLOC_TRIM_THRESHOLD_: `${4 * MiB}` };

function forkChild({ module, args, env, sharesPort }: ChildOptions): ChildProcess {
  if (!sharesPort) return fork(module, [...args], { env });
  cluster.setupPrimary({ exec: module, args: [...args], execArgv: [...process.execArgv, ...SERVER_FLAGS] });
  return cluster.fork({ ...SERVER_ENV, ...env }).process;
}

const hasEnded = (child: ChildProcess): boolean =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null;

/** Resolves when the process has said that it is ready. Throws ChildFailedError when it ends before. */
async function whenReady(child: ChildProcess, name: string): Promise<void> {
  const ready = new Promise<boolean>((resolve) => {
    child.once('message', () => resolve(true));
    child.once('exit', () => resolve(false));
    child.once('error', () => resolve(false));
  });
  if (!(await ready) || hasEnded(child)) throw new ChildFailedError(name, child);
}

/**
 * Starts a process and keeps it running: one that ends is started again, after a pause that grows while it keeps failing.
 * Answers when it is ready. Throws ChildFailedError when it does not get that far the first time.
 */
export async function superviseChild(options: ChildOptions): Promise<Running> {
  const { name, log } = options;
  const stopping = new AbortController();
  let supervising = false;
  let pause = FIRST_PAUSE_MS;

  const launch = (): ChildProcess => {
    const began = Date.now();
    const child = forkChild(options);
    const onEnd = (fields: object) => {
      if (stopping.signal.aborted || !supervising) return;
      if (Date.now() - began > LIVED_WELL_MS) pause = FIRST_PAUSE_MS;
      log.error({ name, pid: child.pid, pause_ms: pause, ...fields }, 'process ended by itself; starting it again');
      const again = () => {
        current = launch();
      };
      delay(pause, undefined, { signal: stopping.signal }).then(again, () => undefined); // aborted: we are stopping
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    };
    child.once('exit', (code, signal) => onEnd({ code, signal }));
    child.once('error', (error) => {
      if (child.pid === undefined) onEnd({ err: error });
    });
    return child;
  };

  let current = launch();
  await whenReady(current, name);
  supervising = true;
  return {
    async stop() {
      stopping.abort();
      if (hasEnded(current)) return;
      const ended = once(current, 'exit');
      if (current.connected) current.send('stop' satisfies SupervisorMessage);
      else current.kill('SIGTERM');
      const timer = setTimeout(() => {
        log.error({ name, pid: current.pid }, 'process does not stop; killing it');
        current.kill('SIGKILL');
      }, KILL_AFTER_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}
