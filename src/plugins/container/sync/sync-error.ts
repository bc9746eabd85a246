/** What a sync could not do, with the cause's own message first, which clients know, and then the reference it was at. */
export class SyncError extends Error {
  override readonly name = 'SyncError';
  /** Pulp's code, which stands in front of the message of errors that have one. */
  readonly error_code: string | undefined;

  constructor(cause: Error, while_: string) {
    super(`${cause.message} (${while_})`, { cause });
    this.error_code = /^\[(PLP\d+)\]/.exec(cause.message)?.[1];
  }
}

/** Runs `step`; its error gets to know what was being synced, unless it knows already. */
export async function syncing<T>(what: string, signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    // An abort is no failure of this reference.
    if (!(error instanceof Error) || error instanceof SyncError || (signal.aborted && error === signal.reason)) throw error;
    throw new SyncError(error, what);
  }
}
