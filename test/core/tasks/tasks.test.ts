import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { v7 } from 'uuid';
import { z } from 'zod';
import { cancelTask } from '../../../src/core/tasks/cancel.ts';
import { purgeTasks } from '../../../src/core/tasks/purge.ts';
import { startWorker, type TaskWorker } from '../../../src/core/tasks/worker.ts';
import { sql } from '../../../src/db/sql.ts';
import { defineTask } from '../../../src/kit/define-task.ts';
import { eventually } from '../../queue/eventually.ts';
import { createDatabase, type TestDatabase } from '../../support/postgres.ts';
import { openRig, type Rig, rigUrls } from './rig.ts';
import { counting, deaf, echo, endless, failing, immediate, unstorable, work } from './test-tasks.ts';

let database: TestDatabase;
let rig: Rig;
let worker: TaskWorker;
before(async () => {
  database = await createDatabase();
  rig = await openRig(rigUrls(database.url));
  worker = await startWorker(rig.services, { name: 'tester@host' });
});
after(async () => {
  await worker?.stop();
  await rig?.close();
  await database?.drop();
});

const resource = () => `prn:container.containerrepository:${v7()}`;
const running = (id: string) => eventually('the task runs', async () => (await rig.row(id)).state === 'running');

describe('a task', () => {
  test('runs, and its row says how it went', async () => {
    const [repository, remote] = [resource(), resource()];
    const id = await rig.dispatch(echo, { text: 'hello' }, { exclusive: [repository], shared: [remote, repository] });
    const task = await rig.ended(id);
    assert.equal(task.state, 'completed');
    assert.deepEqual(task.result, { echo: 'hello' });
    assert.equal(task.error, null);
    assert.equal(task.fence, 1);
    assert.deepEqual(task.reserved_resources_record, [
      repository,
      `shared:${remote}`,
      `shared:prn:core.domain:${rig.services.domain.id}`,
    ]);
    const moments = [task.unblocked_at, task.started_at, task.finished_at];
    assert.deepEqual(moments, moments.toSorted());
    assert.ok(moments.every((moment) => moment !== null));
    const held = await rig.services.db.query(sql`select from task_reservation where task_id = ${id}::uuid`);
    assert.equal(held.length, 0);
  });

  test('is not written for arguments that its definition does not take', async () => {
    const count = () => rig.services.db.query(sql`select count(*) from task where name = ${echo.name}`);
    const already = await count();
    await assert.rejects(rig.dispatch(echo, { text: 1 } as never), z.ZodError);
    assert.deepEqual(await count(), already);
  });

  test('keeps its arguments unreadable at rest', async () => {
    const id = await rig.dispatch(echo, { text: 'hunter2-is-secret' });
    const [row] = await rig.services.db.query<{ args: string }>(sql`select args from task where id = ${id}::uuid`);
    assert.match(row?.args ?? '', /^v1:/);
    assert.deepEqual((await rig.ended(id)).result, { echo: 'hunter2-is-secret' });
  });

  test('of a name that the worker does not know fails and says so', async () => {
    const unknown = defineTask({ name: 'test.of_tomorrow', args: z.object({}), run: async () => null });
    const task = await rig.ended(await rig.dispatch(unknown, {}));
    assert.equal(task.state, 'failed');
    assert.match(String(task.error?.description), /^This worker knows no task named test\.of_tomorrow\./);
  });

  test('whose result cannot be stored fails and says so', async () => {
    const task = await rig.ended(await rig.dispatch(unstorable, {}));
    assert.equal(task.state, 'failed');
    assert.match(String(task.error?.description), /^The task ended as completed, but that could not be recorded: /);
  });
});

