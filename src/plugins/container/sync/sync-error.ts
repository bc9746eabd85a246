/** What a sync could not do: the cause's own message first, which clients know, then where the sync was, from the inside out. */
export class SyncError extends Error {
  override readonly name = 'SyncError';
  override readonly cause: Error;
  readonly places: readonly string[];
  /** Pulp's code, which stands in front of the message of errors that have one. */
  readonly error_code: string | undefined;

  constructor(cause: Error, places: readonly string[]) {
    super(`${cause.message} (${places.join(', in ')})`);
    this.cause = cause;
    this.places = places;
    this.error_code = /^\[(PLP\d+)\]/.exec(cause.message)?.[1];
  }
}

/** Runs `step`; its error gets to know what was being synced. */
export async function syncing<T>(place: string, signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    // An abort is no failure of this reference.
    if (!(error instanceof Error) || (signal.aborted && error === signal.reason)) throw error;
    throw error instanceof SyncError ? new SyncError(error.cause, [...error.places, place]) : new SyncError(error, [place]);
  }
}
