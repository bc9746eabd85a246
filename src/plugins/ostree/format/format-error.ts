/**
 * What an OSTree repository answered is not what it should be. The message names the thing (`<checksum>.dirtree`, `summary`, …) and
 * the reason, for the operator who reads it in a failed task.
 */
export class FormatError extends Error {
  override readonly name = 'FormatError';
}

/** The name of the thing that is parsed; a function where it costs something to find out. */
export type Subject = string | (() => string);

/** Throws a FormatError: `<subject>: <reason>`. */
export function refuse(subject: Subject, reason: string, cause?: unknown): never {
  const name = typeof subject === 'string' ? subject : subject();
  throw new FormatError(`${name}: ${reason}`, cause === undefined ? undefined : { cause });
}
