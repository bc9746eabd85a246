import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const PASSWORD = 'Kiesel-7-Wolke';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const made = async (path: string, body: unknown): Promise<string> => {
  const answer = await server.request('POST', `${API}${path}`, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.pulp_href;
};

/** The distribution that was made, as it is shown. */
const distribution = async (body: Record<string, unknown>) => {
  const path = `${API}distributions/ostree/ostree/`;
  await server.finished(await server.request('POST', path, body));
  return async () => (await server.request('GET', `${path}?name=${body.name}`)).body.results[0];
};

describe('what is in use can be deleted', () => {
  it('a repository that is served: the distribution serves nothing', async () => {
    const repository = await made('repositories/ostree/ostree/', { name: unique('served') });
    const name = unique('serving');
    const shown = await distribution({ name, base_path: name, repository });
    assert.equal((await shown()).repository, repository);
    const task = await server.finished(await server.request('DELETE', repository));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal((await shown()).repository, null);
    await server.finished(await server.request('DELETE', (await shown()).pulp_href));
  });

  it('a remote: the repository has none', async () => {
    const remote = await made('remotes/ostree/ostree/', { name: unique('used'), url: 'http://127.0.0.1:9/' });
    const repository = await made('repositories/ostree/ostree/', { name: unique('using'), remote });
    const task = await server.finished(await server.request('DELETE', remote));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal((await server.request('GET', repository)).body.remote, null);
    await server.finished(await server.request('DELETE', repository));
  });

  it('a guard: the distribution has none', async () => {
    const guard = await made('contentguards/core/header/', { name: unique('asked'), header_name: 'x-a', header_value: 'b' });
    const name = unique('guarded');
    const shown = await distribution({ name, base_path: name, content_guard: guard });
    assert.equal((await shown()).content_guard, guard);
    assert.equal((await server.request('DELETE', guard)).status, 204);
    assert.equal((await shown()).content_guard, null);
    await server.finished(await server.request('DELETE', (await shown()).pulp_href));
  });

  it('a role: whoever had it has it no more', async () => {
    const name = unique('in.use');
    const role = await made('roles/', { name, permissions: ['core.view_task'] });
    const user = await made('users/', { username: unique('holder'), password: PASSWORD });
    await made(`${user.slice(API.length)}roles/`, { role: name, domain: null, content_object: null });
    assert.equal((await server.request('DELETE', role)).status, 204);
    assert.equal((await server.request('GET', `${user}roles/`)).body.count, 0);
    await server.request('DELETE', user);
  });

  it('a user with tasks: they stay', async () => {
    const username = unique('busy');
    const user = await made('users/', { username, password: PASSWORD });
    const authorization = `Basic ${Buffer.from(`${username}:${PASSWORD}`).toString('base64')}`;
    const purge = await server.request('POST', `${API}tasks/purge/`, {}, { authorization });
    assert.equal(purge.status, 202, JSON.stringify(purge.body));
    await server.finished(purge);
    assert.equal((await server.request('DELETE', user)).status, 204);
    const { status, body } = await server.request('GET', purge.body.task);
    assert.deepEqual([status, body.state, body.created_by], [200, 'completed', null]);
  });
});
