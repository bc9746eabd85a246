import type { Services } from '../../kit/services.ts';

/** The row in `worker` of the process that these services belong to: tasks it runs name it, which is how they are found when it dies. */
const rows = new WeakMap<Services, string>();

export const setProcessRow = (services: Services, id: string): void => {
  rows.set(services, id);
};

/** Null before the first heartbeat; a task that runs without a worker is given up after the time-to-live of one. */
export const processRowOf = (services: Services): string | null => rows.get(services) ?? null;
