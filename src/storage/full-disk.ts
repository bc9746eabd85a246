import { StorageFullError } from './storage.ts';

/** Errors of the file system carry a code such as ENOENT. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** A full disk or quota as StorageFullError; any other error as it is. For whoever writes to a pending file's path itself. */
export const namedError = (error: unknown, folder: string): unknown =>
  codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT' ? new StorageFullError(folder, { cause: error }) : error;
