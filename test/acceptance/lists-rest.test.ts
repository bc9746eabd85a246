import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Body, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const REMOTES = `${API}remotes/container/container/`;
const DISTRIBUTIONS = `${API}distributions/container/container/`;
const NOBODY = '01a1fd84-7b62-7e6a-a711-7702ef310dc9';
const INVALID_FILTER = (name: string) => ({ errors: [`Invalid Filter: '${name}'`] });
const NO_CHOICE = (word: string) => `Select a valid choice. ${word} is not one of the available choices.`;

let server: Server;
/** Names of what these tests make begin with this, so that lists can be narrowed to it on a server that others use too. */
const prefix = unique('lists');
const names = ['a', 'b', 'c', 'd'].map((letter) => `${prefix}-${letter}`);
const hrefs: string[] = [];
let remote: Body;
let distribution: string;

before(async () => {
  server = await openServer();
  remote = (await server.request('POST', REMOTES, { name: prefix, url: 'http://127.0.0.1:9', upstream_name: 'x' })).body;
  server.made.push(remote.pulp_href);
  const labels = [{ env: 'prod', owner: 'Alice, Bob' }, { env: 'dev' }, { env: null, 'two words': 'x' }, {}];
  for (const [index, name] of names.entries()) {
    const body = {
      name,
      pulp_labels: labels[index],
      retain_repo_versions: index === 3 ? null : index + 1,
      ...(index === 0 ? { remote: remote.pulp_href } : {}),
    };
    const answer = await server.request('POST', REPOSITORIES, body);
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    hrefs.push(answer.body.pulp_href);
    server.made.push(answer.body.pulp_href);
  }
  const made = await server.finished(
    await server.request('POST', DISTRIBUTIONS, { name: prefix, base_path: `${prefix}/all`, repository: hrefs[0] }),
  );
  distribution = made.created_resources[0];
  server.made.push(distribution);
});
after(() => server?.stop());

const query = (parameters: Readonly<Record<string, string>>): string => `?${new URLSearchParams(parameters)}`;
const list = (path: string, parameters: Readonly<Record<string, string>>) =>
  server.request('GET', `${path.startsWith(API) ? path : API + path}${query(parameters)}`);

/** The letters of our repositories that a list answers, in its order. */
async function letters(parameters: Readonly<Record<string, string>>, path = REPOSITORIES): Promise<string> {
  const { status, body } = await list(path, { name__startswith: `${prefix}-`, ...parameters });
  assert.equal(status, 200, JSON.stringify(body));
  return body.results.map(({ name }: Body) => name.slice(-1)).join('');
}

describe('a list', () => {
  it('has pages, with links to the next and the one before', async () => {
    const first = (await list(REPOSITORIES, { name__startswith: prefix, limit: '2' })).body;
    assert.deepEqual([first.count, first.results.length, first.previous], [4, 2, null]);
    assert.equal(first.next, `${server.url}${REPOSITORIES}?limit=2&name__startswith=${prefix}&offset=2`);
    const next = await server.request('GET', first.next.slice(server.url.length));
    assert.deepEqual([next.body.count, next.body.results.length, next.body.next], [4, 2, null]);
    assert.equal(next.body.previous, `${server.url}${REPOSITORIES}?limit=2&name__startswith=${prefix}`);
    const beyond = (await list(REPOSITORIES, { name__startswith: prefix, offset: '100' })).body;
    assert.deepEqual([beyond.results, beyond.next, typeof beyond.previous], [[], null, 'string']);
  });

  for (const parameters of [{ limit: '0' }, { limit: '-1' }, { limit: 'x' }, { offset: '-1' }, { offset: 'x' }, { limit: '1.5' }])
    it(`takes ${query(parameters)} for the default`, async () => assert.equal((await letters(parameters)).length, 4));

  it('is newest first, and in any order that is asked for', async () => {
    assert.equal(await letters({}), 'dcba');
    assert.equal(await letters({ ordering: 'name' }), 'abcd');
    assert.equal(await letters({ ordering: '-name' }), 'dcba');
    assert.equal(await letters({ ordering: 'pulp_created' }), 'abcd');
    assert.equal(await letters({ ordering: 'pulp_type,name' }), 'abcd');
    assert.equal(await letters({ ordering: 'name' }, 'repositories/'), 'abcd');
  });

  it('answers the fields that are wanted', async () => {
    const one = { name: `${prefix}-a` };
    const fields = async (parameters: Record<string, string>) =>
      Object.keys((await list(REPOSITORIES, { ...one, ...parameters })).body.results[0]).sort();
    assert.deepEqual(await fields({ fields: 'name,prn' }), ['name', 'prn']);
    assert.deepEqual(await fields({ fields: 'bogus' }), []);
    assert.deepEqual(await fields({ fields: 'name,prn', exclude_fields: 'prn' }), ['name']);
    assert.ok(!(await fields({ exclude_fields: 'name' })).includes('name'));
    assert.deepEqual((await server.request('GET', `${hrefs[0]}?fields=name`)).body, { name: `${prefix}-a` });
  });
});

