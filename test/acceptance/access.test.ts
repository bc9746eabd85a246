import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type Answer, type Body, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const REMOTES = `${API}remotes/container/container/`;
const PASSWORD = 'Kiesel-7-Wolke';

interface Recorded {
  readonly policies: Readonly<Record<string, { rules: string[]; creator?: string[]; scope?: string }>>;
  readonly roles: Readonly<Record<string, string>>;
}
const recorded = JSON.parse(readFileSync(new URL('recorded/access.json', import.meta.url), 'utf8')) as Recorded;

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const basic = (user: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${PASSWORD}`).toString('base64')}` });
const as =
  (user: string) =>
  (method: string, path: string, body?: unknown): Promise<Answer> =>
    server.request(method, path, body, basic(user));

async function created(path: string, body: unknown): Promise<Body> {
  const answer = await server.request('POST', path, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

const newUser = async (): Promise<{ name: string; href: string }> => {
  const name = unique('user');
  return { name, href: (await created(`${API}users/`, { username: name, password: PASSWORD })).pulp_href };
};
const newRemote = async (): Promise<string> =>
  (await created(REMOTES, { name: unique('remote'), url: 'http://127.0.0.1:9/', upstream_name: 'x' })).pulp_href;

const listOf = (value: string | string[] | null | undefined): string[] => (value == null ? [] : [value].flat());

/** A statement as one line, in the form of the recording. */
function ruleOf({ action, principal, condition, condition_expression }: Body): string {
  const by = principal === 'authenticated' ? '' : ` by ${listOf(principal).join(' ')}`;
  const conditions = [...listOf(condition), ...listOf(condition_expression).map((expression) => `(${expression})`)];
  return `${listOf(action).join(' ')}${by}${conditions.length > 0 ? ` if ${conditions.join(' & ')}` : ''}`;
}

describe('access policies', () => {
  it('say by default what was recorded', async () => {
    const { body } = await server.request('GET', `${API}access_policies/?limit=1000`);
    const policies = new Map((body.results as Body[]).map((policy) => [policy.viewset_name, policy]));
    for (const [name, expected] of Object.entries(recorded.policies)) {
      const policy = policies.get(name);
      assert.ok(policy, name);
      const { function: scope, parameters = {} } = policy.queryset_scoping ?? {};
      const scoped = [
        scope,
        ...Object.keys(parameters)
          .sort()
          .map((key) => `${key}=${parameters[key]}`),
      ].join(' ');
      assert.deepEqual(
        {
          rules: policy.statements.map(ruleOf),
          creator: (policy.creation_hooks ?? []).flatMap((hook: Body) => listOf(hook.parameters.roles)),
          scope: scoped,
        },
        { rules: expected.rules, creator: expected.creator ?? [], scope: expected.scope ?? '' },
        name,
      );
      assert.deepEqual(policy.permissions_assignment, policy.creation_hooks, name);
    }
  });

  it('can be changed, which counts at once, and reset', async () => {
    const user = await newUser();
    const create = () =>
      as(user.name)('POST', REMOTES, { name: unique('remote'), url: 'http://127.0.0.1:9/', upstream_name: 'x' });
    const [policy] = (await server.request('GET', `${API}access_policies/?viewset_name=remotes/container/container`)).body
      .results;
    assert.equal((await create()).status, 403);
    try {
      const statements = [
        ...policy.statements,
        { action: 'create', principal: `id:${user.href.split('/').at(-2)}`, effect: 'allow' },
      ];
      const changed = await server.request('PATCH', policy.pulp_href, { statements, creation_hooks: [] });
      assert.deepEqual([changed.status, changed.body.customized, changed.body.statements], [200, true, statements]);
      const made = await create();
      assert.equal(made.status, 201);
      assert.equal((await as(user.name)('GET', made.body.pulp_href)).status, 404, 'the creator gets no role any more');
    } finally {
      const { status, body } = await server.request('POST', `${policy.pulp_href}reset/`);
      assert.deepEqual([status, body.customized, body.statements], [200, false, policy.statements]);
    }
    assert.equal((await create()).status, 403);
  });

  it('cannot be made or deleted, and have to have statements', async () => {
    const [policy] = (await server.request('GET', `${API}access_policies/?limit=1`)).body.results;
    assert.equal((await server.request('POST', `${API}access_policies/`, {})).status, 405);
    assert.equal((await server.request('DELETE', policy.pulp_href)).status, 405);
    const put = await server.request('PUT', policy.pulp_href, {});
    assert.deepEqual([put.status, put.body], [400, { statements: ['This field is required.'] }]);
    const wrong = await server.request('PATCH', policy.pulp_href, { queryset_scoping: null });
    assert.deepEqual([wrong.status, wrong.body], [400, { queryset_scoping: ['This field may not be null.'] }]);
  });
});

describe('roles', () => {
  it('are built in as recorded, and locked', async () => {
    const { body } = await server.request('GET', `${API}roles/?limit=1000&locked=true`);
    const roles = new Map((body.results as Body[]).map((role) => [role.name, role]));
    for (const [name, permissions] of Object.entries(recorded.roles)) {
      assert.equal(roles.get(name)?.permissions.join(' '), permissions, name);
    }
    const href = roles.get('core.task_viewer').pulp_href;
    for (const answer of [await server.request('PATCH', href, { description: 'x' }), await server.request('DELETE', href)]) {
      assert.deepEqual([answer.status, answer.body], [403, { detail: 'The role is locked.' }]);
    }
  });

  it('are made, changed and deleted, also while somebody has them', async () => {
    const name = unique('role');
    const permissions = ['core.view_task', 'container.view_containerremote'];
    const role = await created(`${API}roles/`, { name, permissions, description: 'for a test' });
    assert.deepEqual([role.permissions, role.locked], [['container.view_containerremote', 'core.view_task'], false]);
    const user = await newUser();
    const given = await created(`${user.href}roles/`, { role: name, content_object: null });
    const { pulp_href: href, prn, pulp_created, pulp_last_updated, ...rest } = given;
    assert.match(href, new RegExp(`^${user.href}roles/[0-9a-f-]{36}/$`));
    assert.match(prn, /^prn:core\.userrole:/);
    assert.ok(pulp_created <= pulp_last_updated);
    assert.deepEqual(rest, {
      role: name,
      content_object: null,
      content_object_prn: null,
      description: 'for a test',
      permissions: role.permissions,
      domain: null,
    });
    assert.equal((await as(user.name)('GET', await newRemote())).status, 200);
    const changed = await server.request('PATCH', role.pulp_href, { permissions: ['core.view_task'] });
    assert.deepEqual([changed.status, changed.body.permissions], [200, ['core.view_task']]);
    assert.equal((await as(user.name)('GET', await newRemote())).status, 404);
    assert.equal((await server.request('DELETE', role.pulp_href)).status, 204);
    assert.equal((await server.request('GET', `${user.href}roles/`)).body.count, 0);
  });

  for (const [what, body, expected] of [
    [
      'a permission that is not there',
      { permissions: ['nope.nope', 'core.view_task'] },
      { permissions: ["Permission 'nope.nope' does not exist."] },
    ],
    ['no permissions', {}, { permissions: ['This field is required.'] }],
    ['a name that is taken', { name: 'core.task_owner', permissions: [] }, { name: ['This field must be unique.'] }],
  ] as const) {
    it(`are refused with ${what}`, async () => {
      const { status, body: answer } = await server.request('POST', `${API}roles/`, { name: unique('role'), ...body });
      assert.deepEqual([status, answer], [400, expected]);
    });
  }

  it('are found by what they permit, and by what they are about', async () => {
    const names = async (query: string) =>
      ((await server.request('GET', `${API}roles/?locked=true&${query}`)).body.results as Body[])
        .map((role) => role.name)
        .filter((name: string) => name.startsWith('co'))
        .sort();
    assert.deepEqual(await names('contains_permission=core.view_task&contains_permission=core.add_task'), [
      'core.task_owner',
      'core.task_user_dispatcher',
      'core.task_viewer',
    ]);
    const ofRemotes = ['creator', 'owner', 'viewer'].map((end) => `container.containerremote_${end}`);
    assert.deepEqual(await names(`for_object_type=${await newRemote()}`), ofRemotes);
    assert.deepEqual(await names(`for_object_type=${REMOTES}`), ofRemotes);
    const wrong = await server.request('GET', `${API}roles/?for_object_type=garbage`);
    assert.deepEqual([wrong.status, wrong.body], [400, ['URI not valid: garbage']]);
  });
});

describe('roles of users', () => {
  it('are on one object or on everything, once each', async () => {
    const user = await newUser();
    const remote = await newRemote();
    const role = 'container.containerremote_viewer';
    const one = await created(`${user.href}roles/`, { role, content_object: remote });
    assert.deepEqual(
      [one.content_object, one.content_object_prn],
      [remote, `prn:container.containerremote:${remote.split('/').at(-2)}`],
    );
    const again = await server.request('POST', `${user.href}roles/`, { role, content_object_prn: one.content_object_prn });
    assert.deepEqual([again.status, again.body], [400, { non_field_errors: ['The role is already assigned to this user.'] }]);
    await created(`${user.href}roles/`, { role, content_object: null });
    const count = async (query: string) => (await server.request('GET', `${user.href}roles/?${query}`)).body.count;
    assert.deepEqual(
      [await count(''), await count(`content_object=${remote}`), await count('content_object=null'), await count(`role=${role}`)],
      [2, 1, 1, 2],
    );
    assert.equal((await server.request('GET', one.pulp_href)).body.role, role);
    assert.equal((await server.request('DELETE', one.pulp_href)).status, 204);
    assert.equal((await server.request('GET', one.pulp_href)).status, 404);
    assert.equal(await count(''), 1);
  });

  for (const [what, body, expected] of [
    ['an unknown role', { role: 'nope', content_object: null }, { role: ['Object with name=nope does not exist.'] }],
    ['no role', { content_object: null }, { role: ['This field is required.'] }],
    [
      'no object',
      { role: 'core.task_owner' },
      {
        non_field_errors: [
          "Either 'content_object' or 'content_object_prn' needs to be specified. Use 'null' for global or domain level access.",
        ],
      },
    ],
    [
      'an object that is none',
      { role: 'core.task_owner', content_object: 'garbage' },
      { content_object: ['Invalid value: garbage.'] },
    ],
    [
      'a PRN that is none',
      { role: 'core.task_owner', content_object_prn: 'garbage' },
      { content_object_prn: ["PRN must start with 'prn:': garbage"] },
    ],
    ['an unknown field', { role: 'core.task_owner', content_object: null, foo: 1 }, { foo: ['Unexpected field'] }],
  ] as const) {
    it(`are refused with ${what}`, async () => {
      const user = await newUser();
      const { status, body: answer } = await server.request('POST', `${user.href}roles/`, body);
      assert.deepEqual([status, answer], [400, expected]);
    });
  }

  it('are refused where they say nothing about the object', async () => {
    const user = await newUser();
    const answer = await server.request('POST', `${user.href}roles/`, {
      role: 'core.task_owner',
      content_object: await newRemote(),
    });
    assert.deepEqual(
      [answer.status, answer.body],
      [400, { non_field_errors: ["The role 'core.task_owner' does not carry any permission for that object."] }],
    );
  });
});

describe('roles on an object', () => {
  it('are given and taken, and go with it', async () => {
    const user = await newUser();
    const remote = await newRemote();
    const role = 'container.containerremote_viewer';
    const owner = { role: 'container.containerremote_owner', users: ['admin'], groups: [] };
    assert.deepEqual((await server.request('GET', `${remote}list_roles/`)).body, { roles: [owner] });
    assert.equal((await as(user.name)('GET', remote)).status, 404);
    const added = await server.request('POST', `${remote}add_role/`, { role, users: [user.name] });
    assert.deepEqual([added.status, added.body], [201, { role, users: [user.name], groups: [] }]);
    const twice = await server.request('POST', `${remote}add_role/`, { role, users: [user.name] });
    assert.deepEqual(
      [twice.status, twice.body],
      [400, { non_field_errors: [`The role is already assigned to user '${user.name}'.`] }],
    );
    assert.equal((await as(user.name)('GET', remote)).status, 200);
    assert.deepEqual((await as(user.name)('GET', `${remote}my_permissions/`)).body, {
      permissions: ['container.view_containerremote'],
    });
    assert.equal((await as(user.name)('GET', `${remote}list_roles/`)).status, 403);
    assert.equal((await as(user.name)('PATCH', remote, { url: 'http://y' })).status, 403);
    const { roles } = (await server.request('GET', `${remote}list_roles/`)).body;
    assert.deepEqual(
      roles.sort((a: Body, b: Body) => a.role.localeCompare(b.role)),
      [owner, { role, users: [user.name], groups: [] }],
    );
    const removed = await server.request('POST', `${remote}remove_role/`, { role, users: [user.name] });
    assert.deepEqual([removed.status, removed.body], [201, { role, users: [user.name], groups: [] }]);
    const gone = await server.request('POST', `${remote}remove_role/`, { role, users: [user.name] });
    assert.deepEqual([gone.status, gone.body], [400, { non_field_errors: [`The role is not assigned to user '${user.name}'.`] }]);
    assert.equal((await as(user.name)('GET', remote)).status, 404);
    await server.request('POST', `${remote}add_role/`, { role, users: [user.name] });
    await server.finished(await server.request('DELETE', remote));
    assert.equal((await server.request('GET', `${user.href}roles/`)).body.count, 0);
  });

  it('are refused to who is not there, and where they say nothing about it', async () => {
    const remote = await newRemote();
    const ask = async (body: unknown) => (await server.request('POST', `${remote}add_role/`, body)).body;
    assert.deepEqual(await ask({ role: 'nope', users: ['no-such-user'] }), {
      users: { 0: ['Object with username=no-such-user does not exist.'] },
      role: ['Object with name=nope does not exist.'],
    });
    assert.deepEqual(await ask({ role: 'core.task_owner', groups: ['no-such-group'] }), {
      groups: { 0: ['Object with name=no-such-group does not exist.'] },
    });
    assert.deepEqual(await ask({ role: 'core.task_owner', users: ['admin'] }), {
      non_field_errors: ['The role does not contain any permission for that object.'],
    });
    assert.deepEqual(await ask({}), { role: ['This field is required.'] });
  });

  it('come by way of groups too, and go with the membership', async () => {
    const user = await newUser();
    const remote = await newRemote();
    const name = unique('group');
    const group = await created(`${API}groups/`, { name });
    const added = await server.request('POST', `${remote}add_role/`, {
      role: 'container.containerremote_viewer',
      groups: [name],
    });
    assert.equal(added.status, 201);
    assert.equal((await as(user.name)('GET', remote)).status, 404);
    const member = await created(`${group.pulp_href}users/`, { username: user.name });
    assert.ok(member);
    assert.equal((await as(user.name)('GET', remote)).status, 200);
    const users = await server.request('DELETE', `${group.pulp_href}users/${user.href.split('/').at(-2)}/`);
    assert.equal(users.status, 204);
    assert.equal((await as(user.name)('GET', remote)).status, 404);
  });
});

describe('the creator of an object', () => {
  it('is its owner', async () => {
    const user = await newUser();
    await created(`${user.href}roles/`, { role: 'container.containerremote_creator', content_object: null });
    const made = await as(user.name)('POST', REMOTES, { name: unique('remote'), url: 'http://127.0.0.1:9/', upstream_name: 'x' });
    assert.equal(made.status, 201);
    assert.deepEqual((await as(user.name)('GET', `${made.body.pulp_href}list_roles/`)).body, {
      roles: [{ role: 'container.containerremote_owner', users: [user.name], groups: [] }],
    });
    const changed = await as(user.name)('PATCH', made.body.pulp_href, { url: 'http://127.0.0.1:10/' });
    assert.equal(changed.status, 202);
    const task = (await as(user.name)('GET', changed.body.task)).body;
    assert.equal(task.created_by, user.href);
    assert.equal((await as(user.name)('GET', `${API}tasks/`)).body.count, 1);
    assert.equal((await as((await newUser()).name)('GET', changed.body.task)).status, 404);
  });

  it('of a task may look at it and cancel it', async () => {
    const remote = await newRemote();
    const { body } = await server.request('PATCH', remote, { url: 'http://127.0.0.1:10/' });
    const { roles } = (await server.request('GET', `${body.task}list_roles/`)).body;
    assert.deepEqual(
      roles.sort((a: Body, b: Body) => a.role.localeCompare(b.role)),
      ['core.task_owner', 'core.task_user_dispatcher'].map((role) => ({ role, users: ['admin'], groups: [] })),
    );
  });
});
