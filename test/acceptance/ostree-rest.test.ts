import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Body, openServer, type Server, unique, upload } from './server.ts';

const API = '/pulp/api/v3/';
const REMOTES = `${API}remotes/ostree/ostree/`;
const REPOSITORIES = `${API}repositories/ostree/ostree/`;
const DISTRIBUTIONS = `${API}distributions/ostree/ostree/`;
const CONTENT = `${API}content/ostree/`;
const NOBODY = '0198a1fb-0000-7000-8000-000000000000';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const create = async (path: string, body: Record<string, unknown>): Promise<Body> => {
  const answer = await server.request('POST', path, body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
};

type Refusals = readonly (readonly [what: string, body: unknown, expected: unknown])[];

/** Each body is refused with 400 in these words. */
function refuses(path: () => string, refusals: Refusals): void {
  for (const [what, body, expected] of refusals) {
    it(`refuse ${what}`, async () => {
      const answer = await server.request('POST', path(), body);
      assert.deepEqual([answer.status, answer.body], [400, expected]);
    });
  }
}

describe('OSTree remotes', () => {
  it('are created with the recorded defaults', async () => {
    const name = unique('remote');
    const { pulp_href, prn, pulp_created, pulp_last_updated, ...rest } = await create(REMOTES, {
      name,
      url: 'http://127.0.0.1:9/r/',
    });
    assert.ok(pulp_href.startsWith(REMOTES));
    assert.match(prn, /^prn:ostree\.ostreeremote:/);
    assert.ok(pulp_created <= pulp_last_updated);
    const nulls = [
      'ca_cert',
      'client_cert',
      'proxy_url',
      'max_retries',
      'total_timeout',
      'connect_timeout',
      'sock_connect_timeout',
    ];
    const more = ['sock_read_timeout', 'headers', 'download_concurrency', 'rate_limit', 'include_refs', 'exclude_refs'];
    assert.deepEqual(rest, {
      ...Object.fromEntries([...nulls, ...more].map((field) => [field, null])),
      name,
      url: 'http://127.0.0.1:9/r/',
      pulp_labels: {},
      policy: 'immediate',
      hidden_fields: ['client_key', 'proxy_username', 'proxy_password', 'username', 'password'].map((field) => ({
        name: field,
        is_set: false,
      })),
      tls_validation: true,
      depth: 0,
    });
  });

  const url = 'http://x/';
  refuses(
    () => REMOTES,
    [
      [
        'a policy that they do not have',
        { name: 'e', url, policy: 'streamed' },
        { policy: ['"streamed" is not a valid choice.'] },
      ],
      ['a negative depth', { name: 'e', url, depth: -1 }, { depth: ['Ensure this value is greater than or equal to 0.'] }],
      ['a depth that is no number', { name: 'e', url, depth: 'all' }, { depth: ['A valid integer is required.'] }],
      [
        'one ref where a list belongs',
        { name: 'e', url, include_refs: 'a' },
        { include_refs: ['Expected a list of items but got type "str".'] },
      ],
      [
        'refs that are none',
        { name: 'e', url, include_refs: [null, ''] },
        { include_refs: { 0: ['This field may not be null.'], 1: ['This field may not be blank.'] } },
      ],
      [
        'a ref that is too long',
        { name: 'e', url, exclude_refs: ['a'.repeat(256)] },
        { exclude_refs: { 0: ['Ensure this field has no more than 255 characters.'] } },
      ],
      ['no URL', { name: 'e' }, { url: ['This field is required.'] }],
    ],
  );

  it('have unique names', async () => {
    const name = unique('remote');
    await create(REMOTES, { name, url });
    const again = await server.request('POST', REMOTES, { name, url });
    assert.deepEqual([again.status, again.body], [400, { name: ['This field must be unique.'] }]);
  });

  it('change by a task, are labelled, and go', async () => {
    const { pulp_href: href, name } = await create(REMOTES, { name: unique('remote'), url });
    const changed = await server.finished(await server.request('PATCH', href, { include_refs: ['raw*'], depth: 3 }));
    assert.deepEqual([changed.state, changed.name], ['completed', 'pulpcore.app.tasks.base.ageneral_update']);
    assert.deepEqual([changed.result.include_refs, changed.result.depth], [['raw*'], 3]);
    const replaced = await server.finished(await server.request('PUT', href, { name, url: 'http://y/', include_refs: null }));
    assert.deepEqual([replaced.result.url, replaced.result.include_refs], ['http://y/', null]);
    const set = await server.request('POST', `${href}set_label/`, { key: 'team', value: 'edge' });
    assert.deepEqual([set.status, set.body], [201, { key: 'team', value: 'edge' }]);
    const labelled = await server.request('GET', `${REMOTES}?pulp_label_select=team%3Dedge&name=${name}&fields=name,pulp_labels`);
    assert.deepEqual(labelled.body.results, [{ name, pulp_labels: { team: 'edge' } }]);
    assert.equal((await server.request('POST', `${href}unset_label/`, { key: 'team' })).status, 201);
    const gone = await server.finished(await server.request('DELETE', href));
    assert.equal(gone.state, 'completed');
    const missing = await server.request('GET', href);
    assert.deepEqual([missing.status, missing.body], [404, { detail: 'No OstreeRemote matches the given query.' }]);
  });
});

describe('OSTree repositories', () => {
  let repository: Body;
  before(async () => {
    repository = await create(REPOSITORIES, { name: unique('repo') });
  });

  it('are created with version 0 and the recorded defaults', async () => {
    const { pulp_href: href, prn, pulp_created: _created, pulp_last_updated: _updated, ...rest } = repository;
    assert.match(prn, /^prn:ostree\.ostreerepository:/);
    assert.deepEqual(rest, {
      versions_href: `${href}versions/`,
      pulp_labels: {},
      latest_version_href: `${href}versions/0/`,
      name: repository.name,
      description: null,
      retain_repo_versions: null,
      retain_checkpoints: null,
      remote: null,
      compute_delta: true,
    });
    const versions = await server.request('GET', `${href}versions/`);
    assert.equal(versions.body.count, 1);
    const [{ content_summary: summary }] = versions.body.results;
    assert.deepEqual(summary, { added: {}, removed: {}, present: {} });
  });

  refuses(
    () => REPOSITORIES,
    [['a compute_delta that is none', { name: 'e', compute_delta: 'maybe' }, { compute_delta: ['Must be a valid boolean.'] }]],
  );

  it('take remotes of their own kind only', async () => {
    const container = await create(`${API}remotes/container/container/`, {
      name: unique('r'),
      url: 'http://x/',
      upstream_name: 'x',
    });
    const answer = await server.request('POST', REPOSITORIES, { name: unique('repo'), remote: container.pulp_href });
    assert.deepEqual(
      [answer.status, answer.body],
      [400, { remote: [`Type for Remote '${container.name}' does not match Repository.`] }],
    );
  });

  it('keep their first version', async () => {
    const task = await server.finished(await server.request('DELETE', `${repository.pulp_href}versions/0/`));
    assert.equal(task.state, 'failed');
    assert.match(task.error.description, /^\[PLP0011\]/);
  });

  describe('when they are synced', () => {
    refuses(
      () => `${repository.pulp_href}sync/`,
      [
        ['no remote', {}, { remote: ['This field is required since a remote is not set on the repository.'] }],
        ['an unknown remote', { remote: `${REMOTES}${NOBODY}/` }, { remote: ['Invalid hyperlink - Object does not exist.'] }],
        [
          'a remote of another kind',
          { remote: `${API}remotes/container/container/${NOBODY}/` },
          { remote: ['Invalid hyperlink - Object does not exist.'] },
        ],
        ['a mirror that is none', { mirror: 'maybe' }, { mirror: ['Must be a valid boolean.'] }],
      ],
    );
  });

  describe('when they are modified', () => {
    const ref = `${CONTENT}refs/${NOBODY}/`;
    refuses(
      () => `${repository.pulp_href}modify/`,
      [
        [
          'unknown units to add',
          { add_content_units: [ref] },
          { add_content_units: [`Could not find the following content units: ['${ref}']`] },
        ],
        [
          'unknown units to remove, by PRN',
          { remove_content_units: [`prn:ostree.ostreeref:${NOBODY}`] },
          { remove_content_units: [`Could not find the following content units: ['prn:ostree.ostreeref:${NOBODY}']`] },
        ],
        ['what names nothing', { add_content_units: ['garbage', ref] }, { add_content_units: ['URI not valid: garbage'] }],
        ['all of nothing in particular', { add_content_units: ['*'] }, { add_content_units: ['URI not valid: *'] }],
        [
          'all and one more',
          { remove_content_units: ['*', ref] },
          { remove_content_units: ["Cannot supply content units and '*'."] },
        ],
        [
          'a unit where a list belongs',
          { add_content_units: 'x' },
          { add_content_units: ['Expected a list of items but got type "str".'] },
        ],
        ['a blank unit', { add_content_units: [''] }, { add_content_units: { 0: ['This field may not be blank.'] } }],
        [
          'an unknown base version',
          { base_version: `${REPOSITORIES}${NOBODY}/versions/1/` },
          { base_version: ['Invalid hyperlink - Object does not exist.'] },
        ],
        [
          'a repository for a base version',
          { base_version: `${REPOSITORIES}${NOBODY}/` },
          { base_version: ['Invalid hyperlink - Incorrect URL match.'] },
        ],
        ['no base version', { base_version: 'garbage' }, { base_version: ['Invalid hyperlink - No URL match.'] }],
        ['an unknown field', { foo: 1 }, { foo: ['Unexpected field'] }],
        ['an overwrite that is none', { overwrite: 'maybe' }, { overwrite: ['Must be a valid boolean.'] }],
      ],
    );

    it('refuse what is no content', async () => {
      const href = repository.pulp_href;
      const answer = await server.request('POST', `${href}modify/`, { add_content_units: [href] });
      assert.deepEqual(
        [answer.status, answer.body],
        [400, { add_content_units: [`Could not find the following content units: ['${href}']`] }],
      );
    });

    it('make no version where nothing changes', async () => {
      const task = await server.finished(await server.request('POST', `${repository.pulp_href}modify/`, {}));
      assert.deepEqual([task.state, task.created_resources, task.result], ['completed', [], null]);
      assert.equal(task.name, 'pulp_ostree.app.tasks.modifying.modify_content');
      assert.ok(task.reserved_resources_record.includes(repository.prn));
    });
  });

  describe('when something is imported', () => {
    const artifact = `${API}artifacts/${NOBODY}/`;
    refuses(
      () => `${repository.pulp_href}import_all/`,
      [
        ['nothing', {}, { artifact: ['This field is required.'], repository_name: ['This field is required.'] }],
        ['an unknown artifact', { artifact, repository_name: 'r' }, { artifact: ['Invalid hyperlink - Object does not exist.'] }],
      ],
    );
    refuses(
      () => `${repository.pulp_href}import_commits/`,
      [
        [
          'nothing at all',
          {},
          {
            artifact: ['This field is required.'],
            repository_name: ['This field is required.'],
            ref: ['This field is required.'],
          },
        ],
      ],
    );

    it('refuse an artifact that is no tar', async () => {
      const { pulp_href: href } = (await upload(server, unique('no tar'))).body;
      const answer = await server.request('POST', `${repository.pulp_href}import_all/`, { artifact: href, repository_name: 'r' });
      assert.deepEqual([answer.status, answer.body], [400, { non_field_errors: ['The artifact is not a tar archive file'] }]);
    });
  });
});

describe('OSTree distributions', () => {
  it('are created by a task, and say where they serve', async () => {
    const repository = await create(REPOSITORIES, { name: unique('repo') });
    const [name, path] = [unique('d'), unique('nested/path')];
    const accepted = await server.request('POST', DISTRIBUTIONS, { name, base_path: path, repository: repository.pulp_href });
    assert.equal(accepted.status, 202);
    const task = await server.finished(accepted);
    assert.deepEqual([task.state, task.name], ['completed', 'pulpcore.app.tasks.base.general_create']);
    const { body } = await server.request('GET', task.created_resources[0]);
    assert.deepEqual(task.result.pulp_href, body.pulp_href);
    const { pulp_href: _href, prn, pulp_created: _created, pulp_last_updated: _updated, base_url: url, ...rest } = body;
    assert.match(prn, /^prn:ostree\.ostreedistribution:/);
    assert.match(url, new RegExp(`^https?://[^/]+/pulp/content/${path}/$`));
    assert.deepEqual(rest, {
      base_path: path,
      content_guard: null,
      content_guard_prn: null,
      no_content_change_since: null,
      hidden: false,
      pulp_labels: {},
      name,
      repository: repository.pulp_href,
      repository_version: null,
    });
    const again = await server.request('POST', DISTRIBUTIONS, { name: unique('d'), base_path: path });
    assert.deepEqual([again.status, again.body], [400, { base_path: ['This field must be unique.'] }]);
    const both = await server.request('POST', DISTRIBUTIONS, {
      name: unique('d'),
      base_path: unique('d'),
      repository: repository.pulp_href,
      repository_version: `${repository.pulp_href}versions/0/`,
    });
    assert.deepEqual(
      [both.status, both.body],
      [
        400,
        {
          non_field_errors: ["Only one of the attributes 'repository' and 'repository_version' may be used simultaneously."],
        },
      ],
    );
    const pinned = await server.finished(
      await server.request('PATCH', body.pulp_href, {
        repository: null,
        repository_version: `${repository.pulp_href}versions/0/`,
      }),
    );
    assert.equal(pinned.result.repository_version, `${repository.pulp_href}versions/0/`);
    assert.equal((await server.finished(await server.request('DELETE', body.pulp_href))).state, 'completed');
  });

  for (const path of ['/lead', 'trail/', 'a//b', 'a b', 'a/../b', './a', 'a?b', 'http://a/b']) {
    it(`refuse the path ${path}`, async () => {
      const answer = await server.request('POST', DISTRIBUTIONS, { name: unique('d'), base_path: path });
      assert.deepEqual([answer.status, answer.body], [400, { base_path: [`Relative path is not in canonical form. ${path}`] }]);
    });
  }
});