describe('filters of repositories', () => {
  for (const [parameters, expected] of [
    [{ name__contains: `${prefix.slice(2)}-a` }, 'a'],
    [{ name__icontains: `${prefix.slice(2).toUpperCase()}-B` }, 'b'],
    [{ name__iexact: `${prefix.toUpperCase()}-C` }, 'c'],
    [{ name__in: `${prefix}-a,${prefix}-b,nobody` }, 'ba'],
    [{ name__istartswith: prefix.toUpperCase() }, 'dcba'],
    [{ name__regex: `^${prefix}-[ab]$` }, 'ba'],
    [{ name__iregex: `^${prefix.toUpperCase()}-[CD]$` }, 'dc'],
    [{ name: '' }, 'dcba'],
    [{ retain_repo_versions: '2' }, 'b'],
    [{ retain_repo_versions: '2.0' }, 'b'],
    [{ retain_repo_versions: '99999999999999999999999' }, ''],
    [{ retain_repo_versions__ne: '2' }, 'ca'],
    [{ retain_repo_versions__gt: '1' }, 'cb'],
    [{ retain_repo_versions__lte: '2' }, 'ba'],
    [{ retain_repo_versions__range: '2,3' }, 'cb'],
    [{ retain_repo_versions__isnull: 'true' }, 'd'],
    [{ pulp_label_select: 'env' }, 'cba'],
    [{ pulp_label_select: '!env' }, 'd'],
    [{ pulp_label_select: 'env=prod' }, 'a'],
    [{ pulp_label_select: 'env!=prod' }, 'cb'],
    [{ pulp_label_select: 'env~RO' }, 'a'],
    [{ pulp_label_select: 'env,owner' }, 'a'],
    [{ pulp_label_select: 'owner=Alice\\, Bob' }, 'a'],
    [{ pulp_label_select: 'owner=Alice\\, Bob,env=dev' }, ''],
    [{ pulp_label_select: 'two words=x' }, 'c'],
    [{ pulp_label_select: 'é=1' }, ''],
    [{ q: 'pulp_label_select="env"' }, 'cba'],
    [{ q: 'pulp_label_select="env=prod" OR retain_repo_versions__isnull=true' }, 'da'],
    [{ q: 'NOT retain_repo_versions=1' }, 'dcb'],
    [{ q: 'NOT (retain_repo_versions=1 OR retain_repo_versions=2) AND NOT retain_repo_versions=3' }, 'd'],
    [{ q: `name=${prefix}-a OR name="${prefix}-b" OR name='${prefix}-c'` }, 'cba'],
    [{ q: `name__in="${prefix}-a,${prefix}-d"` }, 'da'],
    [{ q: 'retain_repo_versions=1 OR retain_repo_versions=2 AND retain_repo_versions=3' }, 'a'],
  ] as const) {
    it(`${query(parameters)} leaves ${expected || 'nothing'}`, async () => {
      assert.equal(await letters(parameters), expected);
      assert.equal(await letters(parameters, 'repositories/'), expected);
    });
  }

  it('by what they are, and by their remote', async () => {
    const [a, b] = hrefs as [string, string];
    const { prn } = (await server.request('GET', b)).body;
    assert.equal(await letters({ pulp_href__in: `${a},${b}` }), 'ba');
    assert.equal(await letters({ prn__in: prn }), 'b');
    assert.equal(await letters({ pulp_id__in: a.split('/').at(-2)?.toUpperCase() ?? '' }), 'a');
    assert.equal(await letters({ remote: remote.pulp_href }), 'a');
    assert.equal(await letters({ remote: remote.prn }), 'a');
    assert.equal(await letters({ remote: 'null' }), 'dcb');
    assert.equal(await letters({ pulp_type: 'container.container' }, 'repositories/'), 'dcba');
    assert.equal(await letters({ pulp_type__in: 'ostree.ostree,container.container' }, 'repositories/'), 'dcba');
    assert.equal(await letters({ pulp_type: 'ostree.ostree' }, 'repositories/'), '');
    const served = await list('distributions/', { repository: a });
    assert.deepEqual(
      served.body.results.map((one: Body) => one.pulp_href),
      [distribution],
    );
    assert.equal((await list('distributions/', { repository__in: a })).body.count, 1);
    const version = (await server.request('GET', `${a}versions/0/`)).body;
    const versions = await list('repository_versions/', { prn__in: version.prn, number: '0', q: 'number__lt=1' });
    assert.deepEqual(versions.body.results, [version]);
    assert.equal((await list(`${a}versions/`, { number__range: '1,2' })).body.count, 0);
    assert.equal((await list('content/', { repository_version: a })).body.count, 0);
  });
});

