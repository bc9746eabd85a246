import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { ADMIN } from './core/bootstrap.ts';
import { startHeartbeat } from './core/tasks/heartbeat.ts';
import { keepSchedules } from './core/tasks/schedules.ts';
import { startSweeper } from './core/tasks/sweeper.ts';
import { prepareDataFolder } from './data-folder.ts';
import { createApp } from './http/app.ts';
import { verifyPassword } from './lib/password-hash.ts';
import type { Running } from './run.ts';
import { openServices, type ProcessServices } from './services.ts';

/** How long requests at work may take when the server stops. */
const DRAIN_MS = 8_000;

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host);

/** The password that everybody knows, where everybody can reach us. */
async function warnOfDefaultPassword({ config, db, log }: ProcessServices): Promise<void> {
  if (isLoopback(config.HOST)) return;
  const admin = await db.prisma.user.findUnique({ where: { username: ADMIN, is_active: true } });
  if (admin?.password && (await verifyPassword('password', admin.password))) {
    log.warn(
      { host: config.HOST },
      'the user admin still has the password "password" and this server is reachable from other machines; run `deckle admin reset-password`',
    );
  }
}

/** The server at work: REST API, Registry API and content. `url` is where it listens. */
export interface Server extends Running {
  readonly url: string;
  readonly services: ProcessServices;
}

/** Composes the server and listens. Throws what cannot be opened, and the listener's error when the port is in use. */
export async function startServer(config: Config, log: Logger): Promise<Server> {
  prepareDataFolder(config.DATA_DIR);
  const services = await openServices(config, log);
  try {
    await keepSchedules(services);
    const app = await createApp(services);
    const url = await app.listen({ host: config.HOST, port: config.PORT });
    // What runs inside a request is over before it would be given away.
    const atWork = () => [];
    const heartbeats = [await startHeartbeat(services, 'api', { atWork }), await startHeartbeat(services, 'content', { atWork })];
    const sweeper = startSweeper(services);
    warnOfDefaultPassword(services).catch((error: unknown) => log.warn({ err: error }, 'password of admin could not be checked'));
    return {
      url,
      services,
      async stop() {
        const closed = app.close();
        const drained = await Promise.race([closed, delay(DRAIN_MS, 'late', { ref: false })]);
        if (drained === 'late') {
          log.warn({ ms: DRAIN_MS }, 'requests that take longer than this are cut off');
          app.server.closeAllConnections();
          await closed;
        }
        await sweeper.stop();
        for (const heartbeat of heartbeats) await heartbeat.stop();
        await services.close();
      },
    };
  } catch (error) {
    await services.close();
    throw error;
  }
}
