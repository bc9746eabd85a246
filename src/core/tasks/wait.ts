import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { DONE_CHANNEL } from './channels.ts';
import { type FinalState, isFinal } from './task-state.ts';

/** For ends whose notification got lost with a connection. */
const LOOK_EVERY_MS = 2_000;

/** Hears of the ends of tasks, over one connection for all that wait in this process. */
export interface TaskEnds {
  /** The state that the task ends in; undefined where there is no such task, or it has not ended after so many milliseconds. */
  wait(taskId: string, milliseconds: number): Promise<FinalState | undefined>;
  close(): Promise<void>;
}

/** Listens for the ends of tasks until closed. */
export async function openTaskEnds({ db }: Pick<Services, 'db'>): Promise<TaskEnds> {
  const waiting = new Map<string, Set<() => void>>();
  const stop = await db.listen(DONE_CHANNEL, (id) => {
    for (const wake of waiting.get(id) ?? []) wake();
  });
  const stateOf = async (id: string): Promise<string | undefined> => {
    const [row] = await db.query<{ state: string }>(sql`select state from task where id = ${id}::uuid`);
    return row?.state;
  };
  /** Resolves at the task's next notification, or after so long. */
  const nextNews = (id: string, milliseconds: number): { news: Promise<unknown>; forget(): void } => {
    const heard = new AbortController();
    const wake = () => heard.abort();
    const others = waiting.get(id) ?? new Set();
    waiting.set(id, others.add(wake));
    return {
      news: delay(milliseconds, undefined, { signal: heard.signal }).catch(() => undefined),
      forget() {
        heard.abort();
        others.delete(wake);
        if (others.size === 0) waiting.delete(id);
      },
    };
  };
  return {
    async wait(taskId, milliseconds) {
      const end = performance.now() + milliseconds;
      for (;;) {
        // Listening before looking: an end in between is heard.
        const { news, forget } = nextNews(taskId, Math.max(0, Math.min(LOOK_EVERY_MS, end - performance.now())));
        try {
          const state = await stateOf(taskId);
          if (state === undefined) return undefined;
          if (isFinal(state)) return state;
          if (performance.now() >= end) return undefined;
          await news;
        } finally {
          forget();
        }
      }
    },
    close: stop,
  };
}
