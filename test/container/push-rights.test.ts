import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { simpleImage } from '../support/images.ts';
import { assertRefused, digestOf, type RegistryUser } from './push-rig.ts';
import { type PushWorld, startPushWorld } from './push-world.ts';

const IMAGE = simpleImage('rights');

let world: PushWorld;
before(async () => {
  world = await startPushWorld();
});
afterEach(() => assert.deepEqual(world.app.faults(), []));
after(() => world?.stop());

let made = 0;
/** A user, and names that nobody has. */
async function newcomer(): Promise<{ name: string; user: RegistryUser; other: string }> {
  made += 1;
  const name = `user${made}`;
  return { name, user: await world.user(name), other: `foreign${made}/app` };
}

const refused = async (user: RegistryUser, name: string): Promise<void> => {
  for (const path of ['blobs/uploads/', `blobs/uploads/?digest=${digestOf(randomBytes(16))}`])
    await assertRefused(await user.ask('POST', name, path), 401, 'UNAUTHORIZED', name);
};
const href = async (kind: 'repositories' | 'distributions' | 'namespaces', name: string): Promise<string> => {
  const found = await world.find(kind, name);
  assert.ok(found, `${kind} ${name}`);
  return found;
};
const rolesOf = async (object: string): Promise<object> => (await world.app.request('GET', `${object}list_roles/`)).body.roles;

describe('a user without roles', () => {
  it('pushes into the namespace of his name, and owns what that makes', async () => {
    const { name, user, other } = await newcomer();
    await refused(user, other);
    assert.equal(await world.find('namespaces', other.split('/')[0] as string), undefined);
    await user.image(`${name}/app`, 'latest', IMAGE);
    await user.image(`${name}/more/app`, 'latest', IMAGE);
    for (const [kind, object, role] of [
      ['namespaces', name, 'container.containernamespace_owner'],
      ['distributions', `${name}/app`, 'container.containerdistribution_owner'],
      ['repositories', `${name}/app`, 'container.containerrepository_owner'],
    ] as const)
      assert.deepEqual(await rolesOf(await href(kind, object)), [{ role, users: [name], groups: [] }], kind);
  });

  it('has no right in a namespace that somebody else has made under his name', async () => {
    const { name, user } = await newcomer();
    await world.admin.image(`${name}/app`, 'latest', IMAGE);
    await refused(user, `${name}/app`);
    await refused(user, `${name}/another`);
  });

  it('pushes to nothing of others, and takes nothing away', async () => {
    const { user, other } = await newcomer();
    await world.admin.image(other, 'latest', IMAGE);
    await refused(user, other);
    for (const [method, path] of [
      ['PUT', 'manifests/latest'],
      ['DELETE', 'manifests/latest'],
      ['DELETE', `manifests/${IMAGE.digest}`],
      ['DELETE', `blobs/${IMAGE.blobs[0]?.digest}`],
    ] as const)
      await assertRefused(await user.ask(method, other, path, method === 'PUT' ? { body: 'x' } : {}), 401, 'UNAUTHORIZED');
    assert.equal((await user.ask('GET', other, 'manifests/latest')).status, 200);
  });
});

describe('a role', () => {
  /** What each gives on what is there, and on another name in its namespace. */
  const rows: readonly [
    role: string,
    on: 'namespaces' | 'distributions' | 'repositories' | undefined,
    there: boolean,
    beside: boolean,
  ][] = [
    ['container.containernamespace_owner', 'namespaces', true, true],
    ['container.containernamespace_collaborator', 'namespaces', true, true],
    ['container.containernamespace_consumer', 'namespaces', false, false],
    ['container.containerdistribution_owner', 'distributions', true, false],
    ['container.containerdistribution_collaborator', 'distributions', true, false],
    ['container.containerdistribution_consumer', 'distributions', false, false],
    ['container.containerrepository_owner', 'repositories', false, false],
    ['container.containerrepository_content_manager', 'repositories', false, false],
    ['container.containerdistribution_collaborator', undefined, true, false],
    ['container.containerdistribution_consumer', undefined, false, false],
  ];
  for (const [role, on, there, beside] of rows) {
    it(`${role} on ${on ?? 'all'}: ${there ? 'pushes' : 'pushes nothing'}${beside ? ', to new names too' : ''}`, async () => {
      const { name: username, user, other } = await newcomer();
      const fresh = other.replace('/app', '/fresh');
      await world.admin.image(other, 'latest', IMAGE);
      const name = on === 'namespaces' ? (other.split('/')[0] as string) : other;
      await world.grant(username, role, on && (await href(on, name)));
      if (there) await user.image(other, 'pushed', IMAGE);
      else await refused(user, other);
      if (beside) await user.image(fresh, 'latest', IMAGE);
      else await refused(user, fresh);
      await refused(user, `${other.split('/')[0]}-elsewhere/app`);
    });
  }

  it('container.containernamespace_creator makes namespaces by pushing', async () => {
    const { name, user, other } = await newcomer();
    await world.grant(name, 'container.containernamespace_creator');
    await user.image(other, 'latest', IMAGE);
    await user.image(other.replace('/app', '/more'), 'latest', IMAGE);
    assert.deepEqual(await rolesOf(await href('namespaces', other.split('/')[0] as string)), [
      { role: 'container.containernamespace_owner', users: [name], groups: [] },
    ]);
  });

  it('that is taken away counts no more, whatever the token says, in the middle of a push', async () => {
    const { name: username, user, other } = await newcomer();
    await world.admin.image(other, 'latest', IMAGE);
    const distribution = await href('distributions', other);
    const role = 'container.containerdistribution_collaborator';
    await world.grant(username, role, distribution);
    const bytes = randomBytes(100);
    const location = await user.begin(other);
    assert.equal((await user.ask('PATCH', other, location, { body: bytes })).status, 202);
    await world.revoke(username, role, distribution);
    await refused(user, other);
    for (const [method, path, body] of [
      ['GET', location, undefined],
      ['PATCH', location, 'x'],
      ['PUT', `${location}?digest=${digestOf(bytes)}`, undefined],
      ['PUT', 'manifests/latest', IMAGE.bytes],
      ['DELETE', 'manifests/latest', undefined],
      ['DELETE', location, undefined],
    ] as const)
      await assertRefused(await user.ask(method, other, path, body ? { body: body as never } : {}), 401, 'UNAUTHORIZED', method);
    await world.grant(username, role, distribution);
    assert.equal((await user.ask('PUT', other, `${location}?digest=${digestOf(bytes)}`)).status, 201);
  });

  it('on a repository that nothing serves lets push to its name, in a namespace where one may', async () => {
    const { name: username, user } = await newcomer();
    const names = [`${username}/mine`, `${username}/not-mine`];
    for (const name of names) {
      const answer = await world.app.request('POST', '/pulp/api/v3/repositories/container/container/', { name });
      assert.equal(answer.status, 201);
    }
    await world.grant(username, 'container.containerrepository_owner', await href('repositories', names[0] as string));
    await user.image(names[0] as string, 'latest', IMAGE);
    await assertRefused(await user.ask('POST', names[1] as string, 'blobs/uploads/'), 403, 'DENIED');
    assert.equal(await world.find('distributions', names[1] as string), undefined);
  });
});
