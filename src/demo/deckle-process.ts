import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environmentWith } from '../config.ts';
import { packageRoot } from '../lib/package-root.ts';

/** The user that a new Deckle has. */
export const DEMO_CREDENTIALS = { username: 'admin', password: 'password' };

const READY_LIMIT_MS = 60_000;

/** A complete Deckle: database, server and workers. */
export interface DeckleProcess {
  readonly url: string;
  /** Resolves when it answers; rejects with the end of its log when it ends before, or takes more than a minute. */
  readonly ready: Promise<void>;
  /** Stops all of it; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Launches `deckle start` on a port, with everything it keeps below `folder`, whatever the environment is set to. */
export function launchDeckle(folder: string, port: number): DeckleProcess {
  const url = `http://127.0.0.1:${port}`;
  const logFile = join(folder, 'deckle.log');
  const log = openSync(logFile, 'a');
  const child = fork(program(), ['start'], {
    stdio: ['ignore', log, log, 'ipc'],
    env: environmentWith({
      HOST: '127.0.0.1',
      PORT: String(port),
      DATA_DIR: join(folder, 'data'),
      DATABASE_URL: '',
      REDIS_URL: '',
      DECKLE_SERVERS: '1',
      WORKERS: '1',
      ADMIN_PASSWORD: DEMO_CREDENTIALS.password,
      PULP_CONTENT_ORIGIN: url,
      PULP_TOKEN_SERVER: '',
      PULP_TOKEN_AUTH_DISABLED: '',
    }),
  });
  closeSync(log);
  const ended = once(child, 'exit');
  return {
    url,
    ready: whenReady(child, ended, logFile),
    stop: async () => {
      // Losing us is what makes it stop: it does so too should we die without calling this.
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

/** The program beside this module: the bundle, or the source when this runs from the sources. */
function program(): string {
  const own = fileURLToPath(import.meta.url);
  return own.endsWith('.ts') ? join(packageRoot(), 'src', 'deckle.ts') : join(packageRoot(), 'dist', 'deckle.mjs');
}

async function whenReady(child: ChildProcess, ended: Promise<unknown>, logFile: string): Promise<void> {
  const timer = setTimeout(() => child.kill('SIGTERM'), READY_LIMIT_MS);
  const outcome = await Promise.race([once(child, 'message').then(() => 'ready'), ended.then(() => 'ended')]);
  clearTimeout(timer);
  if (outcome === 'ready') return;
  const lastLines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-10).join('\n');
  throw new Error(`Deckle did not start. The end of its log:\n${lastLines}`);
}

/** A port of this machine at which nothing listens. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
