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
  // It answers nobody, and may be busy with a sync: whoever changes something need not wait for it.
  const services = await openServices(config, log, { awaited: false });
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
