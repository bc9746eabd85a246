import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { API, type Operation, openWorld, type World } from './world.ts';

/** Who has no login may ask for no more than this (spec: core, schema and status). */
const OPEN = new Set(['docs_api.json_get', 'docs_api.yaml_get', 'livez_read', 'readyz_read', 'status_read', 'token_get']);
/** What everybody who is logged in may do, whatever his roles: what is his own. */
const OWN = new Set(['api_tokens_create', 'login', 'login_read', 'login_update', 'logout', 'tasks_purge']);
const SAFE = 'GET';

let world: World;
let operations: readonly Operation[];
before(async () => {
  world = await openWorld(['nobody', 'viewer', 'other']);
  operations = world.operations.filter(({ id }) => !OPEN.has(id));
});
after(() => world?.app.stop());

const isMember = ({ template }: Operation): boolean => template.includes('{');
const isList = (operation: Operation): boolean => operation.method === SAFE && !isMember(operation) && !OWN.has(operation.id);

/** What answered otherwise than expected, for a message that says all of it. */
async function wrong(
  asked: readonly Operation[],
  ask: (operation: Operation) => Promise<{ readonly status: number; readonly body: { count?: number } | null }>,
  expected: (status: number, body: { count?: number } | null) => boolean,
): Promise<string[]> {
  const found: string[] = [];
  for (const operation of asked) {
    const { status, body } = await ask(operation);
    if (!expected(status, body)) found.push(`${operation.id}: ${status} ${JSON.stringify(body)?.slice(0, 200)}`);
  }
  return found;
}

/** Everything that the administrator has is still there, as it was. */
async function untouched(): Promise<void> {
  for (const href of world.fixtures.values()) assert.equal((await world.app.request('GET', href)).status, 200, href);
}

describe('every operation', () => {
  it('has something to be tried on', () => {
    const without = [...new Set(operations.filter(isMember).map(({ collection }) => collection))].filter(
      (collection) => !world.fixtures.has(collection) && !collection.startsWith(`${API}content/`),
    );
    assert.deepEqual(without.sort(), [`${API}signing-services/`, `${API}task-groups/`]);
  });

  it('is refused to those who are not logged in', async () => {
    const ask = ({ method, path }: Operation) =>
      world.app.request(method, path, method === SAFE ? undefined : {}, { user: null });
    assert.deepEqual(await wrong(operations, ask, (status) => status === 401), []);
  });

  it('shows a user without roles nothing of others, and lets him do nothing to it', async () => {
    const ask = ({ method, path }: Operation) => world.as('nobody')(method, path, method === SAFE ? undefined : {});
    const lists = operations.filter(isList);
    assert.deepEqual(await wrong(lists, ask, (status, body) => status === 403 || (status === 200 && body?.count === 0)), []);
    const others = operations.filter((operation) => !isList(operation) && !OWN.has(operation.id));
    assert.deepEqual(await wrong(others, ask, (status) => status === 403 || status === 404), []);
    await untouched();
  });

  it('is answered for what may not be seen as for what is not there', async () => {
    const ask = world.as('nobody');
    for (const operation of operations.filter(isMember)) {
      const member = world.fixtures.get(operation.collection);
      if (!member) continue;
      const absent = /\/\d+\/$/.test(member) ? `${operation.collection}99999/` : `${operation.collection}${randomUUID()}/`;
      const body = operation.method === SAFE ? undefined : {};
      const there = await ask(operation.method, operation.path, body);
      const gone = await ask(operation.method, operation.path.replace(member, absent), body);
      assert.deepEqual([operation.id, there.status, there.body], [operation.id, gone.status, gone.body]);
    }
  });

  it('lets a viewer see the one object, and change nothing', async () => {
    const { app } = world;
    const roles = (await app.request('GET', `${API}roles/?limit=1000`)).body.results as { name: string }[];
    const seen: string[] = [];
    for (const [collection, href] of world.fixtures) {
      const named = await app.request('GET', `${API}roles/?for_object_type=${href}&fields=name`);
      const names = (named.status === 200 ? named.body.results : roles.slice(0, 0)) as { name: string }[];
      const role = names.find(({ name }) => /_(viewer|consumer)$/.test(name))?.name;
      if (
        role === undefined ||
        !operations.some((one) => one.template.startsWith(`${collection}{`) && one.template.endsWith('add_role/'))
      )
        continue;
      assert.equal((await app.request('POST', `${href}add_role/`, { role, users: ['viewer'] })).status, 201, `${href} ${role}`);
      seen.push(collection);
    }
    assert.ok(seen.length >= 14, `roles of ${seen.length} kinds were tried`);
    const ask = ({ method, path }: Operation) => world.as('viewer')(method, path, method === SAFE ? undefined : {});
    const ofSeen = operations.filter((one) => seen.includes(one.collection));
    const lists = ofSeen.filter((one) => isList(one) && one.path === one.collection);
    assert.deepEqual(await wrong(lists, ask, (status, body) => status === 200 && body?.count === 1), []);
    const reads = ofSeen.filter((one) => one.method === SAFE && isMember(one));
    const refused = reads.filter(({ path }) => path.endsWith('/list_roles/'));
    const forOwners = (one: Operation) =>
      refused.includes(one) || one.path.endsWith('/profile_artifacts/') || one.template.includes('}/roles/');
    assert.deepEqual(
      await wrong(
        reads.filter((one) => !forOwners(one)),
        ask,
        (status) => status === 200,
      ),
      [],
    );
    assert.deepEqual(await wrong(reads.filter(forOwners), ask, (status) => status === 403), []);
    const changes = ofSeen.filter((one) => one.method !== SAFE && isMember(one));
    assert.deepEqual(await wrong(changes, ask, (status) => status === 403), []);
    await untouched();
  });
});

