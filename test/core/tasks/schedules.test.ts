import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { z } from 'zod';
import { cancelTask } from '../../../src/core/tasks/cancel.ts';
import { task } from '../../../src/core/tasks/resource.ts';
import { dispatchDue, keepSchedules } from '../../../src/core/tasks/schedules.ts';
import { sweepTasks } from '../../../src/core/tasks/sweeper.ts';
import { sql } from '../../../src/db/sql.ts';
import { catalogOf } from '../../../src/kit/catalog.ts';
import { definePlugin } from '../../../src/kit/define-plugin.ts';
import { defineTask } from '../../../src/kit/define-task.ts';
import type { Services } from '../../../src/kit/services.ts';
import { createDatabase } from '../../support/postgres.ts';
import { openRig, type Rig, rigUrls } from './rig.ts';

const DAY_MS = 24 * 3600 * 1000;
const NAME = 'Clean up stale content periodically';

const cleanup = defineTask({ name: 'pulpcore.app.tasks.orphan.orphan_cleanup', args: z.object({}), run: async () => null });
const plugin = (tasks: readonly (typeof cleanup)[]) =>
  catalogOf([
    definePlugin({ component: 'test', compatibleWith: '1.2.3', package: 'test', module: 'test', resources: [task], tasks }),
  ]);
const catalog = plugin([cleanup]);

let database: Awaited<ReturnType<typeof createDatabase>>;
/** Two processes, without workers: what is dispatched waits. */
let rigs: [Rig, Rig];
const began = Date.now();

before(async () => {
  database = await createDatabase();
  const urls = rigUrls(database.url);
  rigs = [await openRig(urls), await openRig(urls)];
});
after(async () => {
  for (const rig of rigs ?? []) await rig?.close();
  await database?.drop();
});
beforeEach(async () => {
  await rigs[0].services.db.execute(sql`delete from task_schedule`);
  await rigs[0].services.db.execute(sql`delete from task`);
  await keepSchedules(at(0));
});

/** A process's services when so many milliseconds have passed. */
const at = (milliseconds: number, more: Partial<Services> = {}, rig = rigs[0]): Services => ({
  ...rig.services,
  catalog,
  clock: () => new Date(began + milliseconds),
  ...more,
});

const schedule = async () => {
  const [row] = await rigs[0].services.db.query<{ name: string; next_dispatch: string; last_task_id: string | null }>(
    sql`select name, next_dispatch, last_task_id from task_schedule`,
  );
  return row;
};
const tasks = () =>
  rigs[0].services.db.query<{ id: string; name: string; reserved_resources_record: string[] }>(
    sql`select id, name, reserved_resources_record from task`,
  );

test('a schedule is due after its interval, and dispatched once by however many processes', async () => {
  assert.equal(await dispatchDue(at(DAY_MS - 1000)), 0);
  const counts = await Promise.all(
    Array.from({ length: 20 }, (_, index) => dispatchDue(at(DAY_MS, {}, rigs[index % 2 === 0 ? 0 : 1]))),
  );
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    1,
  );
  const [task, ...more] = await tasks();
  assert.deepEqual([task?.name, more.length], [cleanup.name, 0]);
  assert.equal((await schedule())?.last_task_id, task?.id);
  const domain = rigs[0].services.domain.id;
  assert.ok(task?.reserved_resources_record.includes(`pdrn:${domain}:orphans`), 'it holds what every cleanup holds');
});

test('it is not dispatched while the last one is unfinished', async () => {
  assert.equal(await dispatchDue(at(DAY_MS)), 1);
  assert.equal(await dispatchDue(at(2 * DAY_MS)), 0);
  await cancelTask(rigs[0].services, (await tasks())[0]?.id ?? '');
  assert.equal(await dispatchDue(at(2 * DAY_MS)), 1);
  assert.equal((await tasks()).length, 2);
});

test('what was missed while no process ran is made up for once, and the hour stays', async () => {
  assert.equal(await dispatchDue(at(7.5 * DAY_MS)), 1);
  assert.equal(Date.parse((await schedule())?.next_dispatch ?? ''), began + 8 * DAY_MS);
  await rigs[0].services.db.execute(sql`update task set state = 'completed'`);
  assert.equal(await dispatchDue(at(7.9 * DAY_MS)), 0);
});

test('a start leaves the next time as it is', async () => {
  await keepSchedules(at(DAY_MS / 2));
  assert.equal(Date.parse((await schedule())?.next_dispatch ?? ''), began + DAY_MS);
});

test('a schedule whose task no plugin declares is left out this time', async () => {
  assert.equal(await dispatchDue(at(DAY_MS, { catalog: plugin([]) })), 0);
  assert.deepEqual(await tasks(), []);
  assert.equal(Date.parse((await schedule())?.next_dispatch ?? ''), began + 2 * DAY_MS);
});

test('the sweeper dispatches what is due', async () => {
  assert.equal((await sweepTasks(at(DAY_MS)))?.dispatched, 1);
  assert.equal((await sweepTasks(at(DAY_MS)))?.dispatched, 0);
});

test('the settings switch it off, on, and say how often it comes', async () => {
  const { config } = rigs[0].services;
  const withSettings = (more: Partial<Services['config']>) => at(0, { config: { ...config, ...more } });
  await keepSchedules(withSettings({ DECKLE_ORPHAN_CLEANUP: false }));
  assert.equal(await schedule(), undefined);
  await keepSchedules(withSettings({ PULP_ORPHAN_PROTECTION_TIME: 60 }));
  assert.deepEqual([(await schedule())?.name, Date.parse((await schedule())?.next_dispatch ?? '')], [NAME, began + 3600 * 1000]);
  await keepSchedules(withSettings({ PULP_ORPHAN_PROTECTION_TIME: 0 }));
  assert.equal(await schedule(), undefined);
});
