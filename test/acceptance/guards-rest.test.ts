import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Answer, type Body, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const GUARDS = `${API}contentguards/`;
const KINDS = ['rbac', 'header', 'content_redirect', 'composite'] as const;
type Kind = (typeof KINDS)[number];
const REPOSITORIES = `${API}repositories/ostree/ostree/`;
const DISTRIBUTIONS = `${API}distributions/ostree/ostree/`;
const MISSING = 'Invalid hyperlink - Object does not exist.';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const collection = (kind: Kind | 'envvar_header'): string => `${GUARDS}core/${kind}/`;
const fieldsOf = (kind: Kind): Record<string, unknown> =>
  kind === 'header' ? { header_name: 'x-deckle', header_value: 'open' } : {};

async function guard(kind: Kind, fields: Record<string, unknown> = {}): Promise<Body> {
  const answer = await server.request('POST', collection(kind), { name: unique(kind), ...fieldsOf(kind), ...fields });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  server.made.push(answer.body.pulp_href);
  return answer.body;
}

const MODELS: Record<Kind, string> = {
  rbac: 'rbaccontentguard',
  header: 'headercontentguard',
  content_redirect: 'contentredirectcontentguard',
  composite: 'compositecontentguard',
};
const OWN: Record<Kind, readonly string[]> = {
  rbac: ['groups', 'users'],
  header: ['header_name', 'header_value', 'jq_filter'],
  content_redirect: [],
  composite: ['guards'],
};

for (const kind of KINDS) {
  describe(`guards of the kind ${kind}`, () => {
    it('are created, read, changed and deleted at once', async () => {
      const name = unique(kind);
      const created = await server.request('POST', collection(kind), { name, ...fieldsOf(kind) });
      assert.equal(created.status, 201, JSON.stringify(created.body));
      const { pulp_href: href } = created.body;
      assert.equal(created.headers.get('location'), href);
      const common = ['description', 'name', 'prn', 'pulp_created', 'pulp_href', 'pulp_last_updated'];
      assert.deepEqual(Object.keys(created.body).sort(), [...common, ...OWN[kind]].sort());
      assert.equal(created.body.prn, `prn:core.${MODELS[kind]}:${href.split('/').at(-2)}`);
      assert.equal(created.body.description, null);

      assert.deepEqual((await server.request('GET', href)).body, created.body);
      const changed = await server.request('PATCH', href, { description: 'for tests' });
      assert.equal(changed.status, 200);
      assert.equal(changed.body.description, 'for tests');
      assert.equal(changed.body.name, name);
      const put = await server.request('PUT', href, { name: `${name}-2`, ...fieldsOf(kind) });
      assert.equal(put.status, 200);
      assert.equal(put.body.name, `${name}-2`);
      assert.equal(put.body.description, 'for tests');
      assert.equal((await server.request('PATCH', href, { description: null })).body.description, null);

      const deleted = await server.request('DELETE', href);
      assert.equal(deleted.status, 204);
      assert.equal(deleted.body, '');
      assert.equal((await server.request('GET', href)).status, 404);
    });

    it('refuse what is wrong with a body', async () => {
      const { pulp_href: href, name } = await guard(kind);
      const refused = async (method: string, path: string, body: unknown, expected: unknown) => {
        const answer = await server.request(method, path, body);
        assert.equal(answer.status, 400, JSON.stringify(answer.body));
        assert.deepEqual(answer.body, expected);
      };
      const fields = fieldsOf(kind);
      await refused('POST', collection(kind), fields, { name: ['This field is required.'] });
      await refused('POST', collection(kind), { ...fields, name }, { name: ['This field must be unique.'] });
      await refused('POST', collection(kind), { ...fields, name: unique('x'), foo: 1 }, { foo: ['Unexpected field'] });
      await refused('PATCH', href, { name: '' }, { name: ['This field may not be blank.'] });
      await refused('PATCH', href, { description: '' }, { description: ['This field may not be blank.'] });
      await refused('PUT', href, fields, { name: ['This field is required.'] });
    });
  });
}

it('a name is taken by guards of every kind', async () => {
  const { name } = await guard('rbac');
  const answer = await server.request('POST', collection('composite'), { name });
  assert.equal(answer.status, 400);
  assert.deepEqual(answer.body, { name: ['This field must be unique.'] });
});

it('header guards need their fields', async () => {
  const missing = await server.request('POST', collection('header'), { name: unique('x') });
  assert.deepEqual(missing.body, { header_name: ['This field is required.'], header_value: ['This field is required.'] });
  const { pulp_href: href } = await guard('header', { jq_filter: '.identity.org_id' });
  assert.equal((await server.request('GET', href)).body.jq_filter, '.identity.org_id');
  const blank = await server.request('PATCH', href, { header_value: '', header_name: null, jq_filter: '' });
  assert.deepEqual(blank.body, {
    header_name: ['This field may not be null.'],
    header_value: ['This field may not be blank.'],
    jq_filter: ['This field may not be blank.'],
  });
  assert.equal((await server.request('PATCH', href, { jq_filter: null })).body.jq_filter, null);
});

