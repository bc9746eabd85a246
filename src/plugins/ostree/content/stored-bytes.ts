import { type StoredFile, storedFile } from '../../../core/plugin-api.ts';
import type { Services } from '../../../kit/services.ts';
import { checksumsOf } from '../../../lib/checksums.ts';
import { artifactKey } from '../../../storage/layout.ts';
import { MissingFileError } from '../../../storage/storage.ts';

/** The file that these bytes make, with the checksums that this installation wants. Nothing is stored yet. */
const fileOf = (bytes: Buffer, { config }: Pick<Services, 'config'>): StoredFile =>
  storedFile(bytes.length, checksumsOf(config.PULP_ALLOWED_CONTENT_CHECKSUMS, bytes));

/** Stores bytes; durable when this resolves. */
export async function storeBytes(bytes: Buffer, services: Pick<Services, 'config' | 'storage'>): Promise<StoredFile> {
  const file = fileOf(bytes, services);
  await services.storage.putSmall([{ key: artifactKey(file.checksums.sha256), body: bytes }]);
  return file;
}

/** The bytes of a stored file; undefined where it is lost: whoever can get it again does. */
export async function readStored(key: string, { storage }: Pick<Services, 'storage'>): Promise<Buffer | undefined> {
  try {
    return await storage.readWhole(key);
  } catch (error) {
    if (error instanceof MissingFileError) return undefined;
    throw error;
  }
}
