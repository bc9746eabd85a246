import type { Services } from '../../kit/services.ts';
import { StorageFullError } from '../../storage/storage.ts';

const MiB = 2 ** 20;

/**
 * Throws StorageFullError, before anything is written, where so many more bytes would leave less than DECKLE_FREE_SPACE_MB of the
 * storage free: uploads must not be what fills the disk that syncs and the database need (security rule 12).
 */
export async function requireSpace({ storage, config }: Pick<Services, 'storage' | 'config'>, bytes: number): Promise<void> {
  const capacity = await storage.capacity();
  if (capacity && capacity.free - bytes < config.DECKLE_FREE_SPACE_MB * MiB) throw new StorageFullError(config.DATA_DIR);
}