it('guards of environment variables take those that the operator allows', async () => {
  const answer = await server.request('POST', collection('envvar_header'), {
    name: unique('env'),
    header_name: 'x-deckle',
    env_var: 'HOME',
  });
  assert.equal(answer.status, 400);
  const message = "Environment variable 'HOME' is not in ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS.";
  assert.deepEqual(answer.body, { env_var: [message] });
});

it('composite guards hold guards, by href or PRN, each once', async () => {
  const header = await guard('header');
  const rbac = await guard('rbac');
  const composite = await guard('composite', { guards: [header.pulp_href, rbac.prn, header.pulp_href] });
  assert.deepEqual([...composite.guards].sort(), [header.pulp_href, rbac.pulp_href].sort());
  const refused = async (guards: unknown, expected: unknown) => {
    const answer = await server.request('PATCH', composite.pulp_href, { guards });
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, { guards: expected });
  };
  await refused(null, ['This field may not be null.']);
  await refused('x', ['Expected a list of items but got type "str".']);
  await refused([`${collection('header')}00000000-0000-7000-8000-000000000000/`], [MISSING]);
  assert.equal((await server.request('DELETE', rbac.pulp_href)).status, 204);
  assert.deepEqual((await server.request('GET', composite.pulp_href)).body.guards, [header.pulp_href]);
  assert.deepEqual((await server.request('PATCH', composite.pulp_href, { guards: [] })).body.guards, []);
});

it('the list across kinds names and filters them', async () => {
  const word = unique('listed');
  for (const kind of KINDS) await guard(kind, { name: `${word}-${kind}` });
  const names = async (query: string): Promise<string[]> => {
    const answer = await server.request('GET', `${GUARDS}?name__startswith=${word}&${query}`);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.results.map(({ name }: Body) => name.slice(word.length + 1));
  };
  assert.deepEqual(await names('ordering=name'), [...KINDS].sort());
  assert.deepEqual(await names('pulp_type=core.rbac'), ['rbac']);
  assert.deepEqual(await names('pulp_type__in=core.header,core.composite&ordering=name'), ['composite', 'header']);
  const { body } = await server.request('GET', `${GUARDS}?name=${word}-header`);
  assert.deepEqual(Object.keys(body.results[0]).sort(), [
    'description',
    'name',
    'prn',
    'pulp_created',
    'pulp_href',
    'pulp_last_updated',
  ]);
  assert.match(body.results[0].pulp_href, new RegExp(`^${collection('header')}`));
  const wrong = await server.request('GET', `${GUARDS}?pulp_type=x`);
  assert.deepEqual(wrong.body, { pulp_type: ['Select a valid choice. x is not one of the available choices.'] });
});

describe('the distribution of artifacts', () => {
  it('is there once, and only to be read', async () => {
    const { body } = await server.request('GET', `${API}distributions/core/artifacts/`);
    assert.equal(body.count, 1);
    const [one] = body.results;
    assert.equal(one.prn, `prn:core.artifactdistribution:${one.pulp_href.split('/').at(-2)}`);
    assert.equal(one.name, one.base_path);
    assert.match(one.content_guard, new RegExp(`^${collection('content_redirect')}`));
    assert.ok(one.base_url.endsWith(`/pulp/content/${one.base_path}/`));
    assert.ok(!('repository' in one));
    assert.deepEqual((await server.request('GET', one.pulp_href)).body, one);
    assert.equal((await server.request('DELETE', one.pulp_href)).status, 405);
    assert.equal((await server.request('PATCH', one.pulp_href, { hidden: true })).status, 405);
    const listed = await server.request('GET', `${API}distributions/?pulp_type=core.artifact`);
    assert.deepEqual(
      listed.body.results.map(({ pulp_href }: Body) => pulp_href),
      [one.pulp_href],
    );
  });

  it('tells nothing to whoever has no signed URL', async () => {
    const { body } = await server.request('GET', `${API}distributions/core/artifacts/`);
    for (const rest of ['', '/', '/01a1fdab-2dcc-7f64-93d9-b743012a0b70', '/01a1fdab-2dcc-7f64-93d9-b743012a0b70?expires=x']) {
      const answer = await content(`${body.results[0].base_path}${rest}`);
      assert.equal(answer.status, 403, rest);
      assert.equal(answer.body, '403: Access not authenticated');
    }
    const late = await content(`${body.results[0].base_path}/?expires=1&validate_token=aa:bb`);
    assert.equal(late.body, '403: Authentication expired');
  });
});

