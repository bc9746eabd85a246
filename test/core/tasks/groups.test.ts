import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { v7 } from 'uuid';
import { dispatch } from '../../../src/core/tasks/dispatch.ts';
import { purgeTasks } from '../../../src/core/tasks/purge.ts';
import { sql } from '../../../src/db/sql.ts';
import { startApp, type TestApp } from '../../support/app.ts';

/*
 * No operation makes a group yet: replication and exports will. So groups are written as those will write them, and their tasks
 * are put into them by `dispatch`.
 */

const API = '/pulp/api/v3/';
let app: TestApp;
before(async () => {
  // Without a worker, so that tasks stay where they are.
  app = await startApp({ worker: false });
});
after(() => app?.stop());

async function createGroup(description: string): Promise<string> {
  const id = v7();
  const { db, domain } = app.services;
  await db.execute(
    sql`insert into task_group (id, domain_id, description) values (${id}::uuid, ${domain.id}::uuid, ${description})`,
  );
  return id;
}

const dispatchInto = async (task_group_id: string | undefined, exclusive: readonly string[] = []): Promise<string> => {
  const { services } = app;
  const args = { finished_before: '2020-01-01T00:00:00Z', states: [], user_id: null };
  const { href } = await dispatch(services, purgeTasks, args, {
    exclusive,
    domain_id: services.domain.id,
    user_id: null,
    correlation_id: 'groups',
    ...(task_group_id ? { task_group_id } : {}),
  });
  return href;
};

test('a group shows its tasks and counts them by state', async () => {
  const id = await createGroup('Replication of elsewhere');
  const href = `${API}task-groups/${id}/`;
  const tasks = [await dispatchInto(id), await dispatchInto(id), await dispatchInto(id)];
  await dispatchInto(undefined);
  const { db } = app.services;
  const ids = tasks.map((task) => task.split('/').at(-2) ?? '');
  await db.execute(sql`update task set state = 'failed', finished_at = now() where id = ${ids[0]}::uuid`);
  await db.execute(sql`update task set state = 'running', started_at = now() where id = ${ids[1]}::uuid`);
  const { status, body } = await app.request('GET', href);
  assert.equal(status, 200);
  const { tasks: shown, ...rest } = body;
  assert.deepEqual(rest, {
    pulp_href: href,
    prn: `prn:core.taskgroup:${id}`,
    description: 'Replication of elsewhere',
    all_tasks_dispatched: false,
    waiting: 1,
    skipped: 0,
    running: 1,
    completed: 0,
    canceled: 0,
    failed: 1,
    canceling: 0,
    group_progress_reports: [],
  });
  // Those of the group, as the list of tasks has them in its short form.
  const listed = await app.request('GET', `${API}tasks/?task_group=${href}&minimal=true&ordering=pk`);
  assert.deepEqual(shown, listed.body.results);
  assert.deepEqual(
    shown.map((task: { pulp_href: string }) => task.pulp_href),
    tasks,
  );
  assert.deepEqual((await app.request('GET', `${API}tasks/?task_group=${rest.prn}`)).body.count, 3);
  assert.equal((await app.request('GET', tasks[0] ?? '')).body.task_group, href);
  const list = await app.request('GET', `${API}task-groups/?fields=description,failed&name=ignored`);
  assert.deepEqual(list.body.results, [{ description: 'Replication of elsewhere', failed: 1 }]);
});

test('canceling a group cancels what is unfinished in it', async () => {
  const id = await createGroup('To be canceled');
  const href = `${API}task-groups/${id}/`;
  const resource = `prn:test.resource:${id}`;
  const first = await dispatchInto(id, [resource]);
  const done = await dispatchInto(id);
  const follower = await dispatchInto(undefined, [resource]);
  const running = await dispatchInto(id);
  const { db } = app.services;
  const idOf = (task: string) => task.split('/').at(-2);
  await db.execute(sql`update task set state = 'completed', finished_at = now() where id = ${idOf(done)}::uuid`);
  await db.execute(sql`update task set state = 'running', started_at = now() where id = ${idOf(running)}::uuid`);
  assert.equal((await app.request('GET', follower)).body.unblocked_at, null);

  for (const [body, expected] of [
    [{ state: 'completed' }, ["The only acceptable value for 'state' is 'canceled'."]],
    [{}, ['This field is required.']],
  ] as const) {
    const refused = await app.request('PATCH', href, body);
    assert.deepEqual([refused.status, refused.body], [400, { state: expected }]);
  }
  const { status, body } = await app.request('PATCH', href, { state: 'canceled' });
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([body.all_tasks_dispatched, body.canceled, body.canceling, body.completed, body.waiting], [true, 1, 1, 1, 0]);
  assert.equal((await app.request('GET', first)).body.state, 'canceled');
  assert.notEqual((await app.request('GET', follower)).body.unblocked_at, null, 'what waited for the group goes on');
  assert.equal((await app.request('GET', follower)).body.state, 'waiting');
  assert.equal((await app.request('PATCH', href, { state: 'canceled' })).status, 200);
});

test('a thousand tasks of a group are canceled within seconds', async () => {
  const id = await createGroup('Large');
  for (let at = 0; at < 1000; at += 50)
    await Promise.all(Array.from({ length: 50 }, (_, index) => dispatchInto(id, [`prn:test.resource:${(at + index) % 7}`])));
  const began = performance.now();
  const { body } = await app.request('PATCH', `${API}task-groups/${id}/`, { state: 'canceled' });
  assert.equal(body.canceled, 1000);
  assert.ok(performance.now() - began < 5000, `took ${performance.now() - began} ms`);
  const [held] = await app.services.db.query<{ count: number }>(
    sql`select count(*) as count from task_reservation r join task t on t.id = r.task_id where t.task_group_id = ${id}::uuid`,
  );
  assert.equal(held?.count, 0);
});
