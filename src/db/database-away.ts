const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** SQLSTATE: connection exceptions, insufficient resources, operator intervention (shutdown, start-up). */
const SQLSTATES = /^(08|53|57P0)/;
const MESSAGES =
  /connection terminated|connection ended|timeout exceeded when trying to connect|connection error and is not queryable/i;

/** PostgreSQL was away, starting, or full: the same may succeed later. Carries what the cause tells of itself (`code`, `syscall`, …). */
export class DatabaseAwayError extends Error {
  override readonly name = 'DatabaseAwayError';
  readonly code: string | undefined;

  constructor(cause: Error & { readonly code?: unknown }) {
    super(`The database cannot answer at the moment (${cause.message || String(cause.code)})`, { cause });
    this.code = typeof cause.code === 'string' ? cause.code : undefined;
  }
}

/** An error of a statement or a connection as DatabaseAwayError where it is one; any other as it is. */
export function namedDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseAwayError) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return SOCKET_CODES.has(code) || SQLSTATES.test(code) || MESSAGES.test(error.message) ? new DatabaseAwayError(error) : error;
}