describe("a failing task's error", () => {
  const fail = async (message: string, error_code?: string, stage = false) =>
    rig.ended(await rig.dispatch(failing, { message, error_code, stage }));

  test('is description and traceback', async () => {
    const task = await fail("401, message='Unauthorized', url='https://registry.example.org/v2/'");
    assert.equal(task.state, 'failed');
    assert.deepEqual(task.error, {
      description: "401, message='Unauthorized', url='https://registry.example.org/v2/'",
      traceback: null,
    });
    assert.equal(task.result, null);
  });

  test('has the code of the errors that have one', async () => {
    const task = await fail('[PLP0003] A file failed validation', 'PLP0003');
    assert.deepEqual(task.error, {
      description: '[PLP0003] A file failed validation',
      traceback: null,
      error_code: 'PLP0003',
    });
  });

  test('shows no credentials', async () => {
    const task = await fail(
      'GET https://user:hunter2@up.example.org/v2/?x-amz-signature=abcdef&a=b with Authorization: Bearer eyJhbGciOi.eyJzdWI answered 500\0',
    );
    assert.equal(
      task.error?.description,
      'GET https://up.example.org/v2/?x-amz-signature=***&a=b with Authorization: Bearer *** answered 500',
    );
  });

  test('fails the open reports', async () => {
    const task = await fail('no stage owns up');
    assert.deepEqual(
      task.progress_reports.map(({ code, state }) => [code, state]),
      [
        ['test.done', 'completed'],
        ['test.raising', 'failed'],
        ['test.open', 'failed'],
      ],
    );
  });

  test('fails the report of the stage that raised, and cancels the others', async () => {
    const task = await fail('a stage owns up', undefined, true);
    assert.deepEqual(
      task.progress_reports.map(({ code, state }) => [code, state]),
      [
        ['test.done', 'completed'],
        ['test.raising', 'failed'],
        ['test.open', 'canceled'],
      ],
    );
  });
});

test('progress is written at most twice a second, and whole at the end', async () => {
  const { db } = rig.services;
  await db.execute(sql`create table test_writes (task_id uuid)`);
  await db.execute(sql`
    create function test_note() returns trigger language plpgsql as $$
    begin if new.progress_reports is distinct from old.progress_reports then insert into test_writes values (new.id); end if; return new; end $$`);
  await db.execute(sql`create trigger test_note before update on task for each row execute function test_note()`);
  const id = await rig.dispatch(counting, { times: 40_000 });
  const task = await rig.ended(id);
  await db.execute(sql`drop trigger test_note on task`);
  assert.deepEqual(task.progress_reports, [
    { message: 'Counting', code: 'test.counting', state: 'completed', total: 40_000, done: 40_000, suffix: 'all' },
  ]);
  assert.deepEqual(task.created_resources, ['/made/']);
  assert.deepEqual(task.created_resource_prns, ['prn:test.made:1']);
  const seconds = (Date.parse(task.finished_at ?? '') - Date.parse(task.started_at ?? '')) / 1000;
  const writes = (await db.query(sql`select from test_writes where task_id = ${id}::uuid`)).length;
  assert.ok(writes >= 2 && writes <= 2 * seconds + 3, `${writes} writes in ${seconds} s`);
});

describe('an immediate task', () => {
  test('has ended when dispatch answers', async () => {
    const task = await rig.row(await rig.dispatch(immediate, { hang: false }, { exclusive: [resource()] }));
    assert.equal(task.state, 'completed');
    assert.deepEqual(task.result, { pid: process.pid });
  });

  test('waits for a worker where its resource is held', async () => {
    const shared = resource();
    const first = await rig.dispatch(endless, {}, { exclusive: [shared] });
    const id = await rig.dispatch(immediate, { hang: false }, { exclusive: [shared] });
    const waiting = await rig.row(id);
    assert.deepEqual([waiting.state, waiting.unblocked_at], ['waiting', null]);
    await cancelTask(rig.services, first);
    assert.equal((await rig.ended(id)).state, 'completed');
  });

  test('fails after 5 s', async () => {
    const start = performance.now();
    const task = await rig.row(await rig.dispatch(immediate, { hang: true }));
    assert.equal(task.state, 'failed');
    assert.match(String(task.error?.description), /did not end within 5 s/);
    assert.ok(performance.now() - start < 6_000);
  });
});

