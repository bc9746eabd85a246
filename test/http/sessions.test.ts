import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sweepTasks } from '../../src/core/tasks/sweeper.ts';
import { sql } from '../../src/db/sql.ts';
import { hashPassword } from '../../src/lib/password-hash.ts';
import { type Answer, startApp, type TestApp } from '../support/app.ts';

const API = '/pulp/api/v3/';
const LOGIN = `${API}login/`;
const REMOTES = `${API}remotes/container/container/`;
const PASSWORD = 'Zebra-9981';

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false, env: { DECKLE_TRUSTED_PROXIES: '127.0.0.1' } });
});
after(() => app?.stop());

let number = 0;
const remote = () => ({ name: `sessions-${++number}`, url: 'https://upstream.example.org', upstream_name: 'a/b' });

/** A user of whom no other test knows. */
async function createUser(): Promise<string> {
  const username = `user-${++number}`;
  await app.services.db.execute(
    sql`insert into app_user (username, password) values (${username}, ${await hashPassword(PASSWORD)})`,
  );
  return username;
}

const cookiesOf = ({ headers }: Answer): Map<string, string> =>
  new Map(headers.getSetCookie().map((line) => line.split(';', 1)[0]?.split('=') as [string, string]));

interface Session {
  readonly cookie: string;
  readonly csrf: string;
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
}

/** Logs in as a browser does. */
async function logIn(user = 'admin:password'): Promise<Session> {
  const answer = await app.request('POST', LOGIN, undefined, { user });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const cookies = cookiesOf(answer);
  const cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
  return {
    cookie,
    csrf: cookies.get('csrftoken') as string,
    ask: (method, path, body, headers = {}) => app.request(method, path, body, { user: null, headers: { cookie, ...headers } }),
  };
}

