import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../../src/db/sql.ts';
import { startApp, type TestApp } from '../../support/app.ts';

const API = '/pulp/api/v3/';
const PASSWORD = 'Zebra-9981';

let app: TestApp;
/** Hrefs of two repositories of each type. */
let container: readonly string[];
let ostree: readonly string[];

before(async () => {
  app = await startApp();
  const make = async (type: string, name: string): Promise<string> => {
    const made = await app.request('POST', `${API}repositories/${type}/`, { name });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await addContent(made.body.pulp_href);
    return made.body.pulp_href;
  };
  container = [await make('container/container', 'c1'), await make('container/container', 'c2')];
  ostree = [await make('ostree/ostree', 'o1'), await make('ostree/ostree', 'o2')];
});
after(() => app?.stop());

const idOf = (href: string): string => href.split('/').at(-2) as string;

/** One unit, of the repository's plugin, in a version 1. */
async function addContent(repository: string): Promise<void> {
  const { db, domain } = app.services;
  const type = repository.includes('/ostree/') ? 'ostree.config' : 'container.blob';
  const id = randomUUID();
  await db.execute(sql`insert into content (id, domain_id, pulp_type) values (${id}::uuid, ${domain.id}::uuid, ${type})`);
  await db.execute(
    type === 'container.blob'
      ? sql`insert into container_blob (id, domain_id, digest, size) values (${id}::uuid, ${domain.id}::uuid, ${`sha256:${id}`}, 1)`
      : sql`insert into ostree_config (id, domain_id, sha256, relative_path) values (${id}::uuid, ${domain.id}::uuid, ${id}, 'config')`,
  );
  await db.execute(
    sql`insert into repository_content (repository_id, content_id, version_added) values (${idOf(repository)}::uuid, ${id}::uuid, 1)`,
  );
  await db.execute(
    sql`insert into repository_version (id, repository_id, number, present) values (gen_random_uuid(), ${idOf(repository)}::uuid, 1, jsonb_build_object(${type}::text, 1))`,
  );
}

type Role = readonly [role: string, object: string | null];

/** A user with these roles, of his own or by a group. */
async function userWith(roles: readonly Role[], by: 'user' | 'group' = 'user'): Promise<string> {
  const username = `user-${randomUUID()}`;
  const user = await app.request('POST', `${API}users/`, { username, password: PASSWORD });
  assert.equal(user.status, 201, JSON.stringify(user.body));
  let holder = user.body.pulp_href;
  if (by === 'group') {
    holder = (await app.request('POST', `${API}groups/`, { name: username })).body.pulp_href;
    assert.equal((await app.request('POST', `${holder}users/`, { username })).status, 201);
  }
  for (const [role, content_object] of roles) {
    const given = await app.request('POST', `${holder}roles/`, { role, content_object });
    assert.equal(given.status, 201, JSON.stringify(given.body));
  }
  return `${username}:${PASSWORD}`;
}

/** How many rows a user sees; the page is full, so the number is not taken from it. */
const counts = (user: string): Promise<number[]> =>
  Promise.all(
    ['repositories/', 'repository_versions/', 'content/', 'remotes/', 'distributions/', 'contentguards/'].map(async (path) => {
      const whole = await app.request('GET', `${API}${path}`, undefined, { user });
      assert.equal(whole.status, 200, JSON.stringify(whole.body));
      const full = await app.request('GET', `${API}${path}?limit=1`, undefined, { user });
      assert.equal(full.body.count, whole.body.results.length, path);
      assert.equal(whole.body.count, whole.body.results.length, path);
      return whole.body.count;
    }),
  );

const CONTAINER = 'container.containerrepository_viewer';
const OSTREE = 'ostree.ostreerepository_viewer';

describe('lists of all types show', () => {
  it('everything to administrators', async () => {
    // The distribution of artifacts and two guards are there from the start.
    assert.deepEqual(await counts('admin:password'), [4, 8, 4, 0, 1, 2]);
  });

  it('nothing to a user without roles', async () => {
    assert.deepEqual(await counts(await userWith([])), [0, 0, 0, 0, 0, 0]);
  });

  it('everything to one who sees each type entirely', async () => {
    const roles: readonly Role[] = [
      [CONTAINER, null],
      [OSTREE, null],
    ];
    assert.deepEqual(await counts(await userWith(roles)), [4, 8, 4, 0, 0, 0]);
  });

  it('one type entirely and single rows of another', async () => {
    const user = await userWith([
      [CONTAINER, null],
      [OSTREE, ostree[0] as string],
    ]);
    assert.deepEqual(await counts(user), [3, 6, 3, 0, 0, 0]);
    const { body } = await app.request('GET', `${API}repositories/?ordering=name`, undefined, { user });
    assert.deepEqual(
      body.results.map(({ name }: { name: string }) => name),
      ['c1', 'c2', 'o1'],
    );
  });

  it('single rows of both, by roles of a group too', async () => {
    const roles: readonly Role[] = [
      [CONTAINER, container[1] as string],
      [OSTREE, ostree[0] as string],
    ];
    for (const by of ['user', 'group'] as const) assert.deepEqual(await counts(await userWith(roles, by)), [2, 4, 2, 0, 0, 0]);
  });
});
