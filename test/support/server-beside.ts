import { eventually } from '../queue/eventually.ts';
import type { TestApp } from './app.ts';
import { type DeckleProcess, runDeckle } from './deckle-process.ts';
import { freePort } from './free-port.ts';

/** A server that shares all with a test's Deckle, and is a process of its own. */
export interface ServerBeside {
  readonly url: string;
  readonly process: DeckleProcess;
  kill(): Promise<void>;
}

/** Starts one that answers as `app` does; `database`: another way to the same database. Resolves when it is ready. */
export async function startServerBeside(app: TestApp, database = app.services.config.DATABASE_URL): Promise<ServerBeside> {
  const { DATA_DIR, PULP_CONTENT_ORIGIN, DECKLE_PULL_THROUGH_FRESH_SECONDS } = app.services.config;
  const port = await freePort();
  const process = runDeckle(['server'], {
    DATABASE_URL: database ?? '',
    DATA_DIR,
    PULP_CONTENT_ORIGIN,
    DECKLE_PULL_THROUGH_FRESH_SECONDS: String(DECKLE_PULL_THROUGH_FRESH_SECONDS),
    PORT: String(port),
    DECKLE_SERVERS: '1',
    LOG_LEVEL: 'fatal',
  });
  const url = `http://127.0.0.1:${port}`;
  const kill = async (): Promise<void> => {
    process.kill('SIGKILL');
    await process.exit;
  };
  try {
    await eventually(`a server at ${port}`, async () => {
      const answer = await fetch(`${url}/pulp/api/v3/readyz/`).catch(() => undefined);
      return answer?.ok;
    });
  } catch (error) {
    await kill();
    throw error;
  }
  return { url, process, kill };
}