describe('a session', () => {
  it('begins with Basic credentials and is known by its cookie', async () => {
    const answer = await app.request('POST', LOGIN);
    const [{ id }] = (await app.services.db.query<{ id: number }>(sql`select id from app_user where username = 'admin'`)) as [
      { id: number },
    ];
    const me = { pulp_href: `${API}users/${id}/`, prn: `prn:auth.user:${id}`, username: 'admin' };
    assert.deepEqual([answer.status, answer.body], [201, me]);
    assert.equal(answer.headers.get('location'), me.pulp_href);
    const lines = answer.headers.getSetCookie();
    const session = lines.find((line) => line.startsWith('sessionid=')) ?? '';
    assert.match(session, /^sessionid=[\w-]{43}; Expires=[^;]+ GMT; Max-Age=1209600; Path=\/; SameSite=Lax; HttpOnly$/);
    assert.match(lines.find((line) => line.startsWith('csrftoken=')) ?? '', /^csrftoken=[\w-]{43}; .*Path=\/; SameSite=Lax$/);
    const { ask } = await logIn();
    const known = await ask('GET', LOGIN);
    assert.deepEqual([known.status, known.body], [200, me]);
    assert.equal(known.headers.get('vary'), 'Accept, Cookie');
  });

  it('is not begun by requests with Basic credentials alone, nor by wrong ones', async () => {
    assert.deepEqual((await app.request('GET', LOGIN)).headers.getSetCookie(), []);
    const wrong = await app.request('POST', LOGIN, undefined, { user: `${await createUser()}:wrong` });
    assert.deepEqual(
      [wrong.status, wrong.body, wrong.headers.getSetCookie()],
      [401, { detail: 'Invalid username/password.' }, []],
    );
    const nobody = await app.request('POST', LOGIN, undefined, { user: null });
    assert.deepEqual([nobody.status, nobody.body], [401, { detail: 'Authentication credentials were not provided.' }]);
  });

  it('is not stored as it is sent', async () => {
    const { cookie } = await logIn();
    const secret = /sessionid=([\w-]+)/.exec(cookie)?.[1] as string;
    const rows = await app.services.db.query<object>(
      sql`select s::text as row, encode(secret_hash, 'escape') as hash from session s`,
    );
    assert.ok(rows.length > 0);
    assert.ok(!JSON.stringify(rows).includes(secret));
  });

  it('has a new secret after another login', async () => {
    const first = await logIn();
    const again = await first.ask('POST', LOGIN, undefined, { 'x-csrftoken': first.csrf });
    assert.equal(again.status, 201);
    assert.ok(!first.cookie.includes(cookiesOf(again).get('sessionid') as string));
    assert.equal((await first.ask('GET', LOGIN)).status, 401);
  });

  it('ends by logging out', async () => {
    const { ask, csrf } = await logIn();
    const out = await ask('DELETE', LOGIN, undefined, { 'x-csrftoken': csrf });
    assert.equal(out.status, 204);
    assert.match(out.headers.getSetCookie()[0] ?? '', /^sessionid=""; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=\//);
    const later = await ask('GET', LOGIN);
    assert.deepEqual([later.status, later.body], [401, { detail: 'Authentication credentials were not provided.' }]);
    assert.match(later.headers.getSetCookie()[0] ?? '', /^sessionid="";/);
    assert.equal((await app.request('DELETE', LOGIN)).status, 204);
  });

  const endings: Record<string, (username: string) => Promise<unknown>> = {
    'the user is deactivated': (name) =>
      app.services.db.execute(sql`update app_user set is_active = false where username = ${name}`),
    'the user is removed': (name) => app.services.db.execute(sql`delete from app_user where username = ${name}`),
    'the password is changed elsewhere': async (name) =>
      app.services.db.execute(sql`update app_user set password = ${await hashPassword('other')} where username = ${name}`),
    'its time is over': (name) =>
      app.services.db.execute(sql`
        update session set expires_at = now() where user_id = (select id from app_user where username = ${name})`),
  };
  for (const [ending, end] of Object.entries(endings)) {
    it(`ends when ${ending}`, async () => {
      const username = await createUser();
      const { ask } = await logIn(`${username}:${PASSWORD}`);
      assert.equal((await ask('GET', LOGIN)).status, 200);
      await end(username);
      assert.equal((await ask('GET', LOGIN)).status, 401);
    });
  }

  it('is removed by the sweep when its time is over', async () => {
    const username = await createUser();
    await logIn(`${username}:${PASSWORD}`);
    const left = () =>
      app.services.db.query(sql`
      select from session where user_id = (select id from app_user where username = ${username})`);
    await sweepTasks(app.services);
    assert.equal((await left()).length, 1);
    await endings['its time is over']?.(username);
    // Another process may be sweeping: then it is for that one to do.
    while ((await sweepTasks(app.services)) === undefined);
    assert.equal((await left()).length, 0);
  });
});

describe('a change by a cookie', () => {
  it('needs the token, in a header or in a form', async () => {
    const { ask, csrf } = await logIn();
    const without = await ask('POST', REMOTES, remote());
    assert.deepEqual([without.status, without.body], [403, { detail: 'CSRF Failed: CSRF token missing.' }]);
    assert.equal((await ask('POST', REMOTES, remote(), { 'x-csrftoken': csrf })).status, 201);
    const form = new URLSearchParams({ ...remote(), csrfmiddlewaretoken: csrf }).toString();
    const sent = await ask('POST', REMOTES, form, { 'content-type': 'application/x-www-form-urlencoded' });
    assert.equal(sent.status, 201, JSON.stringify(sent.body));
    const other = await logIn();
    for (const token of ['', 'x', other.csrf]) {
      assert.equal((await ask('POST', REMOTES, remote(), { 'x-csrftoken': token })).status, 403, token);
    }
  });

  it('may come from a page of ours instead, and from no other, whatever token it has', async () => {
    const { ask, csrf } = await logIn();
    assert.equal((await ask('POST', REMOTES, remote(), { origin: app.url })).status, 201);
    const foreign = await ask('POST', REMOTES, remote(), { origin: 'http://evil.example', 'x-csrftoken': csrf });
    assert.deepEqual(
      [foreign.status, foreign.body],
      [403, { detail: 'CSRF Failed: Origin checking failed - http://evil.example does not match any trusted origins.' }],
    );
    assert.equal((await ask('POST', REMOTES, remote(), { origin: 'null' })).status, 403);
  });

  it('is not asked for a token where the user is proven otherwise', async () => {
    const { cookie } = await logIn();
    assert.equal((await app.request('POST', REMOTES, remote(), { headers: { cookie } })).status, 201);
    const wrong = await app.request('GET', REMOTES, undefined, { user: `${await createUser()}:wrong`, headers: { cookie } });
    assert.equal(wrong.status, 401);
  });
});

describe('a user', () => {
  it('changes his own name and address, and nothing else of himself', async () => {
    const username = await createUser();
    const as = { user: `${username}:${PASSWORD}` };
    const changed = await app.request('PATCH', LOGIN, { first_name: 'Ada', email: 'ada@example.org' }, as);
    assert.deepEqual(
      [changed.status, changed.body],
      [200, { username, first_name: 'Ada', last_name: '', email: 'ada@example.org' }],
    );
    assert.deepEqual((await app.request('PATCH', LOGIN, { email: 'nope' }, as)).body, {
      email: ['Enter a valid email address.'],
    });
    const renamed = await app.request('PATCH', LOGIN, { username: 'somebody-else' }, as);
    assert.deepEqual([renamed.status, Object.keys(renamed.body)], [400, ['username']]);
    assert.deepEqual((await app.request('PATCH', LOGIN, { username })).body, { username: ['This field must be unique.'] });
    assert.equal((await app.request('PATCH', LOGIN, { is_superuser: true }, as)).status, 400);
    assert.equal((await app.request('PUT', LOGIN, {}, as)).status, 405);
  });

  it('changes his password knowing the present one; that session goes on, his others end', async () => {
    const username = await createUser();
    const [here, there] = [await logIn(`${username}:${PASSWORD}`), await logIn(`${username}:${PASSWORD}`)];
    const change = async (body: object) => {
      const { status, body: answer } = await here.ask('PATCH', LOGIN, body, { 'x-csrftoken': here.csrf });
      return [status, answer];
    };
    const refusal = (...messages: string[]) => [400, { non_field_errors: messages }];
    assert.deepEqual(await change({ new_password: 'Quagga-7712' }), refusal('Old password is required to update the password.'));
    assert.deepEqual(await change({ old_password: 'wrong', new_password: 'Quagga-7712' }), refusal('Old password is incorrect.'));
    assert.deepEqual(
      await change({ old_password: PASSWORD, new_password: '12345' }),
      refusal(
        'This password is too short. It must contain at least 8 characters.',
        'This password is too common.',
        'This password is entirely numeric.',
      ),
    );
    assert.equal((await change({ old_password: PASSWORD, new_password: 'Quagga-7712' }))[0], 200);
    assert.equal((await here.ask('GET', LOGIN)).status, 200);
    assert.equal((await there.ask('GET', LOGIN)).status, 401);
    assert.equal((await app.request('GET', LOGIN, undefined, { user: `${username}:${PASSWORD}` })).status, 401);
    assert.equal((await app.request('GET', LOGIN, undefined, { user: `${username}:Quagga-7712` })).status, 200);
  });

  it('who guesses passwords has to wait', async () => {
    const username = await createUser();
    const guess = (_: unknown, n: number) => {
      const headers = { 'x-forwarded-for': '10.0.0.1' };
      return app.request('POST', LOGIN, undefined, { user: `${username}:guess-${n}`, headers });
    };
    // At once, so that a busy machine does not give back what the first have used up before the last are looked at.
    const answers = await Promise.all(Array.from({ length: 40 }, guess));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length > 0, String(answers.map(({ status }) => status)));
    for (const { headers } of refused) assert.match(headers.get('retry-after') ?? '', /^[1-6]$/);
  });
});
