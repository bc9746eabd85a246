import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { v7 } from 'uuid';
import { ContentUrls } from '../../src/core/content-guards/content-url.ts';
import { sql } from '../../src/db/sql.ts';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { ADMIN, basicHeader, type RegistryServer, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const LAYER = layerOf({ 'etc/motd': 'one' });
const IMAGE = imageOf({ layers: [LAYER] });
const BLOB = `blobs/${LAYER.digest}`;
const PATHS = ['manifests/latest', `manifests/${IMAGE.digest}`, BLOB, 'tags/list', `referrers/${IMAGE.digest}`];
const KEY = { 'x-key': Buffer.from('open').toString('base64') };

let world: RegistryWorld;
let repository: string;
before(async () => {
  world = await startRegistryWorld();
  repository = await world.repository('app');
  await world.publish(repository, { latest: IMAGE });
});
after(() => world?.stop());

async function guard(kind: string, members: readonly string[] = []): Promise<string> {
  const id = v7();
  const { db, domain } = world.services;
  await db.execute(sql`
    insert into content_guard (id, domain_id, pulp_type, name, pulp_last_updated)
    values (${id}::uuid, ${domain.id}::uuid, ${`core.${kind}`}, ${id}, now())`);
  if (kind === 'header')
    await db.execute(sql`insert into header_content_guard (id, header_name, header_value) values (${id}::uuid, 'x-key', 'open')`);
  for (const [position, member] of members.entries())
    await db.execute(sql`
      insert into composite_guard_member (composite_id, guard_id, position) values (${id}::uuid, ${member}::uuid, ${position})`);
  return id;
}

/** Serves the image under the name, to those whom the guard lets pass. */
async function serve(name: string, guardId: string): Promise<string> {
  const id = await world.distribution(name, { repository_id: repository });
  await world.change(
    'deckle_distribution',
    id,
    sql`update distribution set content_guard_id = ${guardId}::uuid where id = ${id}::uuid`,
  );
  return id;
}

async function token(name: string, user?: typeof ADMIN, { origin, host }: RegistryServer = world.server) {
  const response = await fetch(`${origin}/token/?service=${host}&scope=repository:${name}:pull`, {
    headers: user ? { authorization: basicHeader(user) } : {},
  });
  return { authorization: `Bearer ${((await response.json()) as { token: string }).token}` };
}

const pull = (name: string, path: string, headers: Record<string, string>, { origin }: RegistryServer = world.server) =>
  fetch(`${origin}/v2/${name}/${path}`, { headers });

async function assertDenied(response: Response, message: string): Promise<void> {
  assert.equal(response.status, 403);
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] };
  assert.deepEqual(
    errors.map(({ code, message: words }) => [code, words]),
    [['DENIED', message]],
  );
}

it('a guard that asks for a header is asked for everything that is pulled', async () => {
  await serve('headed', await guard('header'));
  const bearer = await token('headed');
  for (const path of [...PATHS, 'manifests/nope', `blobs/sha256:${'0'.repeat(64)}`]) {
    await assertDenied(await pull('headed', path, bearer), 'Access denied.');
  }
  for (const path of PATHS) assert.equal((await pull('headed', path, { ...bearer, ...KEY })).status, 200, path);
  assert.equal((await pull('headed', 'manifests/nope', { ...bearer, ...KEY })).status, 404);
  // What is in memory by now is guarded as well.
  for (const path of PATHS) await assertDenied(await pull('headed', path, bearer), 'Access denied.');
});

it('a guard that asks for users knows who a token is of', async () => {
  await serve('for-users', await guard('rbac'));
  for (const path of PATHS) {
    await assertDenied(await pull('for-users', path, await token('for-users')), 'Authentication credentials were not provided.');
    const reader = await token('for-users', { username: 'reader', password: 'reading' });
    await assertDenied(await pull('for-users', path, reader), 'You do not have permission to perform this action.');
    assert.equal((await pull('for-users', path, await token('for-users', ADMIN))).status, 200, path);
  }
});

it('the guard that stands for pulling lets all pass who may pull, past the framework', async () => {
  await serve('redirected', await guard('content_redirect'));
  const bearer = await token('redirected');
  await pull('redirected', 'manifests/latest', bearer);
  const fast = world.server.fast();
  assert.equal((await pull('redirected', 'manifests/latest', bearer)).status, 200);
  assert.equal(world.server.fast(), fast + 1);
});

it('a composite guard lets those pass who may pull, where that is one of its guards', async () => {
  const header = await guard('header');
  await serve('either', await guard('composite', [header, await guard('content_redirect')]));
  await serve('neither', await guard('composite', [header]));
  assert.equal((await pull('either', BLOB, await token('either'))).status, 200);
  assert.equal((await pull('neither', BLOB, await token('neither'))).status, 403);
  assert.equal((await pull('neither', BLOB, { ...(await token('neither')), ...KEY })).status, 200);
});

it('blobs of the content app are for those whom the guard lets pass', async () => {
  const urls = await ContentUrls.load(world.services);
  const get = async (url: string, headers: Record<string, string> = {}) => {
    const response = await fetch(url, { headers });
    return [response.status, response.status === 200 ? '' : await response.text()];
  };
  const path = (name: string): string => `/pulp/container/${name}/${BLOB}`;
  await serve('headed-blobs', await guard('header'));
  const url = `${world.server.origin}${path('headed-blobs')}`;
  assert.deepEqual(await get(url), [403, '403: Access denied.']);
  assert.deepEqual(await get(urls.sign(path('headed-blobs'))), [403, '403: Access denied.']);
  assert.deepEqual(await get(url, KEY), [200, '']);
  await serve('user-blobs', await guard('rbac'));
  assert.deepEqual(await get(`${world.server.origin}${path('user-blobs')}`, { authorization: basicHeader(ADMIN) }), [200, '']);
  await serve('signed-blobs', await guard('content_redirect'));
  assert.deepEqual(await get(urls.sign(path('signed-blobs'))), [200, '']);
  assert.deepEqual(await get(`${world.server.origin}${path('signed-blobs')}`), [403, '403: Access not authenticated']);
  assert.deepEqual(await get(`${world.server.origin}${path('not-there')}`), [403, '403: Access not authenticated']);
});

it('a guard that is put before a distribution counts on every server', async () => {
  const second = await world.join();
  const id = await world.distribution('turned', { repository_id: repository });
  const servers = [world.server, second];
  for (const server of servers) {
    const bearer = await token('turned', undefined, server);
    for (const _ of [1, 2]) assert.equal((await pull('turned', 'manifests/latest', bearer, server)).status, 200);
  }
  const header = await guard('header');
  await world.change(
    'deckle_distribution',
    id,
    sql`update distribution set content_guard_id = ${header}::uuid where id = ${id}::uuid`,
  );
  for (const server of servers) {
    const bearer = await token('turned', undefined, server);
    await eventually(
      'the guard to be asked',
      async () => (await pull('turned', 'manifests/latest', bearer, server)).status === 403,
    );
    assert.equal((await pull('turned', 'manifests/latest', { ...bearer, ...KEY }, server)).status, 200);
  }
  await world.services.db.execute(sql`update header_content_guard set header_value = 'shut' where id = ${header}::uuid`);
  for (const server of servers) {
    const bearer = { ...(await token('turned', undefined, server)), ...KEY };
    assert.equal((await pull('turned', 'manifests/latest', bearer, server)).status, 403);
  }
});
