import type { z } from 'zod';
import type { Services } from './services.ts';

/** A line of the task's `progress_reports`; see spec: tasks, progress reports. */
export interface Progress {
  /** Adds to `done`; written to the task row at most every half second. */
  increment(by?: number): void;
  setTotal(total: number): void;
  setSuffix(suffix: string): void;
  /** Closes the report; a report still open when the task ends is closed with the task's fate. */
  complete(): void;
  /** Closes the report as that of the stage that raised; when the task then fails, the other open ones become `canceled`. */
  fail(): void;
}

/** What a running task is given. */
export interface TaskContext {
  readonly services: Services;
  readonly log: Services['log'];
  readonly task: {
    readonly id: string;
    readonly name: string;
    readonly domain_id: string;
    readonly created_by_id: number | null;
    /** The claim's number: a publishing transaction checks that it is still the task's. */
    readonly fence: number;
  };
  /** Aborted by a cancel, a shutdown, or when another worker took the task over. Handed to every stream and wait. */
  readonly signal: AbortSignal;
  /** Opens a progress report. */
  progress(code: string, message: string, total?: number): Progress;
  /** Notes something the task made, in both spellings. */
  created(href: string, prn: string): void;
}

export interface TaskDefinition<Args extends z.ZodType = z.ZodType> {
  /** The wire name, which clients filter on: `pulp_container.app.tasks.synchronize.synchronize`. */
  readonly name: string;
  readonly args: Args;
  /** Safe to run twice: a vanished worker's task is run again by another. Any other is failed with a reason. */
  readonly rerun?: boolean;
  /** Short, database only: run inside the API process when its resources are free. */
  readonly immediate?: boolean;
  /** Does the work; answers the task's `result`. An Error's message becomes the task's `error.description`. */
  readonly run: (args: z.output<Args>, context: TaskContext) => Promise<unknown>;
}

/** A task in one declaration: name, argument schema, what a crash means, and the work. */
export const defineTask = <Args extends z.ZodType>(definition: TaskDefinition<Args>): TaskDefinition<Args> => definition;

/** What a dispatched task holds, by PRN, and who asked for it. */
export interface DispatchOptions {
  readonly exclusive?: readonly string[];
  readonly shared?: readonly string[];
  readonly domain_id: string;
  readonly user_id: number | null;
  readonly correlation_id: string;
  /** The task group that the task belongs to. */
  readonly task_group_id?: string;
}

/** Writes a task and its reservations, wakes a worker if it can run, runs it in place if it is immediate and free. */
export type Dispatch = <Args extends z.ZodType>(
  definition: TaskDefinition<Args>,
  args: z.input<Args>,
  options: DispatchOptions,
) => Promise<{ readonly id: string; readonly href: string }>;
