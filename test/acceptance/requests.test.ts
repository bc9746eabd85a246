import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const REMOTES = `${API}remotes/container/container/`;

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const createRepository = async () => {
  const answer = await server.request('POST', REPOSITORIES, { name: unique('repo') });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
};

describe('requests', () => {
  it('need credentials', async () => {
    const nobody = await server.request('GET', REPOSITORIES, undefined, { authorization: '' });
    assert.equal(nobody.status, 401);
    assert.deepEqual(nobody.body, { detail: 'Authentication credentials were not provided.' });
    assert.equal(nobody.headers.get('www-authenticate'), 'Basic realm="api"');
    const wrong = await server.request('GET', REPOSITORIES, undefined, {
      authorization: `Basic ${Buffer.from(`${unique('nobody')}:x`).toString('base64')}`,
    });
    assert.equal(wrong.status, 401);
    assert.deepEqual(wrong.body, { detail: 'Invalid username/password.' });
  });

  it('are answered 404, 405, 406 and 415 in the recorded words', async () => {
    assert.deepEqual((await server.request('GET', `${REPOSITORIES}01a1fb38-4e04-7b05-b924-15662fb85683/`)).body, {
      detail: 'No ContainerRepository matches the given query.',
    });
    const method = await server.request('DELETE', REPOSITORIES);
    assert.deepEqual([method.status, method.body], [405, { detail: 'Method "DELETE" not allowed.' }]);
    assert.deepEqual((method.headers.get('allow') ?? '').split(', ').sort(), ['GET', 'HEAD', 'OPTIONS', 'POST']);
    const accept = await server.request('GET', REPOSITORIES, undefined, { accept: 'application/xml' });
    assert.deepEqual([accept.status, accept.body], [406, { detail: 'Could not satisfy the request Accept header.' }]);
    const media = await server.request('POST', REPOSITORIES, '<a/>', { 'content-type': 'application/xml' });
    assert.deepEqual([media.status, media.body], [415, { detail: 'Unsupported media type "application/xml" in request.' }]);
    const json = await server.request('POST', REPOSITORIES, '{bad');
    assert.equal(json.status, 400);
    assert.match(json.body.detail, /^JSON parse error - /);
  });

  it('are known by a correlation id', async () => {
    const id = '0a1b2c3d4e5f60718293a4b5c6d7e8f9';
    assert.equal(
      (await server.request('GET', REPOSITORIES, undefined, { 'correlation-id': id })).headers.get('correlation-id'),
      id,
    );
    assert.match((await server.request('GET', REPOSITORIES)).headers.get('correlation-id') ?? '', /^[0-9a-f]{32}$/);
  });

  it('come as forms too', async () => {
    const name = unique('form');
    const answer = await server.request(
      'POST',
      REMOTES,
      `name=${name}&url=http%3A%2F%2F127.0.0.1%3A9&upstream_name=a%2Fb&tls_validation=False`,
      { 'content-type': 'application/x-www-form-urlencoded' },
    );
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.deepEqual([answer.body.name, answer.body.tls_validation], [name, false]);
  });
});

describe('tasks', () => {
  it('have ended when they have ended', async () => {
    const { pulp_href: href } = await createRepository();
    const task = await server.finished(await server.request('PATCH', href, { description: unique('x') }));
    const { body: reduced } = await server.request('GET', `${API}tasks/?minimal=true&limit=1`);
    assert.deepEqual(Object.keys(reduced.results[0]).sort(), [
      'finished_at',
      'name',
      'prn',
      'pulp_api_version',
      'pulp_created',
      'pulp_href',
      'pulp_last_updated',
      'started_at',
      'state',
      'unblocked_at',
      'worker',
    ]);
    const wrong = await server.request('PATCH', task.pulp_href, { state: 'completed' });
    assert.deepEqual([wrong.status, wrong.body], [400, { state: ["The only acceptable value for 'state' is 'canceled'."] }]);
    assert.equal((await server.request('PATCH', task.pulp_href, { state: 'canceled' })).status, 409);
    const held = await server.request('GET', `${API}tasks/?reserved_resources=${href}&fields=pulp_href`);
    assert.deepEqual(held.body.results, [{ pulp_href: task.pulp_href }]);
    assert.equal((await server.request('DELETE', task.pulp_href)).status, 204);
    assert.equal((await server.request('GET', task.pulp_href)).status, 404);
    assert.deepEqual((await server.request('GET', `${API}tasks/?state=bogus`)).body, {
      state: ['Select a valid choice. bogus is not one of the available choices.'],
    });
  });

  it('fail with the recorded reason', async () => {
    const { pulp_href: href } = await createRepository();
    const task = await server.finished(await server.request('DELETE', `${href}versions/0/`));
    assert.equal(task.state, 'failed');
    assert.equal(
      task.error.description,
      '[PLP0011] Cannot delete repository version. Repositories must have at least one repository version.',
    );
  });
});

describe('status', () => {
  it('is open, and names the components', async () => {
    const { status, body } = await server.request('GET', `${API}status/`, undefined, { authorization: '' });
    assert.equal(status, 200);
    const versions = new Map(body.versions.map((one: { component: string; version: string }) => [one.component, one.version]));
    assert.equal(versions.get('core'), '3.123.1');
    assert.equal(versions.get('container'), '2.30.0');
    assert.equal(versions.get('ostree'), '2.6.1');
    assert.ok(body.online_workers.length > 0);
    assert.equal(body.database_connection.connected, true);
    assert.equal((await server.request('GET', `${API}livez/`, undefined, { authorization: '' })).status, 200);
  });
});
