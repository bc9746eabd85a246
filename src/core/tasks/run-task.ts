import type { TaskContext, TaskDefinition } from '../../kit/define-task.ts';
import type { Services } from '../../kit/services.ts';
import { fullDiskIn } from '../full-disk.ts';
import { type AbortCause, TaskCanceled, TaskSuperseded, TaskTimedOut, WorkerShutdown } from './abort-cause.ts';
import { argsPlace, type ClaimedTask } from './claimed-task.ts';
import { isDatabaseAway, untilDatabaseIsBack } from './database-away.ts';
import { LAST_FENCE } from './fence.ts';
import { ProgressBook } from './progress-book.ts';
import { wake } from './reservations.ts';
import { type Ended, type Ending, endTask, releaseTask, writeRecord } from './task-end.ts';
import { taskErrorOf, WORKER_SHUTDOWN } from './task-error.ts';

/** How long a task may take to heed its signal; then it is given up. Its fence keeps it from publishing anything later. */
const GRACE_MS = 10_000;
const SHUTDOWN_GRACE_MS = 3_000;

/** For an end that was refused: what the task has shown may be what the database cannot store. */
const NOTHING_SHOWN: Pick<ProgressBook, 'record'> = {
  record: () => ({ progress_reports: [], created_resources: [], created_resource_prns: [] }),
};

/** A run in progress. */
export interface TaskRun {
  readonly fence: number;
  readonly rerun: boolean;
  /** Resolves when the end is recorded, or was not this run's to record; never rejects. */
  readonly done: Promise<void>;
  /** Aborts the task's signal; the first cause stands, except that a lost task is lost. */
  abort(cause: AbortCause): void;
  /** Stops trying to record the end in a database that is away; the sweeper of another process will. */
  abandon(): void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown } | 'deaf';

