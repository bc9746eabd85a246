import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Answer, type Body, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const USERS = `${API}users/`;
const GROUPS = `${API}groups/`;
const LOGIN = `${API}login/`;
const PASSWORD = 'Zebra-9981';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const basic = (username: string, password = PASSWORD) => ({
  authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
});
const nobody = { authorization: '' };

async function create(path: string, body: object): Promise<Body> {
  const answer = await server.request('POST', path, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  server.made.push(answer.body.pulp_href);
  return answer.body;
}
const createUser = (more: object = {}) => create(USERS, { username: unique('user'), password: PASSWORD, ...more });
const createGroup = () => create(GROUPS, { name: unique('group') });
const told = ({ status, body }: Answer) => [status, body];

describe('users', () => {
  it('are made, read, changed and removed at once', async () => {
    const username = unique('user');
    const answer = await server.request('POST', USERS, { username, password: PASSWORD, email: 'ada@example.org' });
    assert.equal(answer.status, 201);
    const { id, pulp_href: href, date_joined, ...rest } = answer.body;
    assert.ok(Number.isInteger(id));
    assert.equal(href, `${USERS}${id}/`);
    assert.equal(answer.headers.get('location'), href);
    assert.match(date_joined, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.deepEqual(rest, {
      prn: `prn:auth.user:${id}`,
      username,
      first_name: '',
      last_name: '',
      email: 'ada@example.org',
      is_staff: false,
      is_active: true,
      groups: [],
      hidden_fields: [{ name: 'password', is_set: true }],
    });
    const changed = await server.request('PATCH', href, { first_name: 'Ada', is_active: false });
    assert.deepEqual([changed.status, changed.body.first_name, changed.body.is_active], [200, 'Ada', false]);
    // What PUT leaves out stays, but for the fields that have a default.
    const put = await server.request('PUT', href, { username });
    assert.deepEqual([put.status, put.body.first_name, put.body.is_active], [200, 'Ada', true]);
    assert.deepEqual(told(await server.request('PUT', href, {})), [400, { username: ['This field is required.'] }]);
    assert.equal((await server.request('DELETE', href)).status, 204);
    assert.deepEqual(told(await server.request('GET', href)), [404, { detail: 'No User matches the given query.' }]);
    assert.deepEqual(told(await server.request('DELETE', href)), [404, { detail: 'No User matches the given query.' }]);
  });

  it('are refused in the recorded words', async () => {
    const { username } = await createUser();
    const refused = async (body: object) => told(await server.request('POST', USERS, body));
    assert.deepEqual(await refused({ username }), [400, { username: ['This field must be unique.'] }]);
    assert.deepEqual(await refused({}), [400, { username: ['This field is required.'] }]);
    assert.deepEqual(await refused({ username: '' }), [400, { username: ['This field may not be blank.'] }]);
    assert.deepEqual(await refused({ username: null }), [400, { username: ['This field may not be null.'] }]);
    assert.deepEqual(await refused({ username: 'a'.repeat(151) }), [
      400,
      { username: ['Ensure this field has no more than 150 characters.'] },
    ]);
    assert.deepEqual(await refused({ username: unique('u'), email: 'nope' }), [400, { email: ['Enter a valid email address.'] }]);
    assert.deepEqual(await refused({ username: unique('u'), password: '' }), [
      400,
      { password: ['This field may not be blank.'] },
    ]);
    assert.deepEqual(await refused({ username: unique('u'), first_name: null, is_staff: null }), [
      400,
      { first_name: ['This field may not be null.'], is_staff: ['This field may not be null.'] },
    ]);
  });

  it('have passwords that are not easily guessed', async () => {
    const short = 'This password is too short. It must contain at least 8 characters.';
    const common = 'This password is too common.';
    const numeric = 'This password is entirely numeric.';
    const refusals: [string, string[]][] = [
      ['Zx9-q', [short]],
      ['12345', [short, common, numeric]],
      ['1234567890', [common, numeric]],
      ['987654387625', [numeric]],
      ['password', [common]],
    ];
    for (const [password, messages] of refusals) {
      const answer = await server.request('POST', USERS, { username: unique('u'), password });
      assert.deepEqual(told(answer), [400, { non_field_errors: messages }], password);
    }
    const { pulp_href: href } = await createUser();
    assert.deepEqual(told(await server.request('PATCH', href, { password: '12345' })), [
      400,
      { non_field_errors: [short, common, numeric] },
    ]);
  });

  it('log in while they are active, and not without a password', async () => {
    const { username, pulp_href: href, prn } = await createUser();
    const login = (password = PASSWORD) => server.request('GET', LOGIN, undefined, basic(username, password));
    assert.deepEqual(told(await login()), [200, { pulp_href: href, prn, username }]);
    await server.request('PATCH', href, { is_active: false });
    assert.deepEqual(told(await login()), [401, { detail: 'Invalid username/password.' }]);
    await server.request('PATCH', href, { is_active: true, password: 'Quagga-7712' });
    assert.equal((await login()).status, 401);
    assert.equal((await login('Quagga-7712')).status, 200);
    await server.request('PATCH', href, { password: null });
    assert.equal((await login('Quagga-7712')).status, 401);
  });

  it('are for administrators only', async () => {
    const { username, pulp_href: href } = await createUser();
    const denied = [403, { detail: 'You do not have permission to perform this action.' }];
    for (const [method, path, body] of [
      ['GET', USERS],
      ['POST', USERS, {}],
      ['GET', href],
      ['PATCH', href, { first_name: 'x' }],
      ['DELETE', href],
    ] as const) {
      assert.deepEqual(told(await server.request(method, path, body, basic(username))), denied, `${method} ${path}`);
      assert.equal((await server.request(method, path, body, nobody)).status, 401);
    }
  });

  it('are found by filters, in the order that is asked for', async () => {
    const word = unique('find');
    const first = await createUser({ username: `${word}-a`, last_name: 'Zz', is_staff: true });
    const second = await createUser({ username: `${word}-b`, last_name: 'Aa', email: `${word}@example.org` });
    const found = async (query: string) => {
      const { status, body } = await server.request('GET', `${USERS}?${query}`);
      assert.equal(status, 200, JSON.stringify(body));
      return body.results.map((user: { username: string }) => user.username);
    };
    assert.deepEqual(await found(`username__contains=${word}`), [second.username, first.username]);
    assert.deepEqual(await found(`username__icontains=${word.toUpperCase()}&ordering=last_name`), [
      second.username,
      first.username,
    ]);
    assert.deepEqual(await found(`username=${first.username}`), [first.username]);
    assert.deepEqual(await found(`username__iexact=${first.username.toUpperCase()}`), [first.username]);
    assert.deepEqual(await found(`username__in=${first.username},${second.username}&ordering=username`), [
      first.username,
      second.username,
    ]);
    assert.deepEqual(await found(`email=${word}@example.org`), [second.username]);
    assert.deepEqual(await found(`username__contains=${word}&is_staff=true`), [first.username]);
    assert.deepEqual(await found(`prn__in=${first.prn}`), [first.username]);
    assert.deepEqual(
      await found(`q=username="${first.username}" OR last_name=Aa AND username__contains=${word}&ordering=username`),
      [first.username, second.username],
    );
    const refused = async (query: string) => told(await server.request('GET', `${USERS}?${query}`));
    assert.deepEqual(await refused('id=1'), [400, { errors: ["Invalid Filter: 'id'"] }]);
    assert.deepEqual(await refused('ordering=-email,foo'), [
      400,
      { ordering: ['Select a valid choice. foo is not one of the available choices.'] },
    ]);
  });

  it('are addressed by a number', async () => {
    assert.deepEqual(told(await server.request('GET', `${USERS}abc/`)), [404, { detail: 'Not found.' }]);
    assert.deepEqual(told(await server.request('GET', `${USERS}99999999/`)), [
      404,
      { detail: 'No User matches the given query.' },
    ]);
  });
});

describe('groups', () => {
  it('are made, read, changed and removed at once', async () => {
    const name = unique('group');
    const answer = await server.request('POST', GROUPS, { name });
    const { id } = answer.body;
    const href = `${GROUPS}${id}/`;
    assert.deepEqual(told(answer), [201, { name, pulp_href: href, prn: `prn:core.group:${id}`, id }]);
    assert.equal(answer.headers.get('location'), href);
    const renamed = unique('group');
    assert.deepEqual(told(await server.request('PATCH', href, { name: renamed })), [200, { ...answer.body, name: renamed }]);
    assert.deepEqual(told(await server.request('PATCH', href, {})), [200, { ...answer.body, name: renamed }]);
    assert.deepEqual(told(await server.request('PUT', href, {})), [400, { name: ['This field is required.'] }]);
    assert.equal((await server.request('DELETE', href)).status, 204);
    assert.deepEqual(told(await server.request('GET', href)), [404, { detail: 'No Group matches the given query.' }]);
  });

  it('are refused in the recorded words', async () => {
    const { name } = await createGroup();
    const refused = async (body: object) => told(await server.request('POST', GROUPS, body));
    assert.deepEqual(await refused({ name }), [400, { name: ['This field must be unique.'] }]);
    assert.deepEqual(await refused({ name: '' }), [400, { name: ['This field may not be blank.'] }]);
    assert.deepEqual(await refused({}), [400, { name: ['This field is required.'] }]);
    assert.deepEqual(await refused({ name: unique('g'), foo: 1 }), [400, { foo: ['Unexpected field'] }]);
    const other = await createGroup();
    assert.deepEqual(told(await server.request('PATCH', other.pulp_href, { name })), [
      400,
      { name: ['This field must be unique.'] },
    ]);
  });

  it('hold users, who say so themselves', async () => {
    const [group, user] = [await createGroup(), await createUser()];
    const users = `${group.pulp_href}users/`;
    const member = { username: user.username, pulp_href: user.pulp_href, prn: user.prn };
    assert.deepEqual(told(await server.request('POST', users, { username: user.username })), [201, member]);
    assert.deepEqual(told(await server.request('POST', users, { username: user.username })), [201, member]);
    const { body: page } = await server.request('GET', users);
    assert.deepEqual(page, { count: 1, next: null, previous: null, results: [member] });
    const { body: known } = await server.request('GET', user.pulp_href);
    assert.deepEqual(known.groups, [{ name: group.name, pulp_href: group.pulp_href, prn: `prn:auth.group:${group.id}` }]);
    const missing = unique('nobody');
    assert.deepEqual(told(await server.request('POST', users, { username: missing })), [400, [`Could not find user ${missing}`]]);
    assert.deepEqual(told(await server.request('DELETE', `${users}99999999/`)), [
      404,
      { detail: 'No User matches the given query.' },
    ]);
    assert.equal((await server.request('GET', `${users}${user.id}/`)).status, 405);
    assert.equal((await server.request('DELETE', `${users}${user.id}/`)).status, 204);
    assert.equal((await server.request('DELETE', `${users}${user.id}/`)).status, 204);
    assert.deepEqual((await server.request('GET', users)).body.results, []);
    assert.deepEqual(told(await server.request('GET', `${GROUPS}99999999/users/`)), [
      404,
      { detail: 'No Group matches the given query.' },
    ]);
  });

  it('are listed to those who may see them', async () => {
    const [group, user] = [await createGroup(), await createUser()];
    const as = basic(user.username);
    assert.deepEqual((await server.request('GET', `${GROUPS}?name=${group.name}`, undefined, as)).body.results, []);
    assert.equal((await server.request('GET', group.pulp_href, undefined, as)).status, 404);
    assert.equal((await server.request('PATCH', group.pulp_href, { name: 'x' }, as)).status, 404);
    assert.equal((await server.request('POST', GROUPS, { name: unique('g') }, as)).status, 403);
    const found = async (query: string) => (await server.request('GET', `${GROUPS}?${query}`)).body.results;
    assert.deepEqual(await found(`name=${group.name}`), [group]);
    assert.deepEqual(await found(`id=${group.id}`), [group]);
    assert.deepEqual(await found(`id__in=${group.id}&name__icontains=GROUP`), [group]);
    assert.deepEqual(await found(`prn__in=prn:core.group:${group.id}`), [group]);
    assert.deepEqual(told(await server.request('GET', `${GROUPS}?name__startswith=x`)), [
      400,
      { errors: ["Invalid Filter: 'name__startswith'"] },
    ]);
  });
});

describe('login', () => {
  const cookiesOf = ({ headers }: Answer) =>
    new Map(headers.getSetCookie().map((line) => line.split(';', 1)[0]?.split('=') as [string, string]));

  it('begins a session, in which changes need the CSRF token, until logging out', async () => {
    const { username, pulp_href, prn } = await createUser();
    const begun = await server.request('POST', LOGIN, undefined, basic(username));
    assert.deepEqual(told(begun), [201, { pulp_href, prn, username }]);
    assert.equal(begun.headers.get('location'), pulp_href);
    const attributes =
      begun.headers
        .getSetCookie()
        .find((line) => line.startsWith('sessionid='))
        ?.split('; ') ?? [];
    for (const attribute of ['HttpOnly', 'Max-Age=1209600', 'Path=/', 'SameSite=Lax']) assert.ok(attributes.includes(attribute));
    const cookies = cookiesOf(begun);
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
    const inSession = (method: string, body?: object, headers = {}) =>
      server.request(method, LOGIN, body, { ...nobody, cookie, ...headers });
    assert.deepEqual(told(await inSession('GET')), [200, { pulp_href, prn, username }]);
    assert.deepEqual(told(await inSession('PATCH', {})), [403, { detail: 'CSRF Failed: CSRF token missing.' }]);
    const csrf = { 'x-csrftoken': cookies.get('csrftoken') };
    assert.deepEqual(told(await inSession('PATCH', { first_name: 'Ada' }, csrf)), [
      200,
      { username, first_name: 'Ada', last_name: '', email: '' },
    ]);
    assert.deepEqual(told(await inSession('PATCH', {}, { ...csrf, origin: 'http://evil.example' })), [
      403,
      { detail: 'CSRF Failed: Origin checking failed - http://evil.example does not match any trusted origins.' },
    ]);
    const ended = await inSession('DELETE', undefined, csrf);
    assert.equal(ended.status, 204);
    assert.match(ended.headers.getSetCookie()[0] ?? '', /^sessionid="";.*Max-Age=0/i);
    assert.deepEqual(told(await inSession('GET')), [401, { detail: 'Authentication credentials were not provided.' }]);
  });

  it('lets nobody take the name of another', async () => {
    const { username } = await createUser();
    assert.deepEqual(told(await server.request('PATCH', LOGIN, { username })), [
      400,
      { username: ['This field must be unique.'] },
    ]);
  });

  it('lets users change their own password, if they know it', async () => {
    const { username } = await createUser();
    const change = (body: object) => server.request('PATCH', LOGIN, body, basic(username));
    const refused = (message: string) => [400, { non_field_errors: [message] }];
    assert.deepEqual(
      told(await change({ new_password: 'Quagga-7712' })),
      refused('Old password is required to update the password.'),
    );
    assert.deepEqual(
      told(await change({ old_password: 'x', new_password: 'Quagga-7712' })),
      refused('Old password is incorrect.'),
    );
    assert.equal((await change({ old_password: PASSWORD, new_password: 'Quagga-7712' })).status, 200);
    assert.equal((await server.request('GET', LOGIN, undefined, basic(username, 'Quagga-7712'))).status, 200);
  });
});
