import { setTimeout as delay } from 'node:timers/promises';
import { createPostgresBackend, type PostgresConnectionOptions, runMigrations, withBackend } from 'bullmq';
import pg from 'pg';
import type { Logger } from 'pino';
import type { Backend } from './backend.ts';

const SCHEMA = 'bullmq';
/** One connection listens, the others take and finish jobs. */
const CONNECTIONS = 4;
const RETRY_MS = 250;

/**
 * A pool whose failing queries reject after a pause: BullMQ asks again at once after every error but a refused connection,
 * and would keep a core busy while PostgreSQL starts or recovers.
 */
function pacedPool(url: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS,
    // A wake-up that is lost with the server is sent again, so its commits need not wait for the disk.
    options: `-c timezone=UTC -c search_path=${SCHEMA} -c synchronous_commit=off`,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
  });
  // BullMQ listens once a queue and once a worker, and never stops.
  pool.setMaxListeners(0);
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>;
  pool.query = (async (...args: unknown[]) => {
    try {
      return await query(...args);
    } catch (error) {
      await delay(RETRY_MS);
      throw error;
    }
  }) as typeof pool.query;
  return pool;
}

/** BullMQ on the PostgreSQL at `url`, in its own schema, which is made or brought up to date first. Rejects where the server is away. */
export async function postgresBackend(url: string, log: Logger): Promise<Backend> {
  const pool = pacedPool(url);
  pool.on('error', (error) => log.warn({ err: error }, 'idle connection of the task queue lost'));
  try {
    const client = await pool.connect();
    try {
      await runMigrations(client, SCHEMA);
    } finally {
      client.release();
    }
  } catch (error) {
    await pool.end();
    throw error;
  }
  const { Queue, Worker } = withBackend(createPostgresBackend);
  // BullMQ describes a pool by a type of its own, which pg's does not fit, though the object does.
  const connection = pool as unknown as PostgresConnectionOptions;
  return {
    place: 'PostgreSQL',
    producer: (settings) => new Queue('tasks', { ...settings, connection }),
    consumer: (processor, settings) => {
      const worker = new Worker('tasks', processor, { ...settings, autorun: false, connection });
      const close = worker.close.bind(worker);
      // One that is closed before it is ready borrows its listening connection afterwards and keeps it: the pool would never end.
      worker.close = async (force) => {
        await worker.waitUntilReady().catch(() => undefined);
        await close(force);
      };
      return worker;
    },
    connected: async () => undefined,
    close: () => pool.end(),
  };
}
