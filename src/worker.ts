import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { startWorker as startTaskWorker } from './core/tasks/worker.ts';
import { prepareDataFolder } from './data-folder.ts';
import type { Running } from './run.ts';
import { openServices, type ProcessServices } from './services.ts';

/** A worker at work. */
export interface Worker extends Running {
  readonly services: ProcessServices;
}

/** Composes a worker and lets it run tasks. Throws what cannot be opened. */
export async function startWorker(config: Config, log: Logger): Promise<Worker> {
  prepareDataFolder(config.DATA_DIR);
  const services = await openServices(config, log);
  try {
    const tasks = await startTaskWorker(services);
    return {
      services,
      async stop() {
        await tasks.stop();
        await services.close();
      },
    };
  } catch (error) {
    await services.close();
    throw error;
  }
}
