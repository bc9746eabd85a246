import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { v7 } from 'uuid';
import { cancelTask } from '../../../src/core/tasks/cancel.ts';
import { LAST_FENCE } from '../../../src/core/tasks/fence.ts';
import { sweepTasks } from '../../../src/core/tasks/sweeper.ts';
import { startWorker } from '../../../src/core/tasks/worker.ts';
import { type Sql, sql } from '../../../src/db/sql.ts';
import { eventually } from '../../queue/eventually.ts';
import { gate } from '../../queue/gate.ts';
import { createDatabase, type TestDatabase } from '../../support/postgres.ts';
import { type Child, startChild } from './child-process.ts';
import { openRig, type Rig, type RigUrls, rigUrls } from './rig.ts';
import { echo, endless, endlessAgain, onlyOnce, secondTime, work } from './test-tasks.ts';

let database: TestDatabase;
let urls: RigUrls;
let rig: Rig;
before(async () => {
  database = await createDatabase();
  urls = rigUrls(database.url);
  rig = await openRig(urls);
});
after(async () => {
  await rig?.close();
  await database?.drop();
});

const resource = () => `prn:test.resource:${v7()}`;
const running = (id: string) => eventually('the task runs', async () => (await rig.row(id)).state === 'running');
const startedChild = async (): Promise<Child> => {
  const child = startChild('worker-child.ts', urls);
  await child.message();
  return child;
};
/** Runs `look` beside a worker that is there to take over. */
async function withWorker<T>(look: () => Promise<T>): Promise<T> {
  const worker = await startWorker(rig.services);
  try {
    return await look();
  } finally {
    await worker.stop();
  }
}

describe('a worker is killed', () => {
  test('what is safe to run twice runs again, from the start', async () => {
    const child = await startedChild();
    const shared = resource();
    const id = await rig.dispatch(secondTime, {}, { exclusive: [shared] });
    const next = await rig.dispatch(echo, { text: 'next' }, { exclusive: [shared] });
    await eventually('progress is shown', async () => (await rig.row(id)).created_resources[0] === '/made/1/');
    await child.kill();
    const [task, successor] = await withWorker(async () => [await rig.ended(id), await rig.ended(next)] as const);
    assert.equal(task.state, 'completed');
    assert.ok(task.fence > 1);
    assert.deepEqual(task.result, { run: task.fence });
    assert.deepEqual(
      task.progress_reports.map(({ message, state }) => [message, state]),
      [[`run ${task.fence}`, 'completed']],
      'nothing of the first run is left',
    );
    assert.deepEqual(task.created_resources, [`/made/${task.fence}/`]);
    assert.ok(String(successor.started_at) > String(task.finished_at), 'it has kept its place');
  });

  test('anything else fails with the reason, its reports closed', async () => {
    const child = await startedChild();
    const shared = resource();
    const id = await rig.dispatch(onlyOnce, {}, { exclusive: [shared] });
    const next = await rig.dispatch(echo, { text: 'next' }, { exclusive: [shared] });
    await eventually('progress is shown', async () => (await rig.row(id)).progress_reports.length === 1);
    await child.kill();
    const [task, successor] = await withWorker(async () => [await rig.ended(id), await rig.ended(next)] as const);
    assert.equal(task.state, 'failed');
    assert.equal(task.error?.reason, 'Worker has gone missing.');
    assert.match(String(task.error?.description), /^Worker has gone missing\. .*ask for the task again\.$/s);
    assert.deepEqual(task.progress_reports, [
      { message: 'Doing it', code: 'test.part', state: 'failed', total: 2, done: 1, suffix: null },
    ]);
    assert.equal(successor.state, 'completed');
  });

  test('what has run again and again does not run again', async () => {
    const id = await rig.dispatch(endlessAgain, {});
    await rig.services.db.execute(sql`update task set fence = ${LAST_FENCE - 1} where id = ${id}::uuid`);
    const child = await startedChild();
    await running(id);
    await child.kill();
    const task = await withWorker(() => rig.ended(id));
    assert.deepEqual([task.state, task.error?.reason], ['failed', 'Worker has gone missing.']);
  });

  test('what was being canceled is canceled', async () => {
    const child = await startedChild();
    const id = await rig.dispatch(secondTime, {});
    await running(id);
    child.process.kill('SIGSTOP');
    assert.equal(await cancelTask(rig.services, id), 'canceling');
    await child.kill();
    const task = await withWorker(() => rig.ended(id));
    assert.deepEqual([task.state, task.error], ['canceled', null]);
    assert.ok(task.progress_reports.every(({ state }) => state === 'canceled'));
  });
});