// Each asked of Pulp; see also the spec: core, shaping and filtering.
const href = (path: string) => `${API}${path}/${NOBODY}/`;
const REFUSED: readonly (readonly [path: string, parameters: Readonly<Record<string, string>>, body: unknown])[] = [
  ['repositories/', { bogus: '1' }, INVALID_FILTER('bogus')],
  ['repositories/', { name__ne: 'x' }, INVALID_FILTER('name__ne')],
  ['repositories/', { name__endswith: 'x' }, INVALID_FILTER('name__endswith')],
  ['repositories/', { pulp_created__gte: '2020-01-01' }, INVALID_FILTER('pulp_created__gte')],
  ['repositories/', { ordering: 'x' }, { ordering: [NO_CHOICE('x')] }],
  ['repositories/', { ordering: 'name,-x' }, { ordering: [NO_CHOICE('-x')] }],
  ['repositories/', { retain_repo_versions: 'x' }, { retain_repo_versions: ['Enter a number.'] }],
  ['repositories/', { retain_repo_versions__range: '1' }, { retain_repo_versions__range: ['Range query expects two values.'] }],
  ['repositories/', { pulp_type: 'x' }, { pulp_type: [NO_CHOICE('x')] }],
  ['repositories/', { pulp_type__in: 'container.container,x' }, { pulp_type__in: [NO_CHOICE('x')] }],
  ['repositories/container/container/', { pulp_type: 'container.container' }, INVALID_FILTER('pulp_type')],
  ['repositories/', { pulp_label_select: '' }, ["Invalid search term: ''."]],
  ['repositories/', { pulp_label_select: '=' }, ["Invalid search term: '='."]],
  ['repositories/', { pulp_label_select: 'env,' }, ["Invalid search term: ''."]],
  ['repositories/', { pulp_label_select: '!env=1' }, ["Cannot use an operator with '!env'."]],
  ['repositories/', { pulp_href__in: 'x' }, ['URI not valid: x']],
  ['repositories/', { prn__in: 'x' }, ["Not a valid PRN: x, must start with 'prn:'"]],
  ['repositories/', { prn__in: 'prn:x' }, ["PRN not valid: ['prn', 'x']"]],
  ['repositories/', { pulp_id__in: 'x' }, { pulp_id__in: ['Enter a valid UUID.'] }],
  ['repositories/', { remote: 'x' }, ["URI couldn't be resolved: x"]],
  ['repositories/', { remote: `${API}remotes/container/container/x/` }, ['UUID invalid: x']],
  ['repositories/', { remote: href('tasks') }, [`URI/PRN is not a valid href for remote model: ${href('tasks')}`]],
  ['repositories/', { with_content: 'x' }, ['URI not valid: x']],
  ['repositories/', { with_content: '' }, ['No value supplied for content filter']],
  [
    'repositories/',
    { with_content: href('content/container/tags') },
    [`URI ${href('content/container/tags')} not found for content.`],
  ],
  ['repositories/', { with_content: 'prn:container.tag:x' }, ['ID invalid: x']],
  ['repositories/', { with_content: `prn:container.x:${NOBODY}` }, ['Model container.x does not exist']],
  ['repositories/', { with_content: 'prn:x' }, ["PRN must be of the form 'prn:app_label.model_label:pk': prn:x"]],
  ['repositories/', { name: 'a\0b' }, { name: ['Null characters are not allowed.'] }],
  ['repositories/', { q: 'x' }, { q: ['Syntax error in expression.'] }],
  ['repositories/', { q: 'name=a and name=b' }, { q: ['Syntax error in expression.'] }],
  ['repositories/', { q: 'bogus=1' }, { q: ["Filter 'bogus' does not exist."] }],
  ['repositories/', { q: 'limit=1' }, { q: ["Filter 'limit' does not exist."] }],
  ['repositories/', { q: 'q=1' }, { q: ["You cannot use 'q' in complex filtering."] }],
  ['repositories/', { q: 'ordering=name' }, { q: ['An ordering filter cannot be used in complex filtering.'] }],
  ['repositories/', { q: Array(8).fill('name=a').join(' OR ') }, { q: ['Filter expression exceeds allowed complexity.'] }],
  [
    'repositories/',
    { q: 'retain_repo_versions=x' },
    { q: ['{"retain_repo_versions": [{"message": "Enter a number.", "code": "invalid"}]}'] },
  ],
  ['repositories/', { q: 'pulp_type=x' }, { q: [`{"pulp_type": [{"message": "${NO_CHOICE('x')}", "code": "invalid_choice"}]}`] }],
  ['repositories/', { q: 'prn__in=x' }, ["Not a valid PRN: x, must start with 'prn:'"]],
  ['remotes/', { pulp_last_updated__gte: 'x' }, { pulp_last_updated__gte: ['Enter a valid date/time.'] }],
  ['remotes/', { pulp_last_updated__range: '2020-01-01' }, { pulp_last_updated__range: ['Range query expects two values.'] }],
  ['remotes/', { url: 'x' }, INVALID_FILTER('url')],
  ['distributions/', { repository: 'null' }, ["URI couldn't be resolved: null"]],
  ['distributions/', { repository__in: '' }, ['No value supplied for repository filter.']],
  ['distributions/', { base_path__regex: 'x' }, INVALID_FILTER('base_path__regex')],
  ['distributions/', { with_content: '' }, ['URI not valid: ']],
  ['content/', { repository_version: '' }, ['No value supplied for repository version filter']],
  ['content/', { repository_version_added: 'x' }, ['URI not valid: x']],
  [
    'content/',
    { repository_version: href('repositories/container/container') },
    [`URI ${href('repositories/container/container')} not found for containerrepository.`],
  ],
  [
    'content/',
    { repository_version: `prn:core.repositoryversion:${NOBODY}` },
    [`URI prn:core.repositoryversion:${NOBODY} not found for repositoryversion.`],
  ],
  ['content/', { added_between: 'x' }, { added_between: ['Range query expects two values.'] }],
  ['content/', { orphaned_for: 'x' }, { orphaned_for: ['Enter a number.'] }],
  ['content/', { ordering: 'pulp_created' }, { ordering: [NO_CHOICE('pulp_created')] }],
  ['content/container/tags/', { name__contains: 'x' }, INVALID_FILTER('name__contains')],
  ['content/container/tags/', { media_type: 'x' }, { media_type: [NO_CHOICE('x')] }],
  ['repository_versions/', { number: 'x' }, { number: ['Enter a number.'] }],
  ['repository_versions/', { number__ne: '1' }, INVALID_FILTER('number__ne')],
  ['repository_versions/', { content: 'x' }, ['URI not valid: x']],
  ['repository_versions/', { content__in: '' }, ['No value supplied for content filter']],
  [
    'repository_versions/',
    { content: href('content/container/tags') },
    [`Could not find the following content units: ['${href('content/container/tags')}']`],
  ],
  ['tasks/', { state: 'x' }, { state: [NO_CHOICE('x')] }],
  ['tasks/', { name__startswith: 'x' }, INVALID_FILTER('name__startswith')],
  ['tasks/', { task_group: 'null' }, ["URI couldn't be resolved: null"]],
  ['tasks/', { task_group: '' }, ['No value supplied for task_group filter.']],
  ['tasks/', { task_group: href('tasks') }, [`URI/PRN is not a valid href for task_group model: ${href('tasks')}`]],
  ['tasks/', { parent_task: 'x' }, ["URI couldn't be resolved: x"]],
  ['tasks/', { created_resources: 'x' }, ['URI not valid: x']],
  ['tasks/', { started_at: 'x' }, { started_at: ['Enter a valid date/time.'] }],
  ['task-schedules/', { name__in: 'x' }, INVALID_FILTER('name__in')],
  ['publications/', { repository: 'x' }, ['URI not valid: x']],
  ['publications/', { repository: '' }, ['No value supplied for repository filter']],
  ['publications/', { repository_version: 'x' }, ['URI not valid: x']],
  ['publications/', { content: '' }, ['No value supplied for content filter']],
  ['publications/', { pulp_type: 'x' }, { pulp_type: [NO_CHOICE('x')] }],
  ['publications/', { ordering: 'x' }, { ordering: [NO_CHOICE('x')] }],
];

