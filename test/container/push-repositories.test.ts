import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { type Answer, startApp, type TestApp } from '../support/app.ts';
import { simpleImage, simpleIndex } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { pulpCli } from '../support/pulp-cli.ts';
import { asPushRepository } from '../support/push-repository.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';

const API = '/pulp/api/v3/';
const ORDINARY = `${API}repositories/container/container/`;
const PUSHED = `${API}repositories/container/container-push/`;
const DISTRIBUTIONS = `${API}distributions/container/container/`;
const PASSWORD = 'Kiesel-7-Wolke';
type Body = Answer['body'];

let app: TestApp;
let upstream: Upstream;
before(async () => {
  [app, upstream] = await Promise.all([startApp(), startUpstream()]);
});
after(async () => {
  await app?.stop();
  await upstream?.stop();
});

let made = 0;
const unique = (word: string): string => `${word}-${++made}`;

/** A repository as pushes made it in an older server, with an image `a`, an index `multi` of two images, and a distribution. */
async function pushedRepository({ isPrivate = false } = {}) {
  const name = unique('pushed');
  const image = simpleImage(name);
  const index = simpleIndex(name);
  upstream.put(name, image, 'a');
  upstream.put(name, index, 'multi');
  const ordinary = (await app.request('POST', ORDINARY, { name })).body.pulp_href as string;
  const remote = await app.request('POST', `${API}remotes/container/container/`, {
    name,
    url: upstream.url,
    upstream_name: name,
  });
  assert.equal((await app.run(`${ordinary}sync/`, { remote: remote.body.pulp_href })).state, 'completed');
  const href = await asPushRepository(app, ordinary);
  const path = `${unique('ns')}/${name}`;
  const serving = await app.run(DISTRIBUTIONS, { name, base_path: path, repository: href, private: isPrivate });
  const [distribution] = serving.created_resources as string[];
  return { name, image, index, ordinary, href, path, distribution: distribution as string };
}

const counts = async (version: string): Promise<Record<string, Record<string, number>>> => {
  const { body } = await app.request('GET', version);
  const ofSide = (side: Record<string, { count: number }>) =>
    Object.fromEntries(Object.entries(side).map(([type, { count }]) => [type.replace('container.', ''), count]));
  const { added, removed, present } = body.content_summary;
  return { added: ofSide(added), removed: ofSide(removed), present: ofSide(present) };
};

