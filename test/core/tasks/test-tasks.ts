import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { assertFence } from '../../../src/core/tasks/fence.ts';
import { purgeTasks } from '../../../src/core/tasks/purge.ts';
import { sql } from '../../../src/db/sql.ts';
import { defineTask } from '../../../src/kit/define-task.ts';

/** Until the signal is aborted, then rejects with its reason, as every well-behaved stream does. */
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const keepAlive = setInterval(() => undefined, 1_000);
    const onAbort = () => {
      clearInterval(keepAlive);
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });

const nothing = z.object({});

/** Answers what it was given. */
export const echo = defineTask({
  name: 'test.echo',
  args: z.object({ text: z.string() }),
  run: async ({ text }) => ({ echo: text }),
});

/** Takes some time; `started_at` and `finished_at` of its row tell when it ran. */
export const work = defineTask({
  name: 'test.work',
  args: z.object({ milliseconds: z.number() }),
  run: async ({ milliseconds }, { signal }) => {
    await delay(milliseconds, undefined, { signal });
    return null;
  },
});

export const endless = defineTask({ name: 'test.endless', args: nothing, run: (_, { signal }) => untilAborted(signal) });

/** As `endless`, and safe to run twice. */
export const endlessAgain = defineTask({
  name: 'test.endless_again',
  args: nothing,
  rerun: true,
  run: (_, { signal }) => untilAborted(signal),
});

/** Runs on when told to stop; says in `heard` whether it may still publish. */
export const deaf = defineTask({
  name: 'test.deaf',
  args: nothing,
  run: async (_, { services, task, signal }) => {
    await untilAborted(signal).catch(() => undefined);
    for (;;) {
      await delay(50);
      const verdict = await services.db
        .transaction((tx) => assertFence(tx, task))
        .then(
          () => 'may publish',
          (error: Error) => error.name,
        );
      await services.db.execute(sql`insert into test_heard (task_id, verdict) values (${task.id}::uuid, ${verdict})`);
      if (verdict === 'TaskSuperseded') return null;
    }
  },
});

/** Endless in its first run, done at once in the second. */
export const secondTime = defineTask({
  name: 'test.second_time',
  args: nothing,
  rerun: true,
  run: async (_, context) => {
    context.progress('test.part', `run ${context.task.fence}`, 2).increment();
    context.created(`/made/${context.task.fence}/`, `prn:test.made:${context.task.fence}`);
    if (context.task.fence === 1) return untilAborted(context.signal);
    return { run: context.task.fence };
  },
});

/** Endless in its first run, and not safe to run twice. */
export const onlyOnce = defineTask({
  name: 'test.only_once',
  args: nothing,
  run: async (_, context) => {
    context.progress('test.part', 'Doing it', 2).increment();
    return untilAborted(context.signal);
  },
});

export const failing = defineTask({
  name: 'test.failing',
  args: z.object({ message: z.string(), error_code: z.string().optional(), stage: z.boolean() }),
  run: async ({ message, error_code, stage }, context) => {
    context.progress('test.done', 'Done before').complete();
    const raising = context.progress('test.raising', 'Raising');
    context.progress('test.open', 'Still open');
    if (stage) raising.fail();
    throw Object.assign(new Error(message), error_code ? { error_code } : {});
  },
});

/** Counts fast. */
export const counting = defineTask({
  name: 'test.counting',
  args: z.object({ times: z.number() }),
  run: async ({ times }, context) => {
    const counter = context.progress('test.counting', 'Counting', times);
    for (let i = 0; i < times; i += 1) {
      counter.increment();
      if (i % 50 === 0) await delay(1);
    }
    counter.setSuffix('all');
    counter.complete();
    context.created('/made/', 'prn:test.made:1');
    return null;
  },
});

/** Ends when the database has gone away. */
export const outlives = defineTask({
  name: 'test.outlives',
  args: nothing,
  run: async (_, { services }) => {
    const there = () =>
      services.db.query(sql`select 1`).then(
        () => true,
        () => false,
      );
    while (await there()) await delay(10);
    return { outlived: true };
  },
});

export const unstorable = defineTask({ name: 'test.unstorable', args: nothing, run: async () => ({ nul: '\0' }) });

export const immediate = defineTask({
  name: 'test.immediate',
  args: z.object({ hang: z.boolean() }),
  immediate: true,
  run: async ({ hang }, { signal }) => (hang ? untilAborted(signal) : { pid: process.pid }),
});

export const testTasks = [
  echo,
  work,
  endless,
  endlessAgain,
  deaf,
  secondTime,
  onlyOnce,
  failing,
  counting,
  outlives,
  unstorable,
  immediate,
  purgeTasks,
];
