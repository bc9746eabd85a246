import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { expireAudit } from '../../../src/core/audit/audit-retention.ts';
import { sql } from '../../../src/db/sql.ts';
import { startApp, type TestApp } from '../../support/app.ts';

const API = '/pulp/api/v3/';
const LOG = `${API}audit-log/`;
const REMOTES = `${API}remotes/container/container/`;
const PASSWORD = 'Zebra-9981';

let app: TestApp;
let number = 0;
before(async () => {
  app = await startApp();
});
after(() => app?.stop());

// biome-ignore lint/suspicious/noExplicitAny: tests look into entries of every shape
type Entry = any;
const entries = async (query: string): Promise<Entry[]> => {
  const { status, body } = await app.request('GET', `${LOG}?${query}`);
  assert.equal(status, 200, JSON.stringify(body));
  return body.results;
};
/** The entry of what a request with this correlation id has done. */
async function entryOf(id: string): Promise<Entry> {
  const found = await entries(`correlation_id=${id}`);
  assert.equal(found.length, 1, JSON.stringify(found));
  return found[0];
}

/** Sends a request under a correlation id of its own. */
async function send(method: string, path: string, body?: unknown, user?: string | null) {
  const id = crypto.randomUUID().replaceAll('-', '');
  const answer = await app.request(method, path, body, {
    headers: { 'correlation-id': id },
    ...(user === undefined ? {} : { user }),
  });
  return { ...answer, id };
}

const remote = (more: object = {}) => ({
  name: `audited-${++number}`,
  url: 'https://upstream.example.org',
  upstream_name: 'a/b',
  ...more,
});

async function createUser(): Promise<{ username: string; credentials: string; href: string; prn: string }> {
  const username = `audited-user-${++number}`;
  const { body } = await app.request('POST', `${API}users/`, { username, password: PASSWORD });
  return { username, credentials: `${username}:${PASSWORD}`, href: body.pulp_href, prn: body.prn };
}

