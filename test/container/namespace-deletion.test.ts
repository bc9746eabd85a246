import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Answer, startApp, type TestApp } from '../support/app.ts';
import { asPushRepository, madeBy } from '../support/push-repository.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const DISTRIBUTIONS = `${API}distributions/container/container/`;
const NAMESPACES = `${API}pulp_container/namespaces/`;
type Body = Answer['body'];

/*
 * With distributions go the repositories that were made on their way, by a push or a pull-through, and no others (docs/DIFFERENCES.md). What made
 * a repository is said behind the door, as those would have written it.
 */

let app: TestApp;
before(async () => {
  app = await startApp();
});
after(() => app?.stop());

let made = 0;
const unique = (word: string): string => `${word}-${++made}`;
const newRepository = async (origin?: 'push' | 'pull-through'): Promise<string> => {
  const href = (await app.request('POST', REPOSITORIES, { name: unique('repository') })).body.pulp_href as string;
  if (origin) await madeBy(app, href, origin);
  return href;
};
async function serve(what: { repository: string } | { repository_version: string }, path = unique('path')): Promise<string> {
  const task = await app.run(DISTRIBUTIONS, { name: unique('distribution'), base_path: path, ...what });
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  return task.created_resources[0];
}
const remove = async (href: string): Promise<Body> => {
  const task = await app.finished(await app.request('DELETE', href));
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  assert.equal(task.name, 'pulpcore.app.tasks.base.general_multi_delete');
  return task;
};
const statuses = async (...hrefs: string[]): Promise<number[]> =>
  Promise.all(hrefs.map(async (href) => (await app.request('GET', href)).status));
const locksOf = (task: Body): string[] =>
  task.reserved_resources_record.filter((lock: string) => lock.startsWith('prn:container.')).sort();
const lockOn = (model: string, href: string): string => `prn:container.${model}:${href.split('/').at(-2)}`;

describe('the deletion of a distribution', () => {
  for (const origin of ['push', 'pull-through'] as const) {
    it(`takes along a repository that a ${origin} made, which its task holds`, async () => {
      const repository = await newRepository(origin);
      const distribution = await serve({ repository });
      const task = await remove(distribution);
      assert.deepEqual(task.result, {
        'core.Distribution': 1,
        'container.ContainerDistribution': 1,
        'core.Repository': 1,
        'container.ContainerRepository': 1,
      });
      assert.deepEqual(locksOf(task), [lockOn('containerdistribution', distribution), lockOn('containerrepository', repository)]);
      assert.deepEqual(await statuses(distribution, repository), [404, 404]);
    });
  }

  it('leaves a repository that somebody made', async () => {
    const repository = await newRepository();
    const distribution = await serve({ repository });
    const task = await remove(distribution);
    assert.deepEqual(task.result, { 'core.Distribution': 1, 'container.ContainerDistribution': 1 });
    assert.deepEqual(locksOf(task), [lockOn('containerdistribution', distribution)]);
    assert.deepEqual(await statuses(distribution, repository), [404, 200]);
  });

  it('leaves a repository that something else serves, be it one version of it', async () => {
    const repository = await newRepository('push');
    const [first, second, pinned] = [
      await serve({ repository }),
      await serve({ repository }),
      await serve({ repository_version: `${repository}versions/0/` }),
    ];
    await remove(first);
    assert.deepEqual(await statuses(repository), [200]);
    await remove(second);
    assert.deepEqual(await statuses(repository, pinned), [200, 200]);
    // It served a version that somebody has chosen, not what pushes bring.
    await remove(pinned);
    assert.deepEqual(await statuses(repository), [200]);
  });
});

describe('the deletion of a namespace', () => {
  it('takes along its distributions, and of their repositories those that go with them', async () => {
    const namespace = unique('namespace');
    const pushed = await newRepository('push');
    const old = await asPushRepository(app, await newRepository());
    const ordinary = await newRepository();
    const shared = await newRepository('pull-through');
    const inside = [
      await serve({ repository: pushed }, `${namespace}/a`),
      await serve({ repository: pushed }, `${namespace}/b`),
      await serve({ repository: old }, `${namespace}/c`),
      await serve({ repository: ordinary }, `${namespace}/d`),
      await serve({ repository: shared }, `${namespace}/e`),
      await serve({ repository_version: `${ordinary}versions/0/` }, `${namespace}/f`),
    ];
    const outside = await serve({ repository: shared });
    const [{ pulp_href: href }] = (await app.request('GET', `${NAMESPACES}?name=${namespace}`)).body.results;
    const task = await remove(href);
    assert.deepEqual(task.result, {
      'core.Distribution': 6,
      'container.ContainerDistribution': 6,
      'core.Repository': 2,
      'container.ContainerRepository': 1,
      'container.ContainerPushRepository': 1,
      'container.ContainerNamespace': 1,
    });
    assert.deepEqual(
      locksOf(task),
      [
        lockOn('containernamespace', href),
        lockOn('containerrepository', pushed),
        lockOn('containerpushrepository', old),
        ...inside.map((distribution) => lockOn('containerdistribution', distribution)),
      ].sort(),
    );
    assert.deepEqual(await statuses(href, pushed, old, ...inside), [404, 404, 404, ...inside.map(() => 404)]);
    assert.deepEqual(await statuses(ordinary, shared, outside), [200, 200, 200]);
  });

  it('waits for what holds one of them', async () => {
    const namespace = unique('namespace');
    const repository = await newRepository('push');
    await serve({ repository }, `${namespace}/a`);
    const [{ pulp_href: href }] = (await app.request('GET', `${NAMESPACES}?name=${namespace}`)).body.results;
    // In one go: the change of the repository is dispatched before the deletion, and both hold it.
    const changing = await app.request('POST', `${repository}remove/`, { content_units: ['*'] });
    const deleting = await app.request('DELETE', href);
    const [change, deletion] = [await app.finished(changing), await app.finished(deleting)];
    assert.deepEqual([change.state, deletion.state], ['completed', 'completed']);
    assert.ok(change.finished_at <= deletion.started_at, `${change.finished_at} ${deletion.started_at}`);
  });

  it('is told to the registry at once', async () => {
    const namespace = unique('namespace');
    const path = `${namespace}/app`;
    await serve({ repository: await newRepository('push') }, path);
    const tags = (headers = {}) => app.request('GET', `/v2/${path}/tags/list`, undefined, { user: null, headers });
    const challenge = (await tags()).headers.get('www-authenticate') ?? '';
    const service = /service="([^"]+)"/.exec(challenge)?.[1];
    const token = await app.request('GET', `/token/?service=${service}&scope=repository:${path}:pull`, undefined, { user: null });
    const status = async () => (await tags({ authorization: `Bearer ${token.body.token}` })).status;
    assert.equal(await status(), 200, challenge);
    const [{ pulp_href: href }] = (await app.request('GET', `${NAMESPACES}?name=${namespace}`)).body.results;
    await remove(href);
    assert.equal(await status(), 404);
  });
});