describe('bad values', () => {
  for (const [path, parameters, expected] of REFUSED) {
    it(`${path}${query(parameters)} is refused`, async () => {
      const { status, body } = await list(path, parameters);
      assert.equal(status, 400, JSON.stringify(body));
      assert.deepEqual(body, expected);
    });
  }
});

describe('values that find nothing', () => {
  for (const [path, parameters] of [
    ['tasks/', { state__in: 'x,y' }],
    ['tasks/', { worker: 'x' }],
    ['tasks/', { reserved_resources: 'x' }],
    ['tasks/', { reserved_resources__in: 'x,y' }],
    ['tasks/', { exclusive_resources: 'x' }],
    ['tasks/', { shared_resources: `${API}repositories/container/container/${NOBODY}/` }],
    ['tasks/', { task_group: `${API}task-groups/${NOBODY}/` }],
    ['tasks/', { task_group: `prn:core.taskgroup:${NOBODY}` }],
    ['tasks/', { q: 'state__in="x,y"' }],
    ['repository_versions/', { number: '99999999999999999999' }],
    ['repositories/', { pulp_href__in: `${API}tasks/${NOBODY}/` }],
    ['content/', { pulp_type: 'core.openpgp_userid' }],
    ['publications/', {}],
    ['publications/', { pulp_type: 'file.file', checkpoint: 'true', ordering: '-complete' }],
  ] as const) {
    it(`${path}${query(parameters)}`, async () => {
      const { status, body } = await list(path, parameters);
      assert.deepEqual([status, body], [200, { count: 0, next: null, previous: null, results: [] }]);
    });
  }
});

