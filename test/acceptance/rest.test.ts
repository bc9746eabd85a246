import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const REMOTES = `${API}remotes/container/container/`;
const DISTRIBUTIONS = `${API}distributions/container/container/`;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const create = async (path: string, body: Record<string, unknown>) => {
  const answer = await server.request('POST', path, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
};

describe('container repositories', () => {
  it('are created with version 0 and answered whole', async () => {
    const name = unique('repo');
    const answer = await server.request('POST', REPOSITORIES, { name });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    const { pulp_href: href, prn, pulp_created, ...rest } = answer.body;
    assert.match(href, new RegExp(`^${REPOSITORIES}${UUID.source}/$`));
    assert.equal(answer.headers.get('location'), href);
    assert.match(prn, new RegExp(`^prn:container.containerrepository:${UUID.source}$`));
    assert.match(pulp_created, TIME);
    assert.match(rest.pulp_last_updated, TIME);
    assert.deepEqual(rest, {
      pulp_last_updated: rest.pulp_last_updated,
      versions_href: `${href}versions/`,
      pulp_labels: {},
      latest_version_href: `${href}versions/0/`,
      name,
      description: null,
      retain_repo_versions: null,
      retain_checkpoints: null,
      remote: null,
      manifest_signing_service: null,
    });
    const versions = await server.request('GET', `${href}versions/`);
    assert.equal(versions.body.count, 1);
    assert.deepEqual(versions.body.results[0].content_summary, { added: {}, removed: {}, present: {} });
  });

  for (const [what, body, expected] of [
    ['no name', {}, { name: ['This field is required.'] }],
    ['an unknown field', { name: 'x', foo: 'bar' }, { foo: ['Unexpected field'] }],
    [
      'a number that is too small',
      { name: 'x', retain_repo_versions: 0 },
      { retain_repo_versions: ['Ensure this value is greater than or equal to 1.'] },
    ],
    [
      'a number that is none',
      { name: 'x', retain_repo_versions: 'x' },
      { retain_repo_versions: ['A valid integer is required.'] },
    ],
    ['a list', [], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
    ['a blank name', { name: ' ' }, { name: ['This field may not be blank.'] }],
    ['null for a name', { name: null }, { name: ['This field may not be null.'] }],
    [
      'a remote that is not there',
      { name: 'x', remote: `${REMOTES}00000000-0000-0000-0000-000000000000/` },
      { remote: ['Invalid hyperlink - Object does not exist.'] },
    ],
    [
      'labels with parentheses',
      { name: 'x', pulp_labels: { k: '(v)' } },
      { pulp_labels: ["Key 'k' contains value with parenthesis."] },
    ],
  ] as const) {
    it(`refuse ${what}`, async () => {
      const answer = await server.request('POST', REPOSITORIES, body);
      assert.equal(answer.status, 400);
      assert.deepEqual(answer.body, expected);
    });
  }

  it('have unique names', async () => {
    const name = unique('repo');
    await create(REPOSITORIES, { name });
    const again = await server.request('POST', REPOSITORIES, { name });
    assert.equal(again.status, 400);
    assert.deepEqual(again.body, { name: ['This field must be unique.'] });
  });

  it('change by a task, and answer at once when nothing changes', async () => {
    const { pulp_href: href, name } = await create(REPOSITORIES, { name: unique('repo') });
    const unchanged = await server.request('PATCH', href, { description: null });
    assert.equal(unchanged.status, 200);
    assert.equal(unchanged.body.pulp_href, href);
    const changed = await server.request('PATCH', href, { description: 'hello' });
    assert.equal(changed.status, 202);
    assert.deepEqual(Object.keys(changed.body), ['task']);
    const task = await server.finished(changed);
    assert.equal(task.state, 'completed');
    assert.equal(task.name, 'pulpcore.app.tasks.base.ageneral_update');
    assert.equal(task.result.description, 'hello');
    // PUT leaves what it does not name
    const put = await server.request('PUT', href, { name });
    assert.equal(put.status, 200);
    assert.equal(put.body.description, 'hello');
    assert.deepEqual((await server.request('PUT', href, { description: 'x' })).body, { name: ['This field is required.'] });
  });

  it('are deleted by a task, and gone', async () => {
    const { pulp_href: href, prn } = await create(REPOSITORIES, { name: unique('repo') });
    const task = await server.finished(await server.request('DELETE', href));
    assert.equal(task.state, 'completed');
    assert.equal(task.name, 'pulpcore.app.tasks.base.ageneral_delete');
    assert.ok(task.reserved_resources_record.includes(prn));
    const gone = await server.request('GET', href);
    assert.equal(gone.status, 404);
    assert.deepEqual(gone.body, { detail: 'No ContainerRepository matches the given query.' });
  });

  it('take labels', async () => {
    const { pulp_href: href } = await create(REPOSITORIES, { name: unique('repo') });
    const set = await server.request('POST', `${href}set_label/`, { key: 'env', value: 'prod' });
    assert.deepEqual([set.status, set.body], [201, { key: 'env', value: 'prod' }]);
    for (const [selector, count] of [
      ['env', 1],
      ['!env', 0],
      ['env=prod', 1],
      ['env=dev', 0],
      ['env!=dev', 1],
      ['env~PRO', 1],
    ] as const) {
      const found = await server.request(
        'GET',
        `${REPOSITORIES}?pulp_label_select=${encodeURIComponent(selector)}&pulp_href__in=${href}`,
      );
      assert.equal(found.body.count, count, selector);
    }
    const unset = await server.request('POST', `${href}unset_label/`, { key: 'env' });
    assert.deepEqual([unset.status, unset.body], [201, { key: 'env', value: 'prod' }]);
    const absent = await server.request('POST', `${href}unset_label/`, { key: 'env' });
    assert.deepEqual([absent.status, absent.body], [400, { key: ["Label 'env' is not set on the object."] }]);
  });

  it('need a remote to sync from', async () => {
    const { pulp_href: href } = await create(REPOSITORIES, { name: unique('repo') });
    const none = await server.request('POST', `${href}sync/`, {});
    assert.deepEqual(
      [none.status, none.body],
      [400, { remote: ['This field is required since a remote is not set on the repository.'] }],
    );
    const wrong = await server.request('POST', `${href}sync/`, {
      remote: `${API}remotes/ostree/ostree/00000000-0000-0000-0000-000000000000/`,
    });
    assert.deepEqual([wrong.status, wrong.body], [400, { remote: ['Invalid hyperlink - Object does not exist.'] }]);
  });
});

describe('container remotes', () => {
  it('keep secrets to themselves', async () => {
    const remote = await create(REMOTES, {
      name: unique('remote'),
      url: 'http://127.0.0.1:9',
      upstream_name: 'a/b',
      username: 'u',
      password: 's3cr3t-word',
      client_key: 'k3y',
    });
    assert.ok(!JSON.stringify(remote).includes('s3cr3t-word'));
    assert.deepEqual(remote.hidden_fields, [
      { name: 'client_key', is_set: true },
      { name: 'proxy_username', is_set: false },
      { name: 'proxy_password', is_set: false },
      { name: 'username', is_set: true },
      { name: 'password', is_set: true },
      { name: 'include_tags', is_set: false },
      { name: 'exclude_tags', is_set: false },
    ]);
    assert.equal(remote.policy, 'immediate');
    assert.equal(remote.tls_validation, true);
    const task = await server.finished(await server.request('PATCH', remote.pulp_href, { password: null }));
    assert.equal(task.state, 'completed');
    assert.ok(!JSON.stringify(task).includes('s3cr3t-word'));
    const { body } = await server.request('GET', remote.pulp_href);
    assert.deepEqual(
      body.hidden_fields.filter((field: { is_set: boolean }) => field.is_set).map((field: { name: string }) => field.name),
      ['client_key', 'username'],
    );
  });

  it('name what is missing', async () => {
    const answer = await server.request('POST', REMOTES, {});
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, {
      name: ['This field is required.'],
      url: ['This field is required.'],
      upstream_name: ['This field is required.'],
    });
  });

  for (const [what, fields, expected] of [
    ['an unknown policy', { policy: 'never' }, { policy: ['"never" is not a valid choice.'] }],
    [
      'credentials in the URL',
      { url: 'http://a:b@h/' },
      { url: ['The remote url contains username or password. Please use remote username or password instead.'] },
    ],
    ['a certificate that is none', { ca_cert: 'junk' }, { ca_cert: ['No ca_cert specified in string junk'] }],
    [
      'a concurrency of nothing',
      { download_concurrency: 0 },
      { download_concurrency: ['Ensure this value is greater than or equal to 1.'] },
    ],
    ['text for a list', { includes: 'a' }, { includes: ['Expected a list of items but got type "str".'] }],
    ['text for a boolean', { tls_validation: 'perhaps' }, { tls_validation: ['Must be a valid boolean.'] }],
    ['a proxy with credentials', { proxy_url: 'http://u:p@proxy:1' }, { proxy_url: ['proxy_url must not contain credentials'] }],
  ] as const) {
    it(`refuse ${what}`, async () => {
      const answer = await server.request('POST', REMOTES, {
        name: unique('remote'),
        url: 'http://127.0.0.1:9',
        upstream_name: 'a/b',
        ...fields,
      });
      assert.equal(answer.status, 400);
      assert.deepEqual(answer.body, expected);
    });
  }

  it('are found by name in every way', async () => {
    const name = unique('Remote.x');
    await create(REMOTES, { name, url: 'http://127.0.0.1:9', upstream_name: 'a/b' });
    for (const query of [
      `name=${name}`,
      `name__iexact=${name.toUpperCase()}`,
      `name__in=zzz,${name}`,
      `name__contains=${name.slice(2)}`,
      `name__icontains=${name.slice(2).toUpperCase()}`,
      `name__startswith=${name.slice(0, -1)}`,
      `name__istartswith=${name.slice(0, -1).toUpperCase()}`,
      `name__regex=%5E${name.replace('.', '%5C.')}%24`,
      `q=name%3D%22${name}%22`,
      `q=NOT%20name%3Dzzz%20AND%20name%3D%22${name}%22`,
    ]) {
      const { body } = await server.request('GET', `${REMOTES}?${query}&fields=name`);
      assert.deepEqual(body.results, [{ name }], query);
    }
  });
});

describe('container distributions', () => {
  it('are created by a task that answers the distribution', async () => {
    const path = unique('d');
    const repository = await create(REPOSITORIES, { name: unique('repo') });
    const task = await server.finished(
      await server.request('POST', DISTRIBUTIONS, { name: path, base_path: path, repository: repository.pulp_href }),
    );
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal(task.name, 'pulpcore.app.tasks.base.general_create');
    assert.equal(task.created_resources.length, 1);
    const { body } = await server.request('GET', task.created_resources[0]);
    assert.equal(body.base_path, path);
    assert.equal(body.repository, repository.pulp_href);
    assert.equal(body.repository_version, null);
    assert.equal(body.private, false);
    assert.ok(body.registry_path.endsWith(`/${path}`));
    assert.match(body.content_guard, /\/contentguards\/core\/content_redirect\//);
    assert.match(body.namespace, /\/pulp_container\/namespaces\//);
    const inside = await server.request('POST', DISTRIBUTIONS, { name: unique('d'), base_path: `${path}/inside` });
    assert.deepEqual(
      [inside.status, inside.body],
      [400, { base_path: { base_path: 'Overlaps with an existing distribution.' } }],
    );
    const both = await server.request('POST', DISTRIBUTIONS, {
      name: unique('d'),
      base_path: unique('d'),
      repository: repository.pulp_href,
      repository_version: `${repository.pulp_href}versions/0/`,
    });
    assert.equal(both.status, 400);
    // a version that is served stays
    const pinned = await server.finished(
      await server.request('POST', DISTRIBUTIONS, {
        name: unique('d'),
        base_path: unique('d'),
        repository_version: `${repository.pulp_href}versions/0/`,
      }),
    );
    assert.equal(pinned.state, 'completed');
    const refused = await server.request('DELETE', `${repository.pulp_href}versions/0/`);
    assert.equal(refused.status, 400);
    assert.match(refused.body[0], /currently being used to distribute content/);
  });

  for (const [path, message] of [
    ['/lead', 'Relative path is not in canonical form. /lead'],
    ['UPPER', 'The provided registry path contains forbidden characters.'],
    ['a'.repeat(256), 'The entered registry path cannot be longer than 255 characters.'],
  ] as const) {
    it(`refuse the path ${path.slice(0, 10)}`, async () => {
      const answer = await server.request('POST', DISTRIBUTIONS, { name: unique('d'), base_path: path });
      assert.deepEqual([answer.status, answer.body], [400, { base_path: [message] }]);
    });
  }
});

describe('lists', () => {
  it('are paged by absolute links', async () => {
    const prefix = unique('page');
    for (const number of [1, 2, 3, 4]) await create(REPOSITORIES, { name: `${prefix}-${number}` });
    const { body } = await server.request('GET', `${REPOSITORIES}?limit=2&offset=1&name__startswith=${prefix}&fields=name`);
    assert.equal(body.count, 4);
    assert.deepEqual(
      body.results.map((row: { name: string }) => row.name),
      [`${prefix}-3`, `${prefix}-2`],
    );
    assert.equal(body.next, `${server.url}${REPOSITORIES}?fields=name&limit=2&name__startswith=${prefix}&offset=3`);
    assert.equal(body.previous, `${server.url}${REPOSITORIES}?fields=name&limit=2&name__startswith=${prefix}`);
    const beyond = await server.request('GET', `${REPOSITORIES}?offset=100&name__startswith=${prefix}`);
    assert.deepEqual([beyond.body.count, beyond.body.results, beyond.body.next], [4, [], null]);
    const ordered = await server.request('GET', `${REPOSITORIES}?ordering=name&name__startswith=${prefix}&fields=name`);
    assert.deepEqual(
      ordered.body.results.map((row: { name: string }) => row.name.at(-1)),
      ['1', '2', '3', '4'],
    );
  });

  for (const [query, body] of [
    ['bogus=1', { errors: ["Invalid Filter: 'bogus'"] }],
    ['name__ne=1', { errors: ["Invalid Filter: 'name__ne'"] }],
    ['ordering=bogus', { ordering: ['Select a valid choice. bogus is not one of the available choices.'] }],
    ['q=name%3D', { q: ['Syntax error in expression.'] }],
    ['q=bogus%3Dx', { q: ["Filter 'bogus' does not exist."] }],
    [
      'q=name%3Da%20OR%20name%3Da%20OR%20name%3Da%20OR%20name%3Da%20OR%20name%3Da%20OR%20name%3Da%20OR%20name%3Da%20OR%20name%3Da',
      { q: ['Filter expression exceeds allowed complexity.'] },
    ],
    ['pulp_label_select=%3D', ["Invalid search term: '='."]],
    ['pulp_label_select=!env%3Dx', ["Cannot use an operator with '!env'."]],
  ] as const) {
    it(`refuse ${decodeURIComponent(query).slice(0, 40)}`, async () => {
      const answer = await server.request('GET', `${REPOSITORIES}?${query}`);
      assert.equal(answer.status, 400);
      assert.deepEqual(answer.body, body);
    });
  }

  it('refuse what is no reference in content filters', async () => {
    const tags = `${API}content/container/tags/`;
    assert.deepEqual((await server.request('GET', `${tags}?repository_version=garbage`)).body, ['URI not valid: garbage']);
    assert.deepEqual((await server.request('GET', `${tags}?repository_version=`)).body, [
      'No value supplied for repository version filter',
    ]);
  });

  it('take odd paging values as the default', async () => {
    for (const query of ['limit=0', 'limit=-1', 'limit=x', 'offset=-1', 'offset=x']) {
      assert.equal((await server.request('GET', `${REPOSITORIES}?${query}`)).status, 200, query);
    }
  });
});
