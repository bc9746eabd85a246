import { StorageFullError } from '../storage/storage.ts';

/** Of the file system: no space, no quota. Of PostgreSQL: `disk_full`. */
const CODES = new Set<unknown>(['ENOSPC', 'EDQUOT', '53100']);

/** The error that says that a disk is full, the storage's, the database's or any other, where that is the cause of `error`. */
export function fullDiskIn(error: unknown): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof StorageFullError || ('code' in error && CODES.has(error.code))) return error;
  return fullDiskIn(error.cause);
}
