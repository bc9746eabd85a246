import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { simpleImage } from '../support/images.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { openServer, type Server, unique } from './server.ts';
import { API, Images, REPOSITORIES } from './synced-images.ts';

const PASSWORD = 'Kiesel-7-Wolke';
const NOBODYS = '00000000-0000-0000-0000-000000000000';
const ABSENT_TAG = `${API}content/container/tags/${NOBODYS}/`;
const BAD_TAG =
  'The provided tag is not valid. A tag may contain lowercase and uppercase ASCII alphabetic characters, digits, underscores, periods, and dashes. A tag must not start with a period or a dash.';

const a = simpleImage(unique('refused a'));

let server: Server;
let upstream: Upstream;
let images: Images;
let source: Awaited<ReturnType<Images['synced']>>;
before(async () => {
  [server, upstream] = [await openServer(), await startUpstream()];
  images = new Images(server, upstream);
  source = await images.synced({ a });
});
after(async () => {
  await server?.stop();
  await upstream?.stop();
});

describe('content operations on images refuse', () => {
  let repository: string;
  let tag: string;
  let name: string;
  before(async () => {
    repository = await images.newRepository();
    ({ name } = (await server.request('GET', repository)).body);
    tag = source.tags.a as string;
  });
  after(async () => {
    assert.equal((await images.latest(repository)).number, 0, 'nothing of all that has made a version');
  });

  const latest = () => `'<Repository: ${name}; Version: 0>'`;
  const rules: readonly [what: string, action: string, body: () => unknown, answer: () => unknown][] = [
    [
      'a unit that is not there',
      'add',
      () => ({ content_units: [ABSENT_TAG] }),
      () => [`Could not find the following content units: ['${ABSENT_TAG}']`],
    ],
    [
      'the same, to remove',
      'remove',
      () => ({ content_units: [tag, ABSENT_TAG] }),
      () => [`Could not find the following content units: ['${ABSENT_TAG}']`],
    ],
    [
      'the same, by its PRN',
      'add',
      () => ({ content_units: [`prn:container.tag:${NOBODYS}`] }),
      () => [`Could not find the following content units: ['prn:container.tag:${NOBODYS}']`],
    ],
    [
      'what is no content',
      'add',
      () => ({ content_units: [repository] }),
      () => [`Could not find the following content units: ['${repository}']`],
    ],
    [
      'a version',
      'add',
      () => ({ content_units: [`${repository}versions/0/`] }),
      () => [`URI not valid: ${repository}versions/0/`],
    ],
    ['* to add', 'add', () => ({ content_units: ['*'] }), () => ['URI not valid: *']],
    [
      '* and something else',
      'remove',
      () => ({ content_units: ['*', tag] }),
      () => ({ non_field_errors: [`'*' should be the only item present in the ['*', '${tag}']`] }),
    ],
    [
      'no list',
      'add',
      () => ({ content_units: 'x' }),
      () => ({ content_units: ['Expected a list of items but got type "str".'] }),
    ],
    ['null', 'remove', () => ({ content_units: null }), () => ({ content_units: ['This field may not be null.'] })],
    ['an unknown field', 'add', () => ({ units: [tag] }), () => ({ units: ['Unexpected field'] })],
    [
      'two sources',
      'copy_tags',
      () => ({ source_repository: repository, source_repository_version: `${repository}versions/0/` }),
      () => ({ non_field_errors: ["Either the 'repository' or 'repository_version' need to be specified but not both."] }),
    ],
    [
      'no source',
      'copy_tags',
      () => ({}),
      () => ({ non_field_errors: ["Either the 'repository' or 'repository_version' needs to be specified"] }),
    ],
    [
      'no source of manifests',
      'copy_manifests',
      () => ({}),
      () => ({ non_field_errors: ["Either the 'repository' or 'repository_version' needs to be specified"] }),
    ],
    [
      'a source that is not there',
      'copy_tags',
      () => ({ source_repository: `${REPOSITORIES}${NOBODYS}/` }),
      () => ({ source_repository: ['Invalid hyperlink - Object does not exist.'] }),
    ],
    [
      'a source that is no path',
      'copy_tags',
      () => ({ source_repository: 'x' }),
      () => ({ source_repository: ['Invalid hyperlink - No URL match.'] }),
    ],
    [
      'null as a source',
      'copy_tags',
      () => ({ source_repository: null }),
      () => ({ source_repository: ['This field may not be null.'] }),
    ],
    [
      'a version that is not there',
      'copy_tags',
      () => ({ source_repository_version: `${repository}versions/9/` }),
      () => ({ source_repository_version: ['Invalid hyperlink - Object does not exist.'] }),
    ],
    [
      'a repository as a version',
      'copy_manifests',
      () => ({ source_repository_version: repository }),
      () => ({ source_repository_version: ['Invalid hyperlink - Incorrect URL match.'] }),
    ],
    [
      'null as names',
      'copy_tags',
      () => ({ source_repository: repository, names: null }),
      () => ({ names: ['This field may not be null.'] }),
    ],
    [
      'a media type that manifests have not',
      'copy_manifests',
      () => ({ source_repository: repository, media_types: ['text/plain'] }),
      () => ({ media_types: ['"text/plain" is not a valid choice.'] }),
    ],
    [
      'a tag of a manifest that is elsewhere',
      'tag',
      () => ({ tag: 'x', digest: a.digest }),
      () => ({
        non_field_errors: [
          `A manifest with the digest '${a.digest}' does not exist in the latest repository version ${latest()}`,
        ],
      }),
    ],
    ['a tag that is none', 'tag', () => ({ tag: '.bad', digest: a.digest }), () => ({ tag: [BAD_TAG] })],
    ['a tag of nothing', 'tag', () => ({}), () => ({ tag: ['This field is required.'], digest: ['This field is required.'] })],
    ['to untag what is no tag', 'untag', () => ({ tag: '-bad' }), () => ({ tag: [BAD_TAG] })],
    [
      'to untag what is not there',
      'untag',
      () => ({ tag: 'x' }),
      () => ({ non_field_errors: [`The tag 'x' does not exist in the latest repository version ${latest()}`] }),
    ],
  ];
  for (const [what, action, body, answer] of rules) {
    it(`${action}: ${what}`, async () => {
      const { status, body: said } = await server.request('POST', `${repository}${action}/`, body());
      assert.deepEqual([status, said], [400, answer()]);
    });
  }

  for (const action of ['modify', 'remove_image', 'remove_signatures', 'migrate']) {
    it(`${action}, which such repositories do not have`, async () => {
      assert.equal((await server.request('POST', `${repository}${action}/`, {})).status, 404);
    });
  }
});