describe('the owner of something else', () => {
  const references: [what: string, method: string, path: () => string, body: (href: string) => unknown, of: string][] = [];
  let own: Record<'remote' | 'images' | 'trees' | 'composite', string>;

  before(async () => {
    const admin = world.app;
    for (const role of [
      'container.containerremote_creator',
      'container.containerrepository_creator',
      'container.containernamespace_creator',
      'ostree.ostreerepository_creator',
      'ostree.ostreedistribution_creator',
      'core.compositecontentguard_creator',
      'core.upload_creator',
    ]) {
      const users = (await admin.request('GET', `${API}users/?username=other`)).body.results as { pulp_href: string }[];
      const given = await admin.request('POST', `${users[0]?.pulp_href}roles/`, { role, content_object: null });
      assert.equal(given.status, 201, JSON.stringify(given.body));
    }
    const make = async (path: string, body: unknown): Promise<string> => {
      const answer = await world.as('other')('POST', `${API}${path}`, body);
      assert.equal(answer.status, 201, `${path} ${JSON.stringify(answer.body)}`);
      return answer.body.pulp_href;
    };
    own = {
      remote: await make('remotes/container/container/', {
        name: 'own remote',
        url: 'http://127.0.0.1:9/',
        upstream_name: 'own',
      }),
      images: await make('repositories/container/container/', { name: 'own images' }),
      trees: await make('repositories/ostree/ostree/', { name: 'own trees' }),
      composite: await make('contentguards/core/composite/', { name: 'own guard' }),
    };
    references.push(
      ['remote of a repository', 'PATCH', () => own.images, (remote) => ({ remote }), 'remotes/container/container/'],
      ['remote of a sync', 'POST', () => `${own.images}sync/`, (remote) => ({ remote }), 'remotes/container/container/'],
      ['remote of an OSTree sync', 'POST', () => `${own.trees}sync/`, (remote) => ({ remote }), 'remotes/ostree/ostree/'],
      [
        'repository of a distribution',
        'POST',
        () => `${API}distributions/ostree/ostree/`,
        (repository) => ({ name: 'x', base_path: 'other', repository }),
        'repositories/ostree/ostree/',
      ],
      [
        'guard of a distribution',
        'POST',
        () => `${API}distributions/ostree/ostree/`,
        (guard) => ({ name: 'x', base_path: 'other', content_guard: guard }),
        'contentguards/core/header/',
      ],
      [
        'guard of a composite guard',
        'PATCH',
        () => own.composite,
        (guard) => ({ guards: [guard] }),
        'contentguards/core/header/',
      ],
      [
        'repository to copy images from',
        'POST',
        () => `${own.images}copy_tags/`,
        (repository) => ({ source_repository: repository }),
        'repositories/container/container/',
      ],
      [
        'version to copy images from',
        'POST',
        () => `${own.images}copy_manifests/`,
        (repository) => ({ source_repository_version: `${repository}versions/0/` }),
        'repositories/container/container/',
      ],
      [
        'content to add',
        'POST',
        () => `${own.trees}modify/`,
        (unit) => ({ add_content_units: [unit] }),
        'content/ostree/content/',
      ],
      [
        'artifact to import',
        'POST',
        () => `${own.trees}import_all/`,
        (artifact) => ({ artifact, repository_name: 'repo' }),
        'artifacts/',
      ],
      [
        'artifact of content',
        'POST',
        () => `${API}content/ostree/content/`,
        (artifact) => ({ artifact, relative_path: 'a/b', digest: 'x', repository: own.trees }),
        'artifacts/',
      ],
    );
  });

  it('sees what is his own in every list, and nothing else', async () => {
    for (const [collection, href] of [
      ['remotes/container/container/', own.remote],
      ['repositories/container/container/', own.images],
      ['repositories/ostree/ostree/', own.trees],
      ['contentguards/', own.composite],
      ['remotes/', own.remote],
    ] as const) {
      const { body } = await world.as('other')('GET', `${API}${collection}`);
      assert.deepEqual([collection, (body.results as { pulp_href: string }[]).map((row) => row.pulp_href)], [collection, [href]]);
    }
    const both = await world.as('other')('GET', `${API}repositories/`);
    assert.equal(both.body.count, 2);
    const versions = await world.as('other')('GET', `${API}repository_versions/`);
    assert.equal(versions.body.count, 2);
  });

  it('cannot do anything to what is of others', async () => {
    const ask = ({ method, path }: Operation) => world.as('other')(method, path, method === SAFE ? undefined : {});
    const members = operations.filter((operation) => isMember(operation) && world.fixtures.has(operation.collection));
    assert.deepEqual(await wrong(members, ask, (status) => status === 403 || status === 404), []);
    await untouched();
  });

  it('cannot name what is of others in a body: it is as if it were not there', async () => {
    for (const [what, method, path, body, collection] of references) {
      const href = world.fixtures.get(`${API}${collection}`) as string;
      const id = href.split('/').at(-2) as string;
      const absent = randomUUID();
      const there = await world.as('other')(method, path(), body(href));
      const gone = await world.as('other')(method, path(), body(href.replace(id, absent)));
      assert.equal(there.status, 400, `${what}: ${JSON.stringify(there.body)}`);
      assert.deepEqual(JSON.parse(JSON.stringify(there.body).replaceAll(id, absent)), gone.body, what);
    }
  });

  it('cannot look at content by way of versions that he does not see', async () => {
    const trees = world.fixtures.get(`${API}repositories/ostree/ostree/`) as string;
    for (const version of [trees, `${trees}versions/1/`]) {
      const { status, body } = await world.as('other')('GET', `${API}content/ostree/content/?repository_version=${version}`);
      assert.deepEqual([status, Array.isArray(body)], [400, true], 'as for a version that is not there');
    }
  });
});
