import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Database } from '../db/database.ts';
import type { SecretBox } from '../lib/secret-box.ts';
import type { Queue } from '../queue/queue.ts';
import type { Storage } from '../storage/storage.ts';
import type { Catalog } from './catalog.ts';
import type { Access } from './policy.ts';

/** What every process is made of; src/services.ts composes it. */
export interface Services {
  readonly config: Config;
  readonly db: Database;
  readonly storage: Storage;
  readonly queue: Queue;
  readonly secrets: SecretBox;
  readonly log: Logger;
  readonly clock: () => Date;
  /** The domain that everything belongs to; `default`, made on the first start. */
  readonly domain: { readonly id: string; readonly name: string };
  /** What the plugins declare: content types, resources, tasks. */
  readonly catalog: Catalog;
  readonly access: Access;
}
