import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Answer, type Body, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const DISTRIBUTIONS = `${API}distributions/container/container/`;
const PASSWORD = 'Kiesel-7-Wolke';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const basic = (user: string) => `Basic ${Buffer.from(`${user}:${PASSWORD}`).toString('base64')}`;
const as =
  (user: string) =>
  (method: string, path: string, body?: unknown): Promise<Answer> =>
    server.request(method, path, body, { authorization: basic(user) });

async function newUser(name = unique('user')): Promise<{ name: string; href: string }> {
  const { status, body } = await server.request('POST', `${API}users/`, { username: name, password: PASSWORD });
  assert.equal(status, 201, JSON.stringify(body));
  return { name, href: body.pulp_href };
}

/** A distribution of an empty repository, and its namespace. */
async function newDistribution(
  isPrivate: boolean,
): Promise<{ path: string; href: string; namespace: string; repository: string }> {
  const name = unique('app');
  const path = `${unique('ns')}/${name}`;
  const repository = (await server.request('POST', `${API}repositories/container/container/`, { name })).body.pulp_href;
  const made = await server.request('POST', DISTRIBUTIONS, { name, base_path: path, repository, private: isPrivate });
  const [href] = (await server.finished(made)).created_resources;
  return { path, href, namespace: (await server.request('GET', href)).body.namespace, repository };
}

async function register(authorization: string | undefined, path: string, more: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, { headers: { ...(authorization ? { authorization } : {}), ...more } });
}

/** The name of the registry, as its challenge says it. */
async function service(): Promise<string> {
  const challenge = (await register(undefined, '/v2/')).headers.get('www-authenticate') ?? '';
  return /service="([^"]+)"/.exec(challenge)?.[1] as string;
}

/** A token for the scope, and what it permits. */
async function tokenFor(user: string | undefined, scope: string): Promise<{ token: string; actions: string[] }> {
  const query = new URLSearchParams({ service: await service(), scope });
  const response = await register(user && basic(user), `/token/?${query}`);
  assert.equal(response.status, 200);
  const { token } = (await response.json()) as { token: string };
  const { access } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as Body;
  return { token, actions: access.flatMap((entry: Body) => entry.actions as string[]).sort() };
}

const granted = async (user: string | undefined, path: string): Promise<string[]> =>
  (await tokenFor(user, `repository:${path}:pull,push`)).actions;

const give = async (href: string, role: string, holder: { users?: string[]; groups?: string[] }): Promise<void> => {
  const { status, body } = await server.request('POST', `${href}add_role/`, { role, ...holder });
  assert.equal(status, 201, JSON.stringify(body));
};

describe('a token of the registry', () => {
  it('lets everybody pull from what is public', async () => {
    const { path } = await newDistribution(false);
    const { name } = await newUser();
    assert.deepEqual(await granted(undefined, path), ['pull']);
    assert.deepEqual(await granted(name, path), ['pull']);
  });

  it('lets nobody pull from what is private without a role', async () => {
    const { path } = await newDistribution(true);
    const { name } = await newUser();
    assert.deepEqual(await granted(undefined, path), []);
    assert.deepEqual(await granted(name, path), []);
    const { token } = await tokenFor(name, `repository:${path}:pull`);
    assert.ok([401, 403].includes((await register(`Bearer ${token}`, `/v2/${path}/tags/list`)).status));
  });

  for (const [role, actions] of [
    ['consumer', ['pull']],
    ['collaborator', ['pull', 'push']],
    ['owner', ['pull', 'push']],
  ] as const) {
    it(`lets a ${role} of the distribution ${actions.join(' and ')}`, async () => {
      const { path, href } = await newDistribution(true);
      const { name } = await newUser();
      await give(href, `container.containerdistribution_${role}`, { users: [name] });
      assert.deepEqual(await granted(name, path), actions);
      const { token } = await tokenFor(name, `repository:${path}:pull`);
      assert.equal((await register(`Bearer ${token}`, `/v2/${path}/tags/list`)).status, 200);
      assert.deepEqual(await granted(name, (await newDistribution(true)).path), []);
    });

    it(`lets a ${role} of the namespace ${actions.join(' and ')}`, async () => {
      const { path, namespace } = await newDistribution(true);
      const { name } = await newUser();
      await give(namespace, `container.containernamespace_${role}`, { users: [name] });
      assert.deepEqual(await granted(name, path), actions);
    });
  }

  it('follows groups, and what was taken away is not in the next one', async () => {
    const { path, href } = await newDistribution(true);
    const { name } = await newUser();
    const group = unique('group');
    const made = await server.request('POST', `${API}groups/`, { name: group });
    const role = 'container.containerdistribution_consumer';
    await give(href, role, { groups: [group] });
    assert.deepEqual(await granted(name, path), []);
    await server.request('POST', `${made.body.pulp_href}users/`, { username: name });
    assert.deepEqual(await granted(name, path), ['pull']);
    await server.request('POST', `${href}remove_role/`, { role, groups: [group] });
    assert.deepEqual(await granted(name, path), []);
  });
});