/** Asks the content app, as nobody unless `headers` say otherwise. */
async function content(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  const response = await fetch(`${server.url}/pulp/content/${path}`, { method, headers, redirect: 'manual' });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

describe('a guarded distribution', () => {
  let base: string;
  let distribution: string;
  before(async () => {
    base = unique('guarded');
    const repository = (await server.request('POST', REPOSITORIES, { name: base })).body.pulp_href;
    server.made.push(repository);
    const task = await server.finished(await server.request('POST', DISTRIBUTIONS, { name: base, base_path: base, repository }));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    [distribution] = task.created_resources;
    server.made.push(distribution);
  });

  async function guardWith(href: string | null): Promise<void> {
    const answer = await server.request('PATCH', distribution, { content_guard: href });
    if (answer.status === 202) assert.equal((await server.finished(answer)).state, 'completed');
    assert.equal((await server.request('GET', distribution)).body.content_guard, href);
  }

  /** A repository without content: whoever may pass is told that there is nothing. */
  async function becomes(status: 403 | 404, headers: Record<string, string> = {}, text?: string): Promise<void> {
    for (const end = Date.now() + 10_000; ; ) {
      const answer = await content(`${base}/config`, headers);
      if (answer.status === status) {
        if (text !== undefined) assert.equal(answer.body, `403: ${text}`);
        return;
      }
      assert.ok(Date.now() < end, `${answer.status} in place of ${status}: ${answer.body}`);
    }
  }
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const admin = { authorization: `Basic ${base64('admin:password')}` };

  it('lets those pass who send the right header', async () => {
    const { pulp_href } = await guard('header');
    await guardWith(pulp_href);
    await becomes(403, {}, 'Access denied.');
    for (const value of [base64('shut'), '###', base64('open').slice(0, -1)]) {
      await becomes(403, { 'x-deckle': value }, 'Access denied.');
    }
    await becomes(404, { 'x-deckle': base64('open') });
    for (const path of [base, `${base}/`, `${base}/nope`]) {
      for (const method of ['GET', 'HEAD']) assert.equal((await content(path, {}, method)).status, 403, path);
    }
    await server.request('PATCH', pulp_href, { header_value: 'shut' });
    await becomes(403, { 'x-deckle': base64('open') }, 'Access denied.');
    await becomes(404, { 'x-deckle': base64('shut') });
  });

  it('lets those pass whose header holds the right JSON', async () => {
    const { pulp_href } = await guard('header', { header_value: 'acme', jq_filter: '.identity.orgs[0]["name"]' });
    await guardWith(pulp_href);
    await becomes(404, { 'x-deckle': base64('{"identity":{"orgs":[{"name":"acme"}]}}') });
    for (const json of ['{"identity":{"orgs":[{"name":"other"}]}}', '{"identity":{"orgs":[]}}', '{}', 'null', 'acme', '']) {
      await becomes(403, { 'x-deckle': base64(json) }, 'Access denied.');
    }
  });

  it('lets users pass who may download', async () => {
    const { pulp_href } = await guard('rbac');
    await guardWith(pulp_href);
    await becomes(404, admin);
    await becomes(403, {}, 'Authentication credentials were not provided.');
    const wrong = { authorization: `Basic ${base64('admin:wrong')}` };
    await becomes(403, wrong, 'Authentication credentials were not provided.');
  });

  it('names whoever has a role to download', async () => {
    const { pulp_href } = await guard('rbac');
    // Others may have such a role on all guards.
    const named = async (): Promise<Body[]> =>
      (await server.request('GET', pulp_href)).body.users.filter(({ username }: Body) => username === 'admin');
    assert.deepEqual(await named(), [{ username: 'admin', pulp_href: `${API}users/1/`, prn: 'prn:auth.user:1' }]);
    const role = { role: 'core.rbaccontentguard_downloader', users: ['admin'], groups: [] };
    assert.equal((await server.request('POST', `${pulp_href}remove_role/`, role)).status, 201);
    assert.deepEqual(await named(), []);
  });

  it('lets those pass whom one guard of several lets pass', async () => {
    const header = await guard('header');
    const rbac = await guard('rbac');
    const inner = await guard('composite', { guards: [rbac.pulp_href] });
    const { pulp_href } = await guard('composite', { guards: [header.pulp_href, inner.pulp_href] });
    await guardWith(pulp_href);
    await becomes(404, { 'x-deckle': base64('open') });
    await becomes(404, admin);
    await becomes(403);
    assert.match((await content(`${base}/config`)).body, /^403: Access forbidden\. Refusals: .*Access denied\./);
    await server.request('PATCH', pulp_href, { guards: [] });
    await becomes(404);
  });

  it('is open when its guard is deleted', async () => {
    const { pulp_href } = await guard('header');
    await guardWith(pulp_href);
    await becomes(403);
    assert.equal((await server.request('DELETE', pulp_href)).status, 204);
    assert.equal((await server.request('GET', distribution)).body.content_guard, null);
    await becomes(404);
  });
});