describe('content operations on images are for', () => {
  /** Action -> its answer to an empty body, where the caller may take it. */
  const CHANGES = { add: 202, remove: 202, copy_tags: 400, copy_manifests: 400, tag: 400, untag: 400 } as const;
  const repositoryRole = (end: string) => `container.containerrepository_${end}`;
  const refused = Object.values(CHANGES).map(() => 403);
  const allowed = Object.values(CHANGES);

  let repository: string;
  let distribution: string;
  let namespace: string;
  before(async () => {
    repository = await images.newRepository();
    const name = unique('rights');
    const made = await server.request('POST', `${API}distributions/container/container/`, {
      name,
      base_path: `${name}/app`,
      repository,
      private: true,
    });
    [distribution] = (await server.finished(made)).created_resources;
    ({ namespace } = (await server.request('GET', distribution)).body);
  });

  async function userWith(role?: string, on?: string): Promise<Server['request']> {
    const username = unique('user');
    const made = await server.request('POST', `${API}users/`, { username, password: PASSWORD });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    if (role) {
      const given = await server.request('POST', `${on}add_role/`, { role, users: [username], groups: [] });
      assert.equal(given.status, 201, JSON.stringify(given.body));
    }
    const authorization = `Basic ${Buffer.from(`${username}:${PASSWORD}`).toString('base64')}`;
    return (method, path, body) => server.request(method, path, body, { authorization });
  }
  const changes = async (request: Server['request']): Promise<number[]> => {
    const answers: number[] = [];
    for (const action of Object.keys(CHANGES)) answers.push((await request('POST', `${repository}${action}/`, {})).status);
    return answers;
  };

  for (const [who, role, on, expected] of [
    ['nobody who has no role', undefined, () => '', Object.values(CHANGES).map(() => 404)],
    ['no viewer', repositoryRole('viewer'), () => repository, refused],
    ['content managers', repositoryRole('content_manager'), () => repository, allowed],
    ['owners', repositoryRole('owner'), () => repository, allowed],
    ['no consumer of a namespace', 'container.containernamespace_consumer', () => namespace, refused],
    ['collaborators in a namespace', 'container.containernamespace_collaborator', () => namespace, allowed],
    ['no owner of a distribution alone', 'container.containerdistribution_owner', () => distribution, refused],
  ] as const) {
    it(who, async () => assert.deepEqual(await changes(await userWith(role, on())), expected));
  }

  it('versions: who may delete them, and who may repair them', async () => {
    const answers = async (end?: string): Promise<number[]> => {
      const request = await userWith(end && repositoryRole(end), repository);
      const version = `${repository}versions/0/`;
      return [(await request('POST', `${version}repair/`, {})).status, (await request('DELETE', version)).status];
    };
    // The real Pulp says 403 of versions, though the repository is 404.
    assert.ok((await answers()).every((status) => status === 403 || status === 404));
    assert.deepEqual(await answers('viewer'), [403, 403]);
    // Who may delete it is told that it is served.
    assert.deepEqual(await answers('content_manager'), [202, 400]);
    assert.deepEqual(await answers('owner'), [202, 400]);
  });

  it('namespaces: who may delete them', async () => {
    const name = unique('mine');
    const { pulp_href: href } = (await server.request('POST', `${API}pulp_container/namespaces/`, { name })).body;
    const [stranger, collaborator, owner] = [
      await userWith(),
      await userWith('container.containernamespace_collaborator', href),
      await userWith('container.containernamespace_owner', href),
    ];
    assert.deepEqual([(await stranger('DELETE', href)).status, (await collaborator('DELETE', href)).status], [404, 403]);
    for (const method of ['PUT', 'PATCH']) assert.equal((await server.request(method, href, { name: 'x' })).status, 405, method);
    const task = await images.ended(await owner('DELETE', href));
    assert.deepEqual(
      [task.name, task.state, task.result['container.ContainerNamespace']],
      ['pulpcore.app.tasks.base.general_multi_delete', 'completed', 1],
    );
    const gone = await owner('DELETE', href);
    assert.deepEqual([gone.status, gone.body], [404, { detail: 'No ContainerNamespace matches the given query.' }]);
  });
});