describe('a container distribution', () => {
  it('can be made by who bears the name of its namespace, which is then his', async () => {
    const user = await newUser();
    const body = { name: unique('own'), base_path: `${user.name}/app` };
    const made = await as(user.name)('POST', DISTRIBUTIONS, body);
    assert.equal(made.status, 202, JSON.stringify(made.body));
    const task = await server.finished(made);
    assert.equal(task.state, 'completed');
    const distribution = (await as(user.name)('GET', task.created_resources[0])).body;
    assert.equal(distribution.base_path, body.base_path);
    const roles = async (href: string) => (await server.request('GET', `${href}list_roles/`)).body.roles;
    assert.deepEqual(await roles(distribution.pulp_href), [
      { role: 'container.containerdistribution_owner', users: [user.name], groups: [] },
    ]);
    assert.deepEqual(await roles(distribution.namespace), [
      { role: 'container.containernamespace_owner', users: [user.name], groups: [] },
    ]);
    assert.deepEqual(await granted(user.name, body.base_path), ['pull', 'push']);
  });

  it('that is public is seen by everybody who is logged in, and changed by nobody without a role', async () => {
    const { href } = await newDistribution(false);
    const { name } = await newUser();
    assert.equal((await as(name)('GET', href)).status, 200);
    assert.equal((await as(name)('PATCH', href, { description: 'x' })).status, 403);
    assert.equal((await as(name)('DELETE', href)).status, 403);
  });

  it('that is private is not there for others', async () => {
    const { href, repository } = await newDistribution(true);
    const { name } = await newUser();
    for (const path of [href, repository]) assert.equal((await as(name)('GET', path)).status, 404);
    await give(href, 'container.containerdistribution_consumer', { users: [name] });
    for (const path of [href, repository, `${repository}versions/0/`])
      assert.equal((await as(name)('GET', path)).status, 200, path);
    assert.equal((await as(name)('PATCH', repository, { description: 'x' })).status, 403);
  });

  it('that is private opens its repository to the collaborators of its namespace, and to its consumers for reading', async () => {
    const { repository, namespace } = await newDistribution(true);
    const [collaborator, consumer] = [(await newUser()).name, (await newUser()).name];
    for (const name of [collaborator, consumer]) assert.equal((await as(name)('GET', repository)).status, 404);
    await give(namespace, 'container.containernamespace_collaborator', { users: [collaborator] });
    await give(namespace, 'container.containernamespace_consumer', { users: [consumer] });
    for (const name of [collaborator, consumer]) assert.equal((await as(name)('GET', repository)).status, 200);
    assert.equal((await as(consumer)('PATCH', repository, { description: 'x' })).status, 403);
    const changed = await as(collaborator)('PATCH', repository, { description: 'x' });
    assert.ok([200, 202].includes(changed.status), JSON.stringify(changed.body));
  });
});

describe('a sync', () => {
  it('needs the right on the repository and the sight of the remote', async () => {
    const user = await newUser();
    const name = unique('repo');
    const repository = (await server.request('POST', `${API}repositories/container/container/`, { name })).body.pulp_href;
    const remote = (
      await server.request('POST', `${API}remotes/container/container/`, {
        name,
        url: 'http://127.0.0.1:9/',
        upstream_name: 'x',
        max_retries: 1,
      })
    ).body.pulp_href;
    const sync = () => as(user.name)('POST', `${repository}sync/`, { remote });
    assert.equal((await sync()).status, 404);
    await give(repository, 'container.containerrepository_viewer', { users: [user.name] });
    assert.equal((await sync()).status, 403);
    await give(remote, 'container.containerremote_viewer', { users: [user.name] });
    assert.equal((await sync()).status, 403);
    await give(repository, 'container.containerrepository_content_manager', { users: [user.name] });
    const allowed = await sync();
    assert.equal(allowed.status, 202, JSON.stringify(allowed.body));
    assert.equal((await as(user.name)('GET', allowed.body.task)).body.created_by, user.href);
    await server.finished(allowed);
  });
});
