import { z } from 'zod';
import { StorageFullError } from '../../storage/storage.ts';
import { fullDiskIn } from '../full-disk.ts';

/** A task's `error` on the wire (spec: tasks, error object). `traceback` is null: ours is in the log, under the task's id. */
export interface TaskErrorObject {
  readonly description: string;
  readonly traceback: null;
  readonly error_code?: string;
  /** Of tasks that nobody could finish: the text that Pulp's clients know. */
  readonly reason?: string;
}

const MAX_DESCRIPTION = 10_000;

const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/(\w+:\/\/)[^\s/?#'"]*@/g, '$1'],
  [/\b(Bearer|Basic|Token)\s+(?![a-z_]+=)[A-Za-z0-9+/=._~-]{8,}/gi, '$1 ***'],
  [/([?&](?:[a-z_-]*token|sig|signature|password|x-amz-[a-z-]+|x-goog-[a-z-]+)=)[^&\s'"]+/gi, '$1***'],
];

/** Takes credentials out of a text that is shown: userinfo of URLs, authorization values, signed query parameters. */
export const withoutSecrets = (text: string): string =>
  SECRETS.reduce((shown, [pattern, replacement]) => shown.replace(pattern, replacement), text);

function messageOf(error: unknown): string {
  if (error instanceof z.ZodError) return `The task's arguments are not valid: ${z.prettifyError(error)}`;
  if (!(error instanceof Error)) return String(error);
  const full = fullDiskIn(error);
  // The storage's own error says all that already.
  if (full && !(full instanceof StorageFullError))
    return `${error.message}. The disk is full: make room in DATA_DIR, or delete repository versions that are not needed and run an orphan cleanup, then ask for the task again.`;
  if (error.message !== '') return error.message;
  // Refused connections to several addresses come as an AggregateError without a message.
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** What a failed task shows of the error that ended it: its message, without secrets, and its code if it has one. */
export function taskErrorOf(error: unknown): TaskErrorObject {
  // PostgreSQL's JSON cannot hold a NUL.
  const description = withoutSecrets(messageOf(error)).replaceAll('\0', '').slice(0, MAX_DESCRIPTION);
  const code = error instanceof Error && 'error_code' in error ? error.error_code : undefined;
  return { description, traceback: null, ...(typeof code === 'string' ? { error_code: code } : {}) };
}

/** The worker's process vanished with the task in hand (spec: tasks, states; pains: 16). */
export const WORKER_MISSING: TaskErrorObject = {
  reason: 'Worker has gone missing.',
  description:
    'Worker has gone missing. The process that ran this task ended or lost the database; what it had not finished is undone or ' +
    'unpublished. Look at the log of that worker for the cause (out of memory, restart of its machine), then ask for the task again.',
  traceback: null,
};

/** The worker was stopped and the task is not safe to run twice. */
export const WORKER_SHUTDOWN: TaskErrorObject = {
  reason: 'Aborted during worker shutdown.',
  description: 'Aborted during worker shutdown. The worker was stopped while it ran this task; ask for the task again.',
  traceback: null,
};