describe('the audit log', () => {
  it('says who made what, from where, without secrets', async () => {
    const made = await send('POST', REMOTES, remote({ username: 'puller', password: 'hunter2' }));
    assert.equal(made.status, 201);
    const { pulp_href, prn, pulp_created, user_id, ...entry } = await entryOf(made.id);
    assert.match(pulp_href, /^\/pulp\/api\/v3\/audit-log\/[0-9a-f-]{36}\/$/);
    assert.match(prn, /^prn:core\.auditentry:/);
    assert.ok(Math.abs(Date.now() - Date.parse(pulp_created)) < 60_000);
    assert.ok(Number.isInteger(user_id));
    assert.deepEqual(entry, {
      username: 'admin',
      address: '127.0.0.1',
      authentication: 'password',
      method: 'POST',
      operation: 'remotes_container_container_create',
      object: made.body.prn,
      before: null,
      after: {
        name: made.body.name,
        url: 'https://upstream.example.org',
        upstream_name: 'a/b',
        policy: 'immediate',
        username: '(hidden)',
        password: '(hidden)',
      },
      status: 201,
      correlation_id: made.id,
    });
  });

  it('says what a change has changed', async () => {
    const { body } = await app.request('POST', REMOTES, remote());
    const changed = await send('PATCH', body.pulp_href, {
      url: 'https://other.example.org',
      upstream_name: 'a/b',
      password: 'hunter2',
    });
    assert.equal(changed.status, 202);
    const entry = await entryOf(changed.id);
    assert.deepEqual([entry.object, entry.status], [body.prn, 202]);
    assert.deepEqual(entry.before, { url: 'https://upstream.example.org', password: '(hidden)' });
    assert.deepEqual(entry.after, { url: 'https://other.example.org', password: '(hidden)' });
    const removed = await send('DELETE', body.pulp_href);
    const last = await entryOf(removed.id);
    assert.deepEqual([last.operation, last.before.name, last.after], ['remotes_container_container_delete', body.name, null]);
  });

  it('says what an action was given', async () => {
    const repository = (await app.request('POST', `${API}repositories/container/container/`, { name: `audited-${++number}` }))
      .body;
    const { body } = await app.request('POST', REMOTES, remote());
    const synced = await send('POST', `${repository.pulp_href}sync/`, { remote: body.pulp_href });
    assert.equal(synced.status, 202, JSON.stringify(synced.body));
    const entry = await entryOf(synced.id);
    assert.deepEqual(
      [entry.operation, entry.object, entry.status],
      ['repositories_container_container_sync', repository.prn, 202],
    );
    assert.equal(entry.after.remote, body.pulp_href);
  });

  it('has what was refused', async () => {
    const { username, credentials } = await createUser();
    const wrong = await send('POST', REMOTES, { name: 'x' });
    assert.deepEqual([wrong.status, (await entryOf(wrong.id)).status], [400, 400]);
    const denied = await send('POST', REMOTES, remote(), credentials);
    const entry = await entryOf(denied.id);
    assert.deepEqual([denied.status, entry.status, entry.username], [403, 403, username]);
    const failed = await send('GET', REMOTES, undefined, `${username}:wrong`);
    assert.equal(failed.status, 401);
    const { operation, status, username: claimed, user_id, authentication } = await entryOf(failed.id);
    assert.deepEqual([operation, status, claimed, user_id, authentication], ['authenticate', 401, username, null, null]);
  });

  it('has logins, and how a user was known', async () => {
    const { credentials, username, prn } = await createUser();
    const login = await send('POST', `${API}login/`, undefined, credentials);
    const entry = await entryOf(login.id);
    assert.deepEqual([entry.operation, entry.username, entry.object, entry.status], ['login', username, prn, 201]);
    const token = await send('POST', `${API}api-tokens/`, { name: 'robot' }, credentials);
    const made = await entryOf(token.id);
    assert.deepEqual([made.operation, made.object, made.after], ['api_tokens_create', token.body.prn, { name: 'robot' }]);
    const used = await send('PATCH', `${API}login/`, { first_name: 'R' }, `${username}:${token.body.token}`);
    assert.equal((await entryOf(used.id)).authentication, token.body.prn);
    const cookies = new Map(login.headers.getSetCookie().map((line) => line.split(';', 1)[0]?.split('=') as [string, string]));
    const id = crypto.randomUUID().replaceAll('-', '');
    await app.request(
      'PATCH',
      `${API}login/`,
      { first_name: 'S' },
      {
        user: null,
        headers: {
          cookie: `sessionid=${cookies.get('sessionid')}`,
          'x-csrftoken': cookies.get('csrftoken') as string,
          'correlation-id': id,
        },
      },
    );
    const inSession = await entryOf(id);
    assert.deepEqual(
      [inSession.authentication, inSession.before, inSession.after],
      ['session', { first_name: 'R' }, { first_name: 'S' }],
    );
  });

  it('has passwords that were changed, and not the passwords', async () => {
    const { href } = await createUser();
    const changed = await send('PATCH', href, { password: 'Quagga-7712' });
    const entry = await entryOf(changed.id);
    assert.deepEqual([entry.before, entry.after], [{ password: '(hidden)' }, { password: '(hidden)' }]);
    const everything = JSON.stringify(await entries('limit=1000'));
    for (const secret of ['Quagga-7712', PASSWORD, 'hunter2', 'scrypt$', 'dkl_']) assert.ok(!everything.includes(secret), secret);
  });

  it('has registry tokens that let their bearer write, and no others', async () => {
    const service = new URL(app.services.config.PULP_CONTENT_ORIGIN).host;
    const ask = (actions: string) => send('GET', `/token/?service=${service}&scope=repository:some/app:${actions}`);
    const entry = await entryOf((await ask('pull,push')).id);
    assert.deepEqual([entry.operation, entry.username], ['token', 'admin']);
    assert.deepEqual(entry.after, { scope: ['repository:some/app:pull,push'] });
    assert.deepEqual(await entries(`correlation_id=${(await ask('pull')).id}`), []);
  });

  it('has no reads', async () => {
    const read = await send('GET', REMOTES);
    assert.deepEqual(await entries(`correlation_id=${read.id}`), []);
  });

  it('has the digest of a change that is large', async () => {
    const made = await send('POST', REMOTES, remote({ includes: Array.from({ length: 2_000 }, (_, n) => `tag-number-${n}`) }));
    const { after } = await entryOf(made.id);
    assert.deepEqual(Object.keys(after).sort(), ['bytes', 'sha256']);
    assert.ok(after.bytes > 16_384);
  });
});

