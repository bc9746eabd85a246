import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { environmentWith } from './config.ts';
import type { Running } from './run.ts';
import { superviseChild } from './supervised-child.ts';

/** Throws the listener's error (EADDRINUSE, …) where nothing can listen at the port; answers the port, a free one for 0. */
export async function freePort({ HOST, PORT }: Pick<Config, 'HOST' | 'PORT'>): Promise<number> {
  const probe = createServer();
  probe.listen(PORT, HOST);
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error(`${HOST} is no address with ports`);
  return address.port;
}

/**
 * Runs DECKLE_SERVERS server processes on one port, each started again when it dies. This process accepts the connections and hands
 * them round. Resolves when all are ready; throws ChildFailedError when one does not get that far, and nothing of them remains.
 */
export async function superviseServers(
  { DECKLE_SERVERS: count }: Pick<Config, 'DECKLE_SERVERS'>,
  { module, env, log }: { readonly module: string; readonly env: NodeJS.ProcessEnv; readonly log: Logger },
): Promise<Running> {
  const servers: Running[] = [];
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  const launch = async (number: number) => {
    const child = { name: `server ${number}`, module, args: ['server', String(number)], env, log, sharesPort: true };
    servers.push(await superviseChild(child));
  };
  try {
    // What keeps one from starting keeps all: it is said once.
    await launch(1);
    const others = Array.from({ length: count - 1 }, (_, index) => launch(index + 2));
    const failed = (await Promise.allSettled(others)).find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

/** `deckle server` with more than one process: this one supervises them. */
export async function startServers(config: Config, log: Logger, module: string): Promise<Running> {
  const port = await freePort(config);
  return superviseServers(config, { module, env: environmentWith({ PORT: String(port) }), log });
}
