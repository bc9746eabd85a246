import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { type EmbeddedPostgres, startPostgres } from './postgres.ts';

/** Another supervisor is at work on the same folder. */
export class AlreadyRunningError extends Error {
  override readonly name = 'AlreadyRunningError';
}

/** An embedded PostgreSQL that this process alone is in charge of, and that is started again when it dies. */
export interface SupervisedPostgres {
  readonly url: string;
  stop(): Promise<void>;
}

// Held in the server itself for as long as its supervisor lives: it ends with the connection, however that ends.
const LOCK = 72707370;
/** The lock of a supervisor that was killed goes when the server notices. */
const LOCK_TRIES = 20;
const RETRY_MS = 100;

/** Makes this process the only supervisor of the server. Throws AlreadyRunningError, naming the process that is. */
async function takeLock(server: EmbeddedPostgres, folder: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: server.superuserUrl,
    application_name: `supervisor ${process.pid}`,
    keepAlive: true,
  });
  client.on('error', () => undefined); // `end` follows
  try {
    await client.connect();
    for (let tries = 1; tries <= LOCK_TRIES; tries += 1) {
      const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [LOCK]);
      if (rows[0]?.taken) return client;
      await delay(RETRY_MS);
    }
    const { rows } = await client.query<{ application_name: string }>(
      `select application_name from pg_locks join pg_stat_activity using (pid)
       where locktype = 'advisory' and granted and objid = $1`,
      [LOCK],
    );
    const holder = rows[0]?.application_name.replace('supervisor', 'process') ?? 'another process';
    throw new AlreadyRunningError(`Deckle already runs on ${folder} (${holder}); stop it first, or choose another DATA_DIR`);
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

/**
 * Starts the server and stays in charge: when it dies, it is started again on the same port, so that all who are
 * connected come back by themselves. `onGivenUp` is called when that fails. Throws AlreadyRunningError or
 * EmbeddedPostgresError.
 */
export async function supervisePostgres(options: {
  /** Keeps the server's files. */
  readonly folder: string;
  readonly log: Logger;
  readonly onGivenUp: (error: Error) => void;
}): Promise<SupervisedPostgres> {
  const { folder, log } = options;
  let stopping = false;
  let restarting = Promise.resolve();

  const watch = (client: pg.Client): void => {
    client.once('end', () => {
      if (stopping) return;
      log.error({ folder }, 'embedded PostgreSQL is gone; starting it again');
      restarting = restart().catch((error: unknown) => {
        if (!stopping) options.onGivenUp(error as Error);
      });
    });
  };
  let server = await startPostgres({ folder, log });
  watch(await takeLock(server, folder));
  const { port } = server;
  const restart = async (): Promise<void> => {
    for (let tries = 1; !stopping; tries += 1) {
      try {
        server = await startPostgres({ folder, log, port });
        watch(await takeLock(server, folder));
        return;
      } catch (error) {
        // It may have died in between.
        if (tries === LOCK_TRIES || error instanceof AlreadyRunningError) throw error;
        await delay(RETRY_MS);
      }
    }
  };
  return {
    url: server.url,
    async stop() {
      stopping = true;
      await restarting;
      await server.stop();
    },
  };
}
