import { Queue, Worker } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { withDeadline } from '../lib/deadline.ts';
import type { Backend } from './backend.ts';

/** Namespaces the keys, so that the Redis may serve others too. Two Deckles share one Redis by its database numbers (`redis://host/1`). */
const PREFIX = 'deckle';
const CONNECT_MS = 5_000;
const COMMAND_MS = 2_000;
const PING_MS = 200;
const LONGEST_PAUSE_MS = 1_000;

/** A request must not wait for a Redis that is away: commands fail at once, the sweeper makes good for them. */
const impatient: RedisOptions = { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_MS };
/** A worker waits for its Redis for ever; BullMQ demands the null. */
const patient: RedisOptions = { maxRetriesPerRequest: null };

/**
 * Ends a connection and with it the commands that wait for it. One that is between two attempts to come back has to make
 * another: cut off there, ioredis would leave its waiting commands open for ever, and BullMQ's worker with them.
 */
async function endConnection(client: Redis): Promise<void> {
  if (client.status === 'end') return;
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  client.once('connect', () => client.disconnect());
  const between = client.status === 'reconnecting';
  client.disconnect();
  // That this attempt fails is what it is for; `end` follows.
  if (between) client.connect().catch(() => undefined);
  await ended;
}

/** BullMQ on the Redis at `url`. Connects in the background, so that a Redis that is away delays no start. */
export function redisBackend(url: string, log: Logger): Backend {
  const { host } = new URL(url);
  const place = `Redis at ${host}`;
  const clients: Redis[] = [];
  let leaving = false;
  const connect = (options: RedisOptions): Redis => {
    const client = new Redis(url, {
      ...options,
      connectTimeout: CONNECT_MS,
      retryStrategy: (attempt) => (leaving ? null : Math.min(attempt * 100, LONGEST_PAUSE_MS)),
    });
    let reported = false;
    client.on('error', (error: Error) => {
      if (!reported) log.warn({ err: error, place }, 'Redis is away; tasks wait until it is back');
      reported = true;
    });
    client.on('ready', () => {
      if (reported) log.info({ place }, 'Redis is back');
      reported = false;
    });
    clients.push(client);
    // BullMQ makes the connection that its worker waits on from this one, and leaves it trying for ever when Redis is away.
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (override) => {
      const copy = duplicate(override);
      clients.push(copy);
      return copy;
    };
    return client;
  };
  const producing = connect(impatient);
  return {
    place,
    producer: (settings) => new Queue('tasks', { ...settings, prefix: PREFIX, connection: producing }),
    consumer: (processor, settings) =>
      new Worker('tasks', processor, { ...settings, prefix: PREFIX, autorun: false, connection: connect(patient) }),
    connected: () =>
      withDeadline(producing.ping(), PING_MS, `${place} does not answer`).then(
        () => true,
        () => false,
      ),
    close: async () => {
      leaving = true;
      await Promise.all(clients.map(endConnection));
    },
  };
}