describe('task groups', () => {
  const path = `${API}task-groups/`;
  it('are listed, whatever else is asked for', async () => {
    for (const parameters of [{}, { bogus: 'x' }, { ordering: 'x' }, { q: 'x' }]) {
      const { status, body } = await list(path, { ...parameters, limit: '1' });
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body), ['count', 'next', 'previous', 'results']);
    }
  });
  it('are not there under another id, and not made or removed', async () => {
    const unknown = await server.request('GET', `${path}${NOBODY}/`);
    assert.deepEqual([unknown.status, unknown.body], [404, { detail: 'No TaskGroup matches the given query.' }]);
    const cancel = await server.request('PATCH', `${path}${NOBODY}/`, { state: 'canceled' });
    assert.deepEqual([cancel.status, cancel.body], [404, { detail: 'No TaskGroup matches the given query.' }]);
    assert.equal((await server.request('POST', path, {})).status, 405);
  });
});

describe('task schedules', () => {
  const path = `${API}task-schedules/`;
  it('have the cleanup of orphans, once a day', async () => {
    const { body } = await list(path, { name__contains: 'stale content' });
    assert.equal(body.count, 1);
    const { pulp_href, prn, pulp_created, pulp_last_updated, next_dispatch, last_task, ...rest } = body.results[0];
    assert.deepEqual(rest, {
      name: 'Clean up stale content periodically',
      task_name: 'pulpcore.app.tasks.orphan.orphan_cleanup',
      dispatch_interval: '1 00:00:00',
    });
    assert.equal(prn, `prn:core.taskschedule:${pulp_href.split('/').at(-2)}`);
    const hours = (Date.parse(next_dispatch) - Date.now()) / 3_600_000;
    assert.ok(hours > 0 && hours <= 24, next_dispatch);
    assert.ok(last_task === null || last_task.startsWith(`${API}tasks/`));
    assert.deepEqual((await server.request('GET', pulp_href)).body, body.results[0]);
    assert.ok(pulp_created <= pulp_last_updated);
    assert.equal((await list(path, { task_name: rest.task_name })).body.count, 1);
    assert.equal((await list(path, { q: 'NOT task_name__contains=orphan' })).body.count, 0);
  });
  it('are only read', async () => {
    assert.equal((await server.request('POST', path, {})).status, 405);
  });
});

