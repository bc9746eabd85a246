import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../queue/eventually.ts';
import { simpleImage } from '../support/images.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { type Answer, type Body, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const REMOTES = `${API}remotes/container/pull-through/`;
const CACHES = `${API}distributions/container/pull-through/`;
const PASSWORD = 'Kiesel-7-Wolke';

let server: Server;
let upstream: Upstream;
before(async () => {
  [server, upstream] = [await openServer(), await startUpstream()];
});
after(async () => {
  await upstream?.stop();
  await server?.stop();
});

async function newRemote(fields: object = {}): Promise<Body> {
  const made = await server.request('POST', REMOTES, { name: unique('remote'), url: upstream.url, ...fields });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return made.body;
}

/** A cache and the path below which it is pulled from. */
async function newCache(fields: object = {}, remote: object = {}): Promise<{ path: string; href: string; remote: string }> {
  const path = unique('cache');
  const { pulp_href } = await newRemote(remote);
  const made = await server.request('POST', CACHES, { name: path, base_path: path, remote: pulp_href, ...fields });
  const task = await server.finished(made);
  assert.equal(task.state, 'completed', JSON.stringify(task));
  return { path, href: task.created_resources[0], remote: pulp_href };
}

/** An image of its own in an upstream repository of its own. */
function newImage() {
  const repository = unique('up');
  const image = simpleImage(repository);
  upstream.put(repository, image, 'latest');
  return { repository, image };
}

async function pull(path: string, user: string | undefined = 'admin:password'): Promise<Response> {
  const name = /^(.+)\/(?:manifests|blobs|tags)\//.exec(path)?.[1];
  const challenge = (await fetch(`${server.url}/v2/`)).headers.get('www-authenticate') ?? '';
  const service = /service="([^"]+)"/.exec(challenge)?.[1] ?? '';
  const query = new URLSearchParams({ service, scope: `repository:${name}:pull` });
  const login: Record<string, string> = user === '' ? {} : { authorization: `Basic ${btoa(user)}` };
  const { token } = (await (await fetch(`${server.url}/token/?${query}`, { headers: login })).json()) as { token: string };
  return fetch(`${server.url}/v2/${path}`, { headers: { authorization: `Bearer ${token}` } });
}

const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());
const codeOf = async (response: Response): Promise<string> => ((await response.json()) as Body).errors[0].code;
const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('a pull-through remote', () => {
  it('is made, read, changed and removed', async () => {
    const remote = await newRemote({ includes: ['library/*'], excludes: ['library/secret'], username: 'u', password: 'p' });
    assert.deepEqual([remote.policy, remote.includes, remote.excludes], ['on_demand', ['library/*'], ['library/secret']]);
    assert.deepEqual(
      remote.hidden_fields.filter(({ is_set }: Body) => is_set).map(({ name }: Body) => name),
      ['username', 'password'],
    );
    for (const name of ['upstream_name', 'sigstore', 'password']) assert.equal(name in remote, false);
    await server.finished(await server.request('PATCH', remote.pulp_href, { includes: null }));
    const { body } = await server.request('GET', remote.pulp_href);
    assert.deepEqual([body.includes, body.excludes], [null, ['library/secret']]);
    const { body: list } = await server.request('GET', `${API}remotes/?pulp_type=container.pull-through&name=${remote.name}`);
    assert.deepEqual(
      list.results.map(({ pulp_href }: Body) => pulp_href),
      [remote.pulp_href],
    );
    await server.finished(await server.request('DELETE', remote.pulp_href));
    assert.equal((await server.request('GET', remote.pulp_href)).status, 404);
  });

  const wrong: readonly [what: string, body: object, fields: object][] = [
    ['another policy', { policy: 'immediate' }, { policy: ['"immediate" is not a valid choice.'] }],
    ['includes that are no list', { includes: 'a' }, { includes: ['Expected a list of items but got type "str".'] }],
  ];
  for (const [what, body, fields] of wrong) {
    it(`is refused with ${what}`, async () => {
      const answer = await server.request('POST', REMOTES, { name: unique('remote'), url: upstream.url, ...body });
      assert.deepEqual([answer.status, answer.body], [400, fields]);
    });
  }
});