test('a worker that was only slow does not end the task of its successor', async () => {
  const child = await startedChild();
  const id = await rig.dispatch(secondTime, {});
  await running(id);
  child.process.kill('SIGSTOP');
  const task = await withWorker(() => rig.ended(id));
  child.process.kill('SIGCONT');
  const late = await rig.dispatch(echo, { text: 'the late worker is back' });
  assert.equal((await rig.ended(late)).state, 'completed');
  const exit = new Promise((resolve) => child.process.once('exit', resolve));
  child.process.kill('SIGTERM');
  assert.equal(await exit, 0);
  assert.deepEqual(await rig.row(id), task);
});

test('a task that is claimed while the worker compares its runs with their rows stays its own', async () => {
  const [asked, answered] = [gate(), gate()];
  const { db } = rig.services;
  const query = async <Row>(statement: Sql): Promise<Row[]> => {
    const rows = await db.query<Row>(statement);
    if (statement.text.includes('select id, state, fence from task')) {
      asked.open();
      await answered.passed;
    }
    return rows;
  };
  const worker = await startWorker({ ...rig.services, db: Object.assign(Object.create(db), { query }) });
  const first = await rig.dispatch(endless, {});
  await asked.passed;
  const second = await rig.dispatch(work, { milliseconds: 200 });
  await running(second);
  answered.open();
  assert.equal((await rig.ended(second)).state, 'completed');
  await cancelTask(rig.services, first);
  assert.equal((await rig.ended(first)).state, 'canceled');
  await worker.stop();
});

test('a task whose claim was not heard of is handed on', async () => {
  const id = await rig.dispatch(secondTime, {});
  const name = 'claims@host';
  const worker = await startWorker(
    { ...rig.services, queue: { ...rig.services.queue, consume: async () => async () => undefined } },
    { name },
  );
  await rig.services.db.execute(sql`
    update task set state = 'running', fence = 1, started_at = clock_timestamp() - interval '2 minutes',
      worker_id = (select id from worker where name = ${name})
    where id = ${id}::uuid`);
  assert.equal((await withWorker(() => rig.ended(id))).state, 'completed');
  await worker.stop();
});

test('a worker that is stopped hands on what is safe to run twice, and fails the rest', async () => {
  const worker = await startWorker(rig.services);
  const again = await rig.dispatch(secondTime, {});
  const once = await rig.dispatch(onlyOnce, {});
  await running(again);
  await running(once);
  const start = performance.now();
  await worker.stop();
  assert.ok(performance.now() - start < 9_000);
  const handedOn = await rig.row(again);
  assert.deepEqual([handedOn.state, handedOn.started_at, handedOn.progress_reports], ['waiting', null, []]);
  const failed = await rig.row(once);
  assert.equal(failed.state, 'failed');
  assert.equal(failed.error?.reason, 'Aborted during worker shutdown.');
  const left = await rig.services.db.query(sql`select from worker where id = ${failed.worker_id}::uuid`);
  assert.equal(left.length, 0, 'it has signed off');
  assert.deepEqual((await withWorker(() => rig.ended(again))).result, { run: 2 });
});

describe('the sweeper', () => {
  test('unblocks what waits for a task that is no more', async () => {
    const shared = resource();
    const first = await rig.dispatch(endless, {}, { exclusive: [shared] });
    const second = await rig.dispatch(echo, { text: 'second' }, { exclusive: [shared] });
    await rig.services.db.execute(sql`delete from task where id = ${first}::uuid`);
    const sweep = await eventually('a sweep', () => sweepTasks(rig.services));
    assert.equal(sweep.unblocked, 1);
    assert.ok((await rig.row(second)).unblocked_at);
    assert.equal((await withWorker(() => rig.ended(second))).state, 'completed');
  });

  test('calls again for a task whose wake-up was lost', async () => {
    const id = await rig.dispatch(echo, { text: 'lost' });
    await rig.services.db.execute(sql`delete from bullmq.job`);
    assert.equal((await withWorker(() => rig.ended(id))).state, 'completed');
  });

  test('removes old tasks where it is told to, and workers long gone', async () => {
    const { db, config } = rig.services;
    const old = await rig.dispatch(echo, { text: 'old' });
    const young = await rig.dispatch(echo, { text: 'young' });
    await withWorker(async () => [await rig.ended(old), await rig.ended(young)]);
    await db.execute(sql`update task set finished_at = finished_at - interval '8 days' where id = ${old}::uuid`);
    await db.execute(sql`
      insert into worker (id, app_type, name, last_heartbeat) values (${v7()}::uuid, 'worker', 'long gone', now() - interval '1 day')`);
    await eventually('a sweep', () => sweepTasks(rig.services));
    assert.equal((await rig.row(old)).state, 'completed', 'without a retention tasks are kept');
    const gone = await db.query(sql`select from worker where name = 'long gone'`);
    assert.equal(gone.length, 0);

    const services = { ...rig.services, config: { ...config, DECKLE_TASK_RETENTION_DAYS: 7 } };
    const sweep = await eventually('a sweep', () => sweepTasks(services));
    assert.equal(sweep.purged, 1);
    await assert.rejects(rig.row(old), /no task/);
    assert.equal((await rig.row(young)).state, 'completed');
  });
});