describe('a repository that pushes made in an older server', () => {
  it('is listed and shown with its versions, and is served', async () => {
    const { name, href, ordinary, distribution } = await pushedRepository();
    const { body: shown } = await app.request('GET', href);
    assert.deepEqual(Object.keys(shown).sort(), [
      'description',
      'latest_version_href',
      'manifest_signing_service',
      'name',
      'prn',
      'pulp_created',
      'pulp_href',
      'pulp_labels',
      'pulp_last_updated',
      'retain_checkpoints',
      'retain_repo_versions',
      'versions_href',
    ]);
    const id = href.split('/').at(-2);
    assert.deepEqual(
      [shown.name, shown.prn, shown.latest_version_href],
      [name, `prn:container.containerpushrepository:${id}`, `${href}versions/1/`],
    );
    const listed = await app.request('GET', `${PUSHED}?name=${name}`);
    assert.deepEqual(listed.body.results, [shown]);
    const ofAllTypes = await app.request('GET', `${API}repositories/?name=${name}`);
    assert.deepEqual(
      ofAllTypes.body.results.map((row: Body) => row.pulp_href),
      [href],
    );
    assert.equal((await app.request('GET', ordinary)).status, 404);
    const versions = await app.request('GET', `${href}versions/`);
    assert.deepEqual(
      versions.body.results.map((version: Body) => [version.pulp_href, version.repository]),
      [1, 0].map((number) => [`${href}versions/${number}/`, href]),
    );
    assert.equal((await app.request('GET', distribution)).body.repository, href);
  });

  it('is neither made nor deleted, nor synced, nor has it what ordinary ones have', async () => {
    const { href } = await pushedRepository();
    const refused = async (method: string, path: string) => {
      const { status, body } = await app.request(method, path, method === 'POST' ? { name: 'x' } : undefined);
      return [status, body];
    };
    assert.deepEqual(await refused('POST', PUSHED), [405, { detail: 'Method "POST" not allowed.' }]);
    assert.deepEqual(await refused('DELETE', href), [405, { detail: 'Method "DELETE" not allowed.' }]);
    for (const action of ['sync', 'add', 'remove', 'copy_tags', 'copy_manifests', 'set_label', 'unset_label', 'modify'])
      assert.equal((await refused('POST', `${href}${action}/`))[0], 404, action);
    const remote = await app.request('PATCH', href, { remote: null });
    assert.deepEqual([remote.status, remote.body], [400, { remote: ['Unexpected field'] }]);
  });

  it('is changed, by a task that holds it', async () => {
    const { href } = await pushedRepository();
    const task = await app.finished(await app.request('PATCH', href, { description: 'old', pulp_labels: { a: 'b' } }));
    assert.deepEqual(
      [task.name, task.state, task.reserved_resources_record[0]],
      ['pulpcore.app.tasks.base.ageneral_update', 'completed', `prn:container.containerpushrepository:${href.split('/').at(-2)}`],
    );
    const again = await app.request('PATCH', href, { description: 'old' });
    assert.deepEqual([again.status, again.body.description, again.body.pulp_labels], [200, 'old', { a: 'b' }]);
  });

  it('is tagged, untagged, and loses images', async () => {
    const { href, image, index, name } = await pushedRepository();
    const tagged = await app.run(`${href}tag/`, { tag: 'new', digest: image.digest });
    assert.equal(tagged.name, 'pulp_container.app.tasks.tag.tag_image');
    assert.equal(tagged.created_resources[0], `${href}versions/2/`);
    assert.match(tagged.created_resources[1], /\/content\/container\/tags\/[0-9a-f-]{36}\/$/);
    const untagged = await app.run(`${href}untag/`, { tag: 'new' });
    assert.deepEqual(untagged.created_resources, [`${href}versions/3/`]);
    const gone = await app.request('POST', `${href}untag/`, { tag: 'new' });
    assert.deepEqual(
      [gone.status, gone.body],
      [
        400,
        {
          non_field_errors: [`The tag 'new' does not exist in the latest repository version '<Repository: ${name}; Version: 3>'`],
        },
      ],
    );

    const [child] = index.children;
    const listed = await app.run(`${href}tag/`, { tag: 'child', digest: child?.digest });
    assert.equal(listed.state, 'completed');
    // What an index lists stays with it; its tags go.
    const kept = await app.run(`${href}remove_image/`, { digest: child?.digest });
    assert.equal(kept.name, 'pulp_container.app.tasks.recursive_remove.recursive_remove_content');
    assert.deepEqual((await counts(kept.created_resources[0])).removed, { tag: 1 });
    const removed = await app.run(`${href}remove_image/`, { digest: image.digest });
    assert.deepEqual((await counts(removed.created_resources[0])).removed, { blob: 2, manifest: 1, tag: 1 });
    const last = await app.run(`${href}remove_image/`, { digest: index.digest });
    assert.deepEqual(await counts(last.created_resources[0]), {
      added: {},
      removed: { blob: 4, manifest: 3, tag: 1 },
      present: {},
    });
    const absent = await app.request('POST', `${href}remove_image/`, { digest: image.digest });
    assert.deepEqual(
      [absent.status, absent.body],
      [
        400,
        {
          non_field_errors: [
            `A manifest with the digest '${image.digest}' does not exist in the latest repository version '<Repository: ${name}; Version: 7>'`,
          ],
        },
      ],
    );
  });

  it('loses an image by the pulp command line', { skip: missing('pulp') }, async () => {
    const { href, name, image } = await pushedRepository();
    const cli = await pulpCli(app.url);
    try {
      const pushed = 'container repository --type push';
      assert.equal((await cli.pulp(`${pushed} show`, '--name', name)).pulp_href, href);
      await cli.pulp(`${pushed} remove-image`, '--name', name, '--digest', image.digest);
      const { content_summary: summary } = await cli.pulp(`${pushed} version show`, '--repository', name);
      assert.deepEqual(summary.removed['container.tag'].count, 1);
    } finally {
      await cli.remove();
    }
  });

  it('becomes an ordinary one by migrate, and stays what pushes made', async () => {
    const { href, ordinary, name, distribution } = await pushedRepository();
    const task = await app.run(`${href}migrate/`, undefined);
    assert.equal(task.name, 'pulp_container.app.tasks.migrate_push_repository.migrate_push_repository');
    assert.deepEqual(task.created_resources, [ordinary]);
    assert.deepEqual(
      task.reserved_resources_record.filter((lock: string) => lock.startsWith('prn:')).sort(),
      [
        `prn:container.containerdistribution:${distribution.split('/').at(-2)}`,
        `prn:container.containerpushrepository:${href.split('/').at(-2)}`,
      ].sort(),
    );
    const { body: shown } = await app.request('GET', ordinary);
    assert.deepEqual(task.result, shown);
    assert.deepEqual([shown.name, shown.remote, shown.latest_version_href], [name, null, `${ordinary}versions/1/`]);
    assert.equal((await app.request('GET', href)).status, 404);
    assert.equal((await app.request('GET', distribution)).body.repository, ordinary);
    for (const [list, count] of [
      [PUSHED, 0],
      [ORDINARY, 1],
    ] as const)
      assert.equal((await app.request('GET', `${list}?name=${name}`)).body.count, count);
    const kept = await app.services.db.query(sql`
      select c.pulp_type, sum(c.rows)::int as kept, (select count(*)::int from repository r where r.pulp_type = c.pulp_type) as there
      from row_count c where c.table_name = 'repository' group by c.pulp_type`);
    for (const row of kept as { kept: number; there: number }[]) assert.equal(row.kept, row.there, JSON.stringify(row));
    const gone = await app.finished(await app.request('DELETE', distribution));
    assert.equal(gone.result['container.ContainerRepository'], 1);
    assert.equal((await app.request('GET', ordinary)).status, 404);
  });

  it('goes with its last distribution', async () => {
    const { href, distribution, name } = await pushedRepository();
    const other = (await app.run(DISTRIBUTIONS, { name: unique('other'), base_path: unique('other'), repository: href }))
      .created_resources[0];
    const first = await app.finished(await app.request('DELETE', distribution));
    assert.deepEqual(first.result, { 'core.Distribution': 1, 'container.ContainerDistribution': 1 });
    assert.equal((await app.request('GET', href)).status, 200, name);
    const last = await app.finished(await app.request('DELETE', other));
    assert.deepEqual(last.result, {
      'core.Distribution': 1,
      'container.ContainerDistribution': 1,
      'core.Repository': 1,
      'container.ContainerPushRepository': 1,
    });
    assert.equal((await app.request('GET', href)).status, 404);
  });

  it('is for those who may do so by its namespace or distribution', async () => {
    const { href, image, distribution } = await pushedRepository({ isPrivate: true });
    const { namespace } = (await app.request('GET', distribution)).body;
    const users = ['stranger', 'reader', 'owner'].map((word) => unique(word));
    for (const username of users) await app.request('POST', `${API}users/`, { username, password: PASSWORD });
    const [stranger = '', reader = '', owner = ''] = users;
    const give = async (on: string, role: string, user: string) =>
      assert.equal((await app.request('POST', `${on}add_role/`, { role, users: [user] })).status, 201, role);
    await give(distribution, 'container.containerdistribution_consumer', reader);
    await give(distribution, 'container.containerdistribution_consumer', owner);
    await give(namespace, 'container.containernamespace_owner', owner);
    const status = async (user: string, method: string, path: string, body?: unknown) =>
      (await app.request(method, path, body, { user: `${user}:${PASSWORD}` })).status;
    const tag = (user: string) => status(user, 'POST', `${href}tag/`, { tag: 'mine', digest: image.digest });
    assert.deepEqual(
      [await status(stranger, 'GET', href), await status(reader, 'GET', href), await status(owner, 'GET', href)],
      [404, 200, 200],
    );
    assert.deepEqual([await tag(stranger), await tag(reader), await tag(owner)], [404, 403, 202]);
    const change = (user: string) => status(user, 'PATCH', href, { description: user });
    assert.deepEqual([await change(stranger), await change(reader), await change(owner)], [404, 403, 202]);
    for (const user of [reader, owner]) {
      assert.equal(await status(user, 'GET', `${href}my_permissions/`), 403);
      assert.equal(await status(user, 'DELETE', `${href}versions/0/`), 403);
      assert.equal(await status(user, 'GET', `${href}versions/`), 200);
    }
    const lists = async (user: string) =>
      (await app.request('GET', PUSHED, undefined, { user: `${user}:${PASSWORD}` })).body.count;
    assert.deepEqual([await lists(stranger), await lists(reader), await lists(owner)], [0, 1, 1]);
  });
});