describe('cancel', () => {
  test('ends a waiting task at once, and lets its successors run', async () => {
    const shared = resource();
    const first = await rig.dispatch(endless, {}, { shared: [shared] });
    const second = await rig.dispatch(endless, {}, { exclusive: [shared] });
    const third = await rig.dispatch(echo, { text: 'third' }, { shared: [shared] });
    assert.deepEqual([(await rig.row(second)).unblocked_at, (await rig.row(third)).unblocked_at], [null, null]);
    assert.equal(await cancelTask(rig.services, second), 'canceled');
    const canceled = await rig.row(second);
    assert.deepEqual([canceled.state, canceled.started_at], ['canceled', null]);
    assert.ok(canceled.finished_at);
    assert.equal((await rig.ended(third)).state, 'completed');
    assert.equal(await cancelTask(rig.services, second), 'canceled');
    assert.equal(await cancelTask(rig.services, third), 'completed');
    await cancelTask(rig.services, first);
  });

  test('ends a running task within 2 s, and lets its successor run', async () => {
    const shared = resource();
    const id = await rig.dispatch(endless, {}, { exclusive: [shared] });
    const next = await rig.dispatch(echo, { text: 'next' }, { exclusive: [shared] });
    await running(id);
    assert.equal(await cancelTask(rig.services, id), 'canceling');
    const task = await rig.ended(id, 2_000);
    assert.deepEqual([task.state, task.error, task.result], ['canceled', null, null]);
    assert.equal((await rig.ended(next)).state, 'completed');
  });

  test('is heard although its notification was lost', async () => {
    const id = await rig.dispatch(endless, {});
    await running(id);
    await rig.services.db.execute(sql`update task set state = 'canceling' where id = ${id}::uuid`);
    assert.equal((await rig.ended(id, 4_000)).state, 'canceled');
  });

  test('of a task that there is not answers undefined', async () => {
    assert.equal(await cancelTask(rig.services, v7()), undefined);
  });

  test('gives a deaf task up after 10 s, and its fence keeps it from publishing', async () => {
    const shared = resource();
    const id = await rig.dispatch(deaf, {}, { exclusive: [shared] });
    const next = await rig.dispatch(echo, { text: 'next' }, { exclusive: [shared] });
    await running(id);
    await cancelTask(rig.services, id);
    const task = await rig.ended(id, 13_000);
    assert.equal(task.state, 'canceled');
    assert.equal((await rig.ended(next)).state, 'completed');
    const verdicts = await eventually('the deaf task finds out', async () => {
      const rows = await rig.services.db.query<{ verdict: string }>(
        sql`select distinct verdict from test_heard where task_id = ${id}::uuid order by 1`,
      );
      return rows.some(({ verdict }) => verdict === 'TaskSuperseded') && rows.map(({ verdict }) => verdict);
    });
    assert.deepEqual(verdicts, ['TaskCanceled', 'TaskSuperseded']);
    assert.equal((await rig.row(id)).state, 'canceled', 'its late end changes nothing');
  });
});

test('a worker shows itself while it is there', async () => {
  const look = () =>
    rig.services.db.query<{ name: string; versions: unknown; fresh: boolean }>(sql`
      select name, versions, last_heartbeat > clock_timestamp() - interval '2 s' as fresh from worker where app_type = 'worker'`);
  assert.deepEqual(await look(), [{ name: 'tester@host', versions: { test: '1.2.3' }, fresh: true }]);
});

test('purge removes ended tasks of the chosen states', async () => {
  const completed = await rig.ended(await rig.dispatch(work, { milliseconds: 1 }));
  const failed = await rig.ended(await rig.dispatch(failing, { message: 'x', stage: false }));
  const open = await rig.dispatch(endless, {});
  const finished_before = new Date(Date.parse(failed.finished_at ?? '') + 1).toISOString();
  const purge = await rig.ended(await rig.dispatch(purgeTasks, { finished_before, states: ['completed'], user_id: null }));
  assert.equal(purge.state, 'completed');
  await assert.rejects(rig.row(completed.id), /no task/);
  assert.equal((await rig.row(failed.id)).state, 'failed');
  const [total, tasks, errors] = purge.progress_reports;
  assert.deepEqual(
    [total, tasks, errors].map((report) => [report?.code, report?.message, report?.state]),
    [
      ['purge.tasks.total', 'Purged task-related-objects total', 'completed'],
      ['purge.tasks.key.core.Task', 'Purged task-objects of type core.Task', 'completed'],
      ['purge.tasks.error', 'Tasks failed to purge', 'completed'],
    ],
  );
  assert.ok(Number(tasks?.done) >= 1);
  await cancelTask(rig.services, open);
  await rig.ended(open);
});
