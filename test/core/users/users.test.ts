import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bootstrap } from '../../../src/core/bootstrap.ts';
import { resetPassword } from '../../../src/core/users/administrators.ts';
import { sql } from '../../../src/db/sql.ts';
import { startApp, type TestApp } from '../../support/app.ts';

/* What Deckle does beyond Pulp (docs/DIFFERENCES.md); what they share is in test/acceptance/users-rest.test.ts. */

const USERS = '/pulp/api/v3/users/';
const PASSWORD = 'Zebra-9981';

let app: TestApp;
let number = 0;
before(async () => {
  app = await startApp({ worker: false });
});
after(() => app?.stop());

const create = async (body: object = {}) => {
  const answer = await app.request('POST', USERS, { username: `somebody-${++number}`, password: PASSWORD, ...body });
  return { ...answer, told: [answer.status, answer.body] };
};
const refused = (message: string) => [400, { non_field_errors: [message] }];
const LAST = refused('This is the last administrator who can log in.');

async function administrator(): Promise<{ href: string; user: string }> {
  const { body } = await create();
  await app.services.db.execute(sql`update app_user set is_superuser = true where id = ${body.id}`);
  return { href: body.pulp_href, user: `${body.username}:${PASSWORD}` };
}

describe('administrators', () => {
  it('cannot deactivate or delete themselves', async () => {
    const { href, user } = await administrator();
    const patched = await app.request('PATCH', href, { is_active: false }, { user });
    assert.deepEqual([patched.status, patched.body], refused('You cannot deactivate yourself.'));
    const deleted = await app.request('DELETE', href, undefined, { user });
    assert.deepEqual([deleted.status, deleted.body], refused('You cannot delete yourself.'));
    assert.equal((await app.request('GET', href, undefined, { user })).status, 200);
    assert.equal((await app.request('DELETE', href)).status, 204);
  });

  it('cannot remove the last one who can log in, not even each other at the same time', async () => {
    const [first, second] = [await administrator(), await administrator()];
    const { db } = app.services;
    await db.execute(sql`update app_user set is_superuser = false where username = 'admin'`);
    try {
      const answers = await Promise.all([
        app.request('DELETE', first.href, undefined, { user: second.user }),
        app.request('PATCH', second.href, { is_active: false }, { user: first.user }),
      ]);
      const statuses = answers.map(({ status }) => status);
      assert.ok(!statuses.every((status) => status < 300), String(statuses));
      const [left] = await db.query<{ username: string; id: number }>(sql`
        select username, id from app_user where is_superuser and is_active and password is not null`);
      assert.ok(left);
      const user = `${left.username}:${PASSWORD}`;
      const without = await app.request('PATCH', `${USERS}${left.id}/`, { password: null }, { user });
      assert.deepEqual([without.status, without.body], LAST);
      assert.equal((await app.request('GET', USERS, undefined, { user })).status, 200);
    } finally {
      await db.execute(sql`update app_user set is_superuser = true where username = 'admin'`);
    }
  });
});

describe('the command line', () => {
  it('makes an administrator on the first start only, whatever he is called later', async () => {
    const { db, catalog } = app.services;
    await db.execute(sql`update app_user set username = 'renamed' where username = 'admin'`);
    try {
      assert.deepEqual(await bootstrap(db, catalog, () => 'password'), { adminCreated: false });
      assert.deepEqual(await db.query(sql`select from app_user where username = 'admin'`), []);
    } finally {
      await db.execute(sql`update app_user set username = 'admin' where username = 'renamed'`);
    }
  });

  it('sets a password, which the audit log tells', async () => {
    const { body } = await create({ is_active: false });
    assert.equal(await resetPassword(app.services.db, body.username, 'Quagga-7712'), true);
    const user = `${body.username}:Quagga-7712`;
    assert.equal((await app.request('GET', '/pulp/api/v3/login/', undefined, { user })).status, 200);
    const { results } = (await app.request('GET', `/pulp/api/v3/audit-log/?object=${body.prn}&operation=admin_reset_password`))
      .body;
    assert.deepEqual(results[0].after, { password: '(hidden)', is_active: true });
    assert.equal(await resetPassword(app.services.db, 'nobody-at-all', 'Quagga-7712'), false);
  });
});

describe('users', () => {
  it('have no passwords that are like their names', async () => {
    const similar = (what: string) => refused(`The password is too similar to the ${what}.`);
    assert.deepEqual((await create({ username: 'magdalena', password: 'Magdalena1' })).told, similar('username'));
    assert.deepEqual((await create({ last_name: 'Smithson', password: 'smithson22' })).told, similar('last name'));
    assert.deepEqual(
      (await create({ email: 'someone.else@example.org', password: 'someoneelse' })).told,
      similar('email address'),
    );
    assert.equal((await create({ username: 'magdalena', last_name: 'Smithson' })).status, 201);
  });

  it('have names that Basic credentials can carry', async () => {
    assert.deepEqual((await create({ username: 'a:b' })).told, [400, { username: ['A username must not contain a colon.'] }]);
  });

  it('are not made administrators by the API, nor anything else that nobody has heard of', async () => {
    assert.deepEqual((await create({ is_superuser: true })).told, [400, { is_superuser: ['Unexpected field'] }]);
  });

  it('say whether they have a password', async () => {
    const { body } = await create({ password: null });
    assert.deepEqual(body.hidden_fields, [{ name: 'password', is_set: false }]);
    const changed = await app.request('PATCH', body.pulp_href, { password: PASSWORD });
    assert.deepEqual(changed.body.hidden_fields, [{ name: 'password', is_set: true }]);
  });

  it('may go, and leave what they have done', async () => {
    const { body } = await create();
    const user = `${body.username}:${PASSWORD}`;
    await app.request('POST', '/pulp/api/v3/login/', undefined, { user });
    await app.request('POST', '/pulp/api/v3/api-tokens/', { name: 'x' }, { user });
    assert.equal((await app.request('DELETE', body.pulp_href)).status, 204);
    const left = await app.request('GET', `/pulp/api/v3/audit-log/?username=${body.username}`);
    assert.deepEqual(
      left.body.results.map(({ operation, user_id }: { operation: string; user_id: number }) => [operation, user_id]),
      [
        ['api_tokens_create', body.id],
        ['login', body.id],
      ],
    );
  });
});
