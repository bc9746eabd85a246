import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A server that the bench started. */
export interface ChildServer {
  readonly pid: number;
  /** Asks it to end and waits; after 20 s it is killed. */
  stop(): Promise<void>;
}

/**
 * Starts a server and waits until `url` answers. Its output goes to `logFile`.
 * Throws, naming the log, when it ends early or does not answer within `seconds`.
 */
export async function startServer(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; logFile: string; url: string; seconds?: number },
): Promise<ChildServer> {
  const log = openSync(options.logFile, 'a');
  const child = spawn(command, args, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const deadline = performance.now() + (options.seconds ?? 60) * 1000;
  while (!(await answers(options.url))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${command} ended before it answered; see ${options.logFile}`);
    }
    if (performance.now() > deadline) {
      await stop(child);
      throw new Error(`${command} did not answer at ${options.url} in time; see ${options.logFile}`);
    }
    await delay(50);
  }
  if (child.pid === undefined) throw new Error(`${command} has no process id`);
  return { pid: child.pid, stop: () => stop(child) };
}

/** A port nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(timer);
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // not up yet: the caller asks again until its deadline
  }
}
