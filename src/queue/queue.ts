/** A call for a task that can run: its id, and how often it was claimed before. Two calls with the same two are one. */
export interface WakeUp {
  readonly id: string;
  readonly fence: number;
}

/** Wakes workers up. Losing a wake-up is harmless: the sweeper of core/tasks sends it again. */
export interface Queue {
  /** Says that these tasks can run. Rejects within some seconds where the server behind it is away. */
  enqueue(wakeUps: readonly WakeUp[]): Promise<void>;
  /**
   * Calls `handler` for each wake-up, at most `concurrency` at once. Answers how to stop: no new wake-ups are taken, and the
   * promise resolves when the handlers at work have ended.
   */
  consume(handler: (taskId: string) => Promise<void>, concurrency: number): Promise<() => Promise<void>>;
  /** Whether the server behind it answers, for /status/; undefined where it is the database itself. */
  connected(): Promise<boolean | undefined>;
  close(): Promise<void>;
}
