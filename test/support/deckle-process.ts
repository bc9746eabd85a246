import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from '../../src/embedded/postgres-folder.ts';
import { packageRoot } from '../../src/lib/package-root.ts';
import { eventually } from '../queue/eventually.ts';
import { freePort } from './free-port.ts';

const PROGRAM = join(packageRoot(), 'dist/deckle.mjs');

/** A run of the program, as a process of its own that leads its own group, as in a terminal. */
export interface DeckleProcess {
  readonly pid: number;
  /** What it and its children have written so far. */
  output(): string;
  /** What it alone has written to stderr. */
  errors(): string;
  /** Its exit code when it has ended, by itself or not, and its children too; null after a signal. */
  readonly exit: Promise<number | null>;
  /** Signals this process alone. */
  kill(signal: NodeJS.Signals): void;
  /** Signals its whole group, as a Ctrl-C does. */
  killGroup(signal: NodeJS.Signals): void;
  /** What a process that was run as supervised sees of the death of its supervisor. */
  orphan(): void;
}

/** Groups of processes that run. A test file that is ended before its end takes them along: nobody else would end them. */
const runs = new Set<number>();
process.once('SIGTERM', () => process.exit(1));
process.once('exit', () => {
  for (const pid of runs) process.kill(-pid, 'SIGKILL');
});

/**
 * Runs `deckle ARGUMENT…`, as it is built before the tests. `env` is all that it sees of the environment but PATH and HOME. `supervised`: as
 * `deckle start` runs its servers and workers.
 */
export function runDeckle(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { input = '', supervised = false } = {},
): DeckleProcess {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', ...(supervised ? (['ipc'] as const) : [])],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: tmpdir(), ...env },
  }) as ChildProcessWithoutNullStreams;
  const { pid, stdin, stdout, stderr } = child;
  if (pid === undefined) throw new Error('deckle could not be run');
  let [output, errors] = ['', ''];
  stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    errors += text;
  });
  stdin.end(input);
  runs.add(pid);
  child.once('exit', () => runs.delete(pid));
  // Not its `close`, which never comes where we have disconnected from it.
  const ended = Promise.all([once(child, 'exit'), once(stdout, 'close'), once(stderr, 'close')]);
  return {
    pid,
    output: () => output,
    errors: () => errors,
    exit: ended.then(([[code]]) => code as number | null),
    kill: (signal) => void child.kill(signal),
    killGroup: (signal) => void process.kill(-pid, signal),
    orphan: () => child.disconnect(),
  };
}

/** A folder and a port for `deckle start`, used by one start after the other. */
export interface Installation {
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  readonly dataDir: string;
  /** `deckle start`, when it is ready. */
  start(): Promise<DeckleProcess>;
  request(method: string, path: string, body?: object): Promise<{ status: number; body: unknown }>;
  /** Process id of the embedded PostgreSQL. */
  postgresPid(): Promise<number>;
  /** Process ids by kind, as `/status/` names them. */
  processes(): Promise<{ api: number[]; workers: number[] }>;
  /** Ends whatever still runs and removes the folder. */
  remove(): Promise<void>;
}

/** A fresh installation in a folder of its own. */
export async function createInstallation(settings: Readonly<Record<string, string>> = {}): Promise<Installation> {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'deckle-start-')), 'data');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { DATA_DIR: dataDir, PORT: String(port), DECKLE_SERVERS: '1', ...settings };
  const started: DeckleProcess[] = [];
  const request: Installation['request'] = async (method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Basic ${btoa('admin:password')}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
      signal: AbortSignal.timeout(10_000),
    });
    return { status: response.status, body: await response.json() };
  };
  const postgresPid = async () =>
    Number((await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8')).split('\n', 1)[0]);
  return {
    url,
    env,
    dataDir,
    request,
    postgresPid,
    async start() {
      const deckle = runDeckle(['start'], env);
      started.push(deckle);
      let ended = false;
      void deckle.exit.then(() => {
        ended = true;
      });
      await eventually('Deckle is ready', () => {
        if (ended) throw new Error(`it ended: ${deckle.output()}`);
        return deckle.output().includes('Deckle is ready');
      });
      return deckle;
    },
    async processes() {
      const { body } = await request('GET', '/pulp/api/v3/status/');
      const { online_api_apps: api, online_workers: workers } = body as Record<string, { name: string }[]>;
      const pids = (rows: { name: string }[] = []) => rows.map(({ name }) => Number.parseInt(name, 10)).filter(isAlive);
      return { api: pids(api), workers: pids(workers) };
    },
    async remove() {
      const postmaster = await postgresPid().catch(() => undefined);
      for (const deckle of started) {
        try {
          deckle.killGroup('SIGKILL');
        } catch {
          // Nobody is left in its group.
        }
        await deckle.exit;
      }
      if (postmaster !== undefined && isAlive(postmaster)) {
        process.kill(postmaster, 'SIGQUIT');
        await eventually('PostgreSQL has ended', () => !isAlive(postmaster));
      }
      await rm(join(dataDir, '..'), { recursive: true, force: true });
    },
  };
}
