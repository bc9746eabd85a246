/** Why a task's signal is aborted; the signal's `reason`. */
export abstract class AbortCause extends Error {}

export class TaskCanceled extends AbortCause {
  override readonly name = 'TaskCanceled';
  constructor() {
    super('The task was canceled.');
  }
}

export class WorkerShutdown extends AbortCause {
  override readonly name = 'WorkerShutdown';
  constructor() {
    super('The worker is being stopped.');
  }
}

/** The task is no longer this worker's: it was given up for lost, and ended or handed on. */
export class TaskSuperseded extends AbortCause {
  override readonly name = 'TaskSuperseded';
  constructor() {
    super('The task was taken from this worker.');
  }
}

export class TaskTimedOut extends AbortCause {
  override readonly name = 'TaskTimedOut';
  constructor(seconds: number) {
    super(`The task did not end within ${seconds} s, the limit for tasks that run inside a request.`);
  }
}