describe('a pull-through distribution', () => {
  it('is made, read, changed and removed', async () => {
    const { path, href, remote } = await newCache({ description: 'a cache', private: true });
    const { body } = await server.request('GET', href);
    assert.deepEqual(
      [body.name, body.remote, body.distributions, body.private, body.description, body.repository, body.hidden],
      [path, remote, [], true, 'a cache', null, false],
    );
    assert.match(body.content_guard, /\/contentguards\/core\/content_redirect\//);
    assert.match(body.namespace, /\/pulp_container\/namespaces\//);
    assert.equal('registry_path' in body, false);
    await server.finished(await server.request('PATCH', href, { private: false, description: null }));
    const changed = (await server.request('GET', href)).body;
    assert.deepEqual([changed.private, changed.description], [false, null]);
    const { body: list } = await server.request('GET', `${API}distributions/?pulp_type=container.pull-through&name=${path}`);
    assert.equal(list.count, 1);
    await server.finished(await server.request('DELETE', href));
    assert.equal((await server.request('GET', href)).status, 404);
  });

  const wrong: readonly [what: string, body: object, fields: object][] = [
    ['no remote', {}, { remote: ['This field is required.'] }],
    ['null for its remote', { remote: null }, { remote: ['This field may not be null.'] }],
  ];
  for (const [what, body, fields] of wrong) {
    it(`is refused with ${what}`, async () => {
      const path = unique('cache');
      const answer = await server.request('POST', CACHES, { name: path, base_path: path, ...body });
      assert.deepEqual([answer.status, answer.body], [400, fields]);
    });
  }

  it('is refused with forbidden characters, unknown fields, and distributions that are none', async () => {
    const { pulp_href: remote } = await newRemote();
    const refused = async (fields: object): Promise<Answer> => {
      const path = unique('cache');
      return server.request('POST', CACHES, { name: path, base_path: path, remote, ...fields });
    };
    const path = await refused({ base_path: 'Upper' });
    assert.deepEqual(
      [path.status, path.body],
      [400, { base_path: ['The provided registry path contains forbidden characters.'] }],
    );
    const unknown = await refused({ registry_path: 'x' });
    assert.deepEqual([unknown.status, unknown.body], [400, { registry_path: ['Unexpected field'] }]);
    const none = await refused({ distributions: ['nowhere'] });
    assert.deepEqual([none.status, none.body], [400, { distributions: ['Invalid hyperlink - No URL match.'] }]);
  });

  it('stays at its base path', async () => {
    const { href } = await newCache();
    const answer = await server.request('PATCH', href, { base_path: unique('cache') });
    assert.deepEqual([answer.status, answer.body], [400, { base_path: ['This value cannot be updated.'] }]);
  });
});

describe('a pull below a cache', () => {
  it('gives what the upstream has, and makes remote, repository and distribution of its whole name', async () => {
    const { path, href, remote } = await newCache();
    const { repository, image } = newImage();
    const name = `${path}/${repository}`;
    const manifest = await pull(`${name}/manifests/latest`);
    assert.deepEqual(
      [manifest.status, manifest.headers.get('docker-content-digest'), manifest.headers.get('content-type')],
      [200, image.digest, image.mediaType],
    );
    assert.deepEqual(await bytesOf(manifest), image.bytes);
    for (const { digest } of image.blobs) {
      const blob = await pull(`${name}/blobs/${digest}`);
      assert.equal(blob.status, 200);
      assert.equal(sha256(await bytesOf(blob)), digest);
    }
    const [distribution] = (await server.request('GET', `${API}distributions/container/container/?name=${name}`)).body.results;
    assert.equal(distribution.base_path, name);
    assert.deepEqual((await server.request('GET', href)).body.distributions, [distribution.pulp_href]);
    const own = (await server.request('GET', distribution.remote)).body;
    const { url } = (await server.request('GET', remote)).body;
    assert.deepEqual([own.name, own.upstream_name, own.url, own.policy], [name, repository, url, 'on_demand']);
    const kept = (await server.request('GET', distribution.repository)).body;
    assert.deepEqual([kept.name, kept.retain_repo_versions], [name, 1]);
  });

  it('is refused to nobody, and to users without the right; who has it by the cache pulls', async () => {
    const { path, href } = await newCache();
    const { repository, image } = newImage();
    const reference = `${path}/${repository}/manifests/latest`;
    const username = unique('user');
    await server.request('POST', `${API}users/`, { username, password: PASSWORD });
    const login = `${username}:${PASSWORD}`;
    for (const user of ['', login]) assert.equal((await pull(reference, user)).status, 401);
    const role = { role: 'container.containerpullthroughdistribution_consumer', users: [username] };
    assert.equal((await server.request('POST', `${href}add_role/`, role)).status, 201);
    assert.deepEqual(await bytesOf(await pull(reference, login)), image.bytes);
    await eventually('it is cached', async () => (await pull(reference, '')).status === 200);
    assert.deepEqual(await bytesOf(await pull(reference, '')), image.bytes);
    assert.equal((await pull(`${path}/${repository}/manifests/unknown`, '')).status, 404);
  });

  it('lists the tags that were pulled', async () => {
    const { path } = await newCache();
    const { repository, image } = newImage();
    upstream.put(repository, image, 'other');
    assert.deepEqual(((await (await pull(`${path}/${repository}/tags/list`)).json()) as Body).tags, []);
    assert.equal((await pull(`${path}/${repository}/manifests/latest`)).status, 200);
    const tags = await eventually('the tag is listed', async () => {
      const listed = ((await (await pull(`${path}/${repository}/tags/list`)).json()) as Body).tags;
      return listed.length > 0 && listed;
    });
    assert.deepEqual(tags, ['latest']);
  });

  it('of what the upstream does not have, or the remote leaves out, is 404', async () => {
    const { path } = await newCache({}, { includes: ['*'], excludes: ['*left-out*'] });
    const { repository } = newImage();
    const unknown = await pull(`${path}/${repository}/manifests/unknown`);
    assert.deepEqual([unknown.status, await codeOf(unknown)], [404, 'MANIFEST_UNKNOWN']);
    const leftOut = await pull(`${path}/left-out/manifests/latest`);
    assert.deepEqual([leftOut.status, await codeOf(leftOut)], [404, 'NAME_UNKNOWN']);
  });
});
