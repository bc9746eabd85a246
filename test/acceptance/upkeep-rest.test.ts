import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Body, openServer, type Server, unique } from './server.ts';

/*
 * A reference server has content of others: cleanups spare what is younger than a thousand years, repairs and reclaims are of repositories
 * that were made here.
 */
const API = '/pulp/api/v3/';
const CLEANUP = `${API}orphans/cleanup/`;
const RECLAIM = `${API}repositories/reclaim_space/`;
const ABSENT = '01900000-0000-7000-8000-000000000000';
const LONG = 4294967295;

let server: Server;
let repository: Body;
before(async () => {
  server = await openServer();
  const answer = await server.request('POST', `${API}repositories/container/container/`, { name: unique('upkeep') });
  assert.equal(answer.status, 201);
  repository = answer.body;
  server.made.push(repository.pulp_href);
});
after(() => server?.stop());

const refused = async (path: string, body: unknown): Promise<Body> => {
  const answer = await server.request('POST', path, body);
  assert.equal(answer.status, 400, JSON.stringify(answer.body));
  return answer.body;
};
const completed = async (path: string, body: unknown): Promise<Body> => {
  const answer = await server.request('POST', path, body);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  const task = await server.finished(answer);
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  return task;
};
const reports = (task: Body): string[] =>
  task.progress_reports.map(({ code, message, state }: Body) => `${code}: ${message}, ${state}`).sort();

describe('orphan cleanup', () => {
  const blob = `${API}content/container/blobs/${ABSENT}/`;
  for (const [body, answer] of [
    [{ content_hrefs: [] }, { content_hrefs: ['Must not be [].'] }],
    [{ content_hrefs: ['garbage'] }, { content_hrefs: ['URI not valid: garbage'] }],
    [{ content_hrefs: [blob] }, { content_hrefs: [`URI ${blob} not found for content.`] }],
    [
      { content_hrefs: [`prn:container.blob:${ABSENT}`] },
      { content_hrefs: [`URI prn:container.blob:${ABSENT} not found for content.`] },
    ],
    [{ content_hrefs: ['prn:x'] }, { content_hrefs: ["PRN must be of the form 'prn:app_label.model_label:pk': prn:x"] }],
    [{ content_hrefs: 'abc' }, { content_hrefs: ['Expected a list of items but got type "str".'] }],
    [{ content_hrefs: null }, { content_hrefs: ['This field may not be null.'] }],
    [{ orphan_protection_time: -1 }, { orphan_protection_time: ['Ensure this value is greater than or equal to 0.'] }],
    [
      { orphan_protection_time: LONG + 1 },
      { orphan_protection_time: ['Ensure this value is less than or equal to 4294967295.'] },
    ],
    [{ orphan_protection_time: 'abc' }, { orphan_protection_time: ['A valid integer is required.'] }],
    [[], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
  ] as const) {
    it(`refuses ${JSON.stringify(body)}`, async () => assert.deepEqual(await refused(CLEANUP, body), answer));
  }

  it('is a task that says what it cleans up', async () => {
    // A thousand years: nothing of anybody is as old.
    const task = await completed(CLEANUP, { orphan_protection_time: 500_000_000 });
    assert.equal(task.name, 'pulpcore.app.tasks.orphan.orphan_cleanup');
    assert.deepEqual(reports(task), [
      'clean-up.artifacts: Clean up orphan Artifacts, completed',
      'clean-up.content: Clean up orphan Content, completed',
    ]);
    const [lock, domain, ...more] = task.reserved_resources_record.toSorted();
    assert.match(lock, /^pdrn:[0-9a-f-]{36}:orphans$/);
    assert.match(domain, /^shared:prn:core\.domain:/);
    assert.deepEqual(more, []);
  });
});

describe('repair', () => {
  it('refuses what is no boolean', async () => {
    for (const path of [`${API}repair/`, `${repository.versions_href}0/repair/`]) {
      assert.deepEqual(await refused(path, { verify_checksums: 'x' }), { verify_checksums: ['Must be a valid boolean.'] });
      assert.deepEqual(await refused(path, { verify_checksums: null }), { verify_checksums: ['This field may not be null.'] });
    }
  });

  it('of a version that does not exist is 404', async () => {
    assert.equal((await server.request('POST', `${repository.versions_href}9/repair/`, {})).status, 404);
  });
});

describe('reclaim_space', () => {
  const absent = `${API}repositories/container/container/${ABSENT}/`;
  const remote = `${API}remotes/container/container/${ABSENT}/`;
  for (const [body, answer] of [
    [{}, { repo_hrefs: ['This field is required.'] }],
    [{ repo_hrefs: [] }, { repo_hrefs: ['Must not be [].'] }],
    [{ repo_hrefs: ['*', 'x'] }, { repo_hrefs: ["Can not specify other HREFs when using '*'"] }],
    [{ repo_hrefs: ['x'] }, { repo_hrefs: ['URI not valid: x'] }],
    [{ repo_hrefs: 'x' }, { repo_hrefs: ['Expected a list of items but got type "str".'] }],
    [{ repo_hrefs: null }, { repo_hrefs: ['This field may not be null.'] }],
    [{ repo_hrefs: [absent] }, { repo_hrefs: [`URI ${absent} not found for repository.`] }],
    [{ repo_hrefs: [remote] }, { repo_hrefs: [`URI ${remote} not found for repository.`] }],
    [{ repo_hrefs: ['*'], repo_versions_keeplist: ['x'] }, { repo_versions_keeplist: ['Invalid hyperlink - No URL match.'] }],
    [
      { repo_hrefs: ['*'], repo_versions_keeplist: [`${absent}versions/1/`] },
      { repo_versions_keeplist: ['Invalid hyperlink - Object does not exist.'] },
    ],
    [
      { repo_hrefs: ['*'], repo_versions_keeplist: 'x' },
      { repo_versions_keeplist: ['Expected a list of items but got type "str".'] },
    ],
  ] as const) {
    it(`refuses ${JSON.stringify(body)}`, async () => assert.deepEqual(await refused(RECLAIM, body), answer));
  }

  it('is a task that shares the repositories', async () => {
    const task = await completed(RECLAIM, {
      repo_hrefs: [repository.pulp_href],
      repo_versions_keeplist: [`${repository.versions_href}0/`],
    });
    assert.equal(task.name, 'pulpcore.app.tasks.reclaim_space.reclaim_space');
    assert.deepEqual(reports(task), ['reclaim-space.artifact: Reclaim disk space, completed']);
    assert.ok(task.reserved_resources_record.includes(`shared:${repository.prn}`));
  });
});
