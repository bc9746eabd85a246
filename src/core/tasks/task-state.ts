/** States of a task (spec: tasks, states). */
export type TaskState = 'waiting' | 'running' | 'canceling' | 'completed' | 'failed' | 'canceled' | 'skipped';

export const TASK_STATES = [
  'waiting',
  'skipped',
  'running',
  'completed',
  'canceled',
  'failed',
  'canceling',
] as const satisfies readonly TaskState[];

/** States that a task never leaves. */
export const FINAL_STATES = ['completed', 'failed', 'canceled', 'skipped'] as const satisfies readonly TaskState[];
export type FinalState = (typeof FINAL_STATES)[number];

export const isFinal = (state: string): state is FinalState => (FINAL_STATES as readonly string[]).includes(state);
