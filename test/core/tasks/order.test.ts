import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startWorker } from '../../../src/core/tasks/worker.ts';
import { sql } from '../../../src/db/sql.ts';
import { createDatabase, type TestDatabase } from '../../support/postgres.ts';
import { startChild } from './child-process.ts';
import { openRig, type Rig, type RigUrls, rigUrls } from './rig.ts';

const TASKS = 200;
const DISPATCHERS = 3;
const RESOURCES = ['a', 'b', 'c', 'd', 'e'].map((name) => `prn:test.resource:${name}`);

let database: TestDatabase;
let urls: RigUrls;
let rig: Rig;
before(async () => {
  database = await createDatabase();
  // A worker counts as gone after 60 s: nothing here is ever handed on.
  urls = rigUrls(database.url, { ttl: 60 });
  rig = await openRig(urls);
});
after(async () => {
  await rig?.close();
  await database?.drop();
});

interface Interval {
  readonly seq: number;
  readonly state: string;
  readonly pulp_created: string;
  readonly unblocked_at: string;
  readonly started_at: string;
  readonly finished_at: string;
  readonly reserved_resources_record: string[];
}

const locksOf = ({ reserved_resources_record: record }: Interval) => ({
  exclusive: record.filter((resource) => !resource.startsWith('shared:')),
  shared: record.filter((resource) => resource.startsWith('shared:prn:test')).map((resource) => resource.slice('shared:'.length)),
});

function conflict(a: Interval, b: Interval): boolean {
  const [left, right] = [locksOf(a), locksOf(b)];
  return (
    left.exclusive.some((resource) => right.exclusive.includes(resource) || right.shared.includes(resource)) ||
    left.shared.some((resource) => right.exclusive.includes(resource))
  );
}

/** A mix that repeats nowhere soon: up to two exclusive and two shared resources each. */
const wanted = Array.from({ length: TASKS }, (_, i) => {
  const pick = (n: number) => RESOURCES[n % RESOURCES.length] as string;
  const exclusive = [[pick(i)], [pick(i), pick(i * 7 + 2)], [], [pick(i * 3)]][i % 4] as string[];
  const shared = [[pick(i + 1)], [], [pick(i), pick(i * 3 + 1)], [pick(i + 2), pick(i + 4)]][i % 4] as string[];
  return [exclusive, shared] as const;
});

test(`${TASKS} tasks dispatched at once by ${DISPATCHERS} processes run one after another where they conflict, in their order`, async () => {
  const workers = await Promise.all([
    startWorker(rig.services, { name: 'here' }),
    startWorker(rig.services, { name: 'here too' }),
  ]);
  const children = Array.from({ length: DISPATCHERS }, (_, n) =>
    startChild('dispatch-child.ts', urls, JSON.stringify(wanted.filter((_, i) => i % DISPATCHERS === n))),
  );
  const ids = (await Promise.all(children.map((child) => child.message<string[]>()))).flat();
  assert.equal(ids.length, TASKS);
  await Promise.all(ids.map((id) => rig.ended(id, 60_000)));
  await Promise.all(workers.map((worker) => worker.stop()));

  const tasks = await rig.services.db.query<Interval>(sql`select * from task order by seq`);
  assert.deepEqual(new Set(tasks.map(({ state }) => state)), new Set(['completed']));
  let conflicts = 0;
  let idle = 0;
  for (const [index, later] of tasks.entries()) {
    let free = later.pulp_created;
    for (const earlier of tasks.slice(0, index)) {
      if (!conflict(earlier, later)) continue;
      conflicts += 1;
      assert.ok(earlier.finished_at <= later.started_at, `task ${later.seq} began before task ${earlier.seq} had ended`);
      if (earlier.finished_at > free) free = earlier.finished_at;
    }
    idle = Math.max(idle, Date.parse(later.unblocked_at) - Date.parse(free));
  }
  assert.ok(conflicts > 2_000, `${conflicts} pairs conflict`);
  // What ends unblocks what it blocked; the sweeper, which would find it too, comes round every 2 to 6 s only.
  assert.ok(idle < 1_000, `a task was blocked by nobody for ${idle} ms`);
  const overlapping = tasks.filter(
    (task, index) => index > 0 && task.started_at < (tasks[index - 1] as Interval).finished_at,
  ).length;
  assert.ok(overlapping > 10, `only ${overlapping} tasks overlapped their predecessor: they ran one by one`);
  const left = await rig.services.db.query(sql`select from task_reservation`);
  assert.equal(left.length, 0);
});