/** What `run` came to; `deaf` when its signal was aborted and it went on past the grace. */
function outcomeOf(run: Promise<unknown>, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const settle = (outcome: Outcome) => {
      clearTimeout(timer);
      resolve(outcome);
    };
    run.then(
      (value) => settle({ value }),
      (error: unknown) => settle({ error }),
    );
    const onAbort = () => {
      const grace = signal.reason instanceof TaskCanceled ? GRACE_MS : SHUTDOWN_GRACE_MS;
      timer = setTimeout(() => settle('deaf'), signal.reason instanceof TaskTimedOut ? 0 : grace);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** The ending that goes into the row; undefined where the task goes back to wait for another run. */
function endingOf(outcome: Outcome, cause: AbortCause | undefined, { rerun, fence }: TaskRun): Ending | undefined {
  if (outcome !== 'deaf' && 'value' in outcome) return { state: 'completed', result: outcome.value };
  if (cause instanceof TaskCanceled) return { state: 'canceled' };
  if (cause instanceof WorkerShutdown) return rerun ? undefined : { state: 'failed', error: WORKER_SHUTDOWN };
  if (cause instanceof TaskTimedOut) return { state: 'failed', error: taskErrorOf(cause) };
  const error = outcome === 'deaf' ? cause : outcome.error;
  if (rerun && fence < LAST_FENCE && isDatabaseAway(error) && !fullDiskIn(error)) return undefined;
  return { state: 'failed', error: taskErrorOf(error) };
}

/** One run of one claimed task. */
class Run implements TaskRun {
  readonly fence: number;
  readonly rerun: boolean;
  readonly done: Promise<void>;
  readonly #services: Services;
  readonly #task: ClaimedTask;
  readonly #log: Services['log'];
  readonly #controller = new AbortController();
  readonly #abandoned = new AbortController();
  readonly #book: ProgressBook;
  #lost = false;

  constructor(services: Services, definition: TaskDefinition | undefined, task: ClaimedTask) {
    this.#services = services;
    this.#task = task;
    this.fence = task.fence;
    this.rerun = definition?.rerun ?? false;
    this.#log = services.log.child({ task: task.id, task_name: task.name, cid: task.logging_cid });
    this.#book = new ProgressBook((record) => this.#writeProgress(record));
    this.done = this.#execute(definition).catch((error: unknown) => {
      this.#log.error({ err: error }, 'the end of a task could not be recorded; the sweeper will end it');
    });
  }

  abort(cause: AbortCause): void {
    if (cause instanceof TaskSuperseded) this.#lost = true;
    this.#controller.abort(cause);
  }

  abandon(): void {
    this.#abandoned.abort();
  }

  async #execute(definition: TaskDefinition | undefined): Promise<void> {
    const { signal } = this.#controller;
    const outcome = await outcomeOf(this.#start(definition), signal);
    await this.#book.close();
    const cause = signal.aborted ? (signal.reason as AbortCause) : undefined;
    if (outcome === 'deaf') this.#log.error({ cause: cause?.name }, 'task ignores its abort signal and is given up');
    if (this.#lost || (outcome !== 'deaf' && 'error' in outcome && outcome.error instanceof TaskSuperseded)) {
      this.#log.warn('task was taken from this worker; its late end is not recorded');
      return;
    }
    const ending = endingOf(outcome, cause, this);
    // Whoever sees the end may ask any process for what the task has changed.
    if (ending) await this.#services.db.seenEverywhere();
    if (outcome !== 'deaf' && 'error' in outcome && !cause)
      this.#log.warn({ err: outcome.error }, ending ? 'task failed' : 'task was interrupted, and runs again');
    await this.#settle(ending);
  }

  /** The work. A name that nobody knows or arguments that cannot be read are errors of the task like any other. */
  async #start(definition: TaskDefinition | undefined): Promise<unknown> {
    const { name, id, args } = this.#task;
    if (!definition) {
      throw new Error(
        `This worker knows no task named ${name}. It runs another version, or other plugins, than the server that took the ` +
          'request: bring all processes to one version, then ask for the task again.',
      );
    }
    const parsed = definition.args.parse(JSON.parse(this.#services.secrets.open(args, argsPlace(id))));
    return definition.run(parsed, this.#context());
  }

  #context(): TaskContext {
    const { id, name, domain_id, created_by_id, fence } = this.#task;
    return {
      services: this.#services,
      log: this.#log,
      task: { id, name, domain_id, created_by_id, fence },
      signal: this.#controller.signal,
      progress: (code, message, total) => this.#book.open(code, message, total),
      created: (href, prn) => this.#book.created(href, prn),
    };
  }

  async #writeProgress(record: Parameters<typeof writeRecord>[2]): Promise<void> {
    try {
      if (!(await writeRecord(this.#services.db, this.#task, record))) this.abort(new TaskSuperseded());
    } catch (error) {
      this.#log.debug({ err: error }, 'progress not written; the next write carries it');
    }
  }

  /** Records the ending, for as long as it takes the database to be there. */
  async #settle(ending: Ending | undefined): Promise<void> {
    const ended = await this.#patiently(async () => {
      if (ending) return this.#end(ending);
      const wakeUp = await releaseTask(this.#services.db, this.#task);
      if (!wakeUp) return this.#end({ state: 'canceled' });
      this.#log.info('task goes back to wait for another run');
      return { state: 'waiting' as const, wakeUps: [wakeUp] };
    });
    if (!ended) {
      this.#log.warn('task was ended elsewhere; its late end is not recorded');
      return;
    }
    this.#log.debug({ state: ended.state }, 'task ended');
    await wake(this.#services, ended.wakeUps);
  }

  /** An ending that the database refuses (a result that is no JSON, say) becomes a failure that says so. */
  async #end(ending: Ending): Promise<Ended | undefined> {
    const { db } = this.#services;
    try {
      return await endTask(db, this.#task, ending, this.#book);
    } catch (error) {
      if (isDatabaseAway(error)) throw error;
      this.#log.error({ err: error, state: ending.state }, 'the end of a task was refused; it is recorded as failed');
      const description = `The task ended as ${ending.state}, but that could not be recorded: ${taskErrorOf(error).description}`;
      return endTask(db, this.#task, { state: 'failed', error: { description, traceback: null } }, NOTHING_SHOWN);
    }
  }

  #patiently<T>(work: () => Promise<T>): Promise<T> {
    return untilDatabaseIsBack(work, {
      signal: this.#abandoned.signal,
      onPause: (error, milliseconds) =>
        this.#log.warn({ err: error, milliseconds }, 'database is away; the end of a task waits for it'),
    });
  }
}

/** Runs a claimed task to its recorded end. `definition` is undefined where nobody knows the task's name. */
export const runTask = (services: Services, definition: TaskDefinition | undefined, task: ClaimedTask): TaskRun =>
  new Run(services, definition, task);