describe('entries of the audit log', () => {
  it('are found by user, operation, object, status and time', async () => {
    const { username, credentials } = await createUser();
    const denied = await send('POST', REMOTES, remote(), credentials);
    const { body } = await app.request('POST', REMOTES, remote());
    const ids = async (query: string) => (await entries(query)).map(({ correlation_id }: Entry) => correlation_id);
    assert.deepEqual(await ids(`username=${username}`), [denied.id]);
    assert.deepEqual(await ids(`username=${username}&status=403&operation=remotes_container_container_create`), [denied.id]);
    assert.deepEqual(await ids(`username=${username}&status__lt=400`), []);
    assert.deepEqual(await ids(`username=${username}&pulp_created__gte=2999-01-01T00:00:00Z`), []);
    assert.deepEqual(await ids(`q=username=${username} AND NOT method=GET`), [denied.id]);
    assert.deepEqual(
      (await entries(`object=${body.prn}`)).map(({ status }: Entry) => status),
      [201],
    );
  });

  it('are read by administrators and auditors, and written by nobody', async () => {
    const { credentials, href } = await createUser();
    const [first] = await entries('limit=1');
    assert.equal((await app.request('GET', LOG, undefined, { user: credentials })).status, 403);
    assert.equal((await app.request('GET', LOG, undefined, { user: null })).status, 401);
    await app.services.db.execute(sql`
      insert into role_assignment (id, role_id, user_id)
      select gen_random_uuid(), id, ${Number(href.split('/').at(-2))} from role where name = 'core.audit_viewer'`);
    assert.equal((await app.request('GET', LOG, undefined, { user: credentials })).status, 200);
    assert.deepEqual((await app.request('GET', first.pulp_href, undefined, { user: credentials })).body, first);
    for (const method of ['PUT', 'PATCH', 'DELETE']) assert.equal((await app.request(method, first.pulp_href, {})).status, 405);
    assert.equal((await app.request('POST', LOG, {})).status, 405);
  });

  it('cannot be changed or removed in the database, but by the retention', async () => {
    const { db } = app.services;
    const { id } = await send('POST', REMOTES, remote());
    const old = await send('POST', REMOTES, remote());
    for (const statement of [
      sql`update audit_entry set username = 'nobody' where correlation_id = ${id}`,
      sql`delete from audit_entry where correlation_id = ${id}`,
      sql`truncate audit_entry`,
    ])
      await assert.rejects(db.execute(statement), /the audit log is append-only/);
    await db.execute(sql`
      insert into audit_entry (id, pulp_created, username, address, method, operation, status, correlation_id)
      values (gen_random_uuid(), now() - interval '8 days', 'x', 'x', 'POST', 'old', 201, ${`${old.id}-old`})`);
    const left = async () => (await entries(`correlation_id__in=${id},${old.id}-old`)).length;
    assert.equal(await db.transaction((tx) => expireAudit(tx, 0)), 0);
    assert.equal(await left(), 2);
    assert.equal(await db.transaction((tx) => expireAudit(tx, 7)), 1);
    assert.equal(await left(), 1);
    await assert.rejects(db.execute(sql`delete from audit_entry where correlation_id = ${id}`), /append-only/);
  });
});