describe('a purge', () => {
  for (const [body, expected] of [
    [{ states: ['running'] }, { states: ['"running" is not a valid choice.'] }],
    [{ states: ['completed', 'x'] }, { states: ['"x" is not a valid choice.'] }],
    [{ states: 'completed' }, { states: ['Expected a list of items but got type "str".'] }],
    [
      { finished_before: 'x' },
      {
        finished_before: [
          'Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].',
        ],
      },
    ],
    [{ finished_before: null }, { finished_before: ['This field may not be null.'] }],
    [[], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
  ] as const) {
    it(`of ${JSON.stringify(body)} is refused`, async () => {
      const answer = await server.request('POST', `${API}tasks/purge/`, body);
      assert.deepEqual([answer.status, answer.body], [400, expected]);
    });
  }

  it('says how much of what it has removed', async () => {
    const task = await server.finished(await server.request('POST', `${API}tasks/purge/`, { finished_before: '2001-01-01' }));
    assert.deepEqual([task.state, task.result, task.name], ['completed', null, 'pulpcore.app.tasks.purge.purge']);
    const byCode = (a: Body, b: Body) => (a.code < b.code ? -1 : 1);
    const report = (code: string, message: string) => ({ message, code, state: 'completed', total: 0, done: 0, suffix: null });
    assert.deepEqual(task.progress_reports.sort(byCode), [
      report('purge.tasks.error', 'Tasks failed to purge'),
      report('purge.tasks.key.core.Task', 'Purged task-objects of type core.Task'),
      report('purge.tasks.total', 'Purged task-related-objects total'),
    ]);
    assert.deepEqual((await server.request('GET', `${task.pulp_href}profile_artifacts/`)).body, { urls: {} });
  });
});
