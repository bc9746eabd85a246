import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { type RegistryServer, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const FIRST = imageOf({ layers: [layerOf({ 'etc/motd': 'first' })] });
const SECOND = imageOf({ layers: [layerOf({ 'etc/motd': 'second' })] });

let world: RegistryWorld;
let servers: readonly [RegistryServer, RegistryServer];

before(async () => {
  world = await startRegistryWorld();
  servers = [world.server, await world.join()];
});
after(() => world?.stop());

const tokens = new Map<string, string>();
async function pull(server: RegistryServer, name: string, reference: string): Promise<{ status: number; digest: string | null }> {
  const key = `${server.host} ${name}`;
  if (!tokens.has(key)) {
    const answer = await fetch(`${server.origin}/token/?service=${server.host}&scope=repository:${name}:pull`);
    tokens.set(key, ((await answer.json()) as { token: string }).token);
  }
  const headers = { authorization: `Bearer ${tokens.get(key)}` };
  const response = await fetch(`${server.origin}/v2/${name}/manifests/${reference}`, { headers });
  await response.arrayBuffer();
  return { status: response.status, digest: response.headers.get('docker-content-digest') };
}

it('sees a moved tag, a pinned version, another repository and a removed distribution in every process', async () => {
  const repository = await world.repository('moving');
  const pinned = await world.publish(repository, { latest: FIRST });
  const distribution = await world.distribution('moving', { repository_id: repository });
  await world.distribution('pinned', { repository_version_id: pinned });
  const first = { status: 200, digest: FIRST.digest };
  const second = { status: 200, digest: SECOND.digest };
  const gone = { status: 404, digest: null };
  for (const server of servers) {
    for (const name of ['moving', 'pinned']) for (const _ of [1, 2]) assert.deepEqual(await pull(server, name, 'latest'), first);
  }

  await world.publish(repository, { latest: SECOND });
  for (const server of servers) {
    assert.deepEqual(await pull(server, 'moving', 'latest'), second);
    assert.deepEqual(await pull(server, 'pinned', 'latest'), first);
    assert.deepEqual(await pull(server, 'moving', FIRST.digest), gone);
    assert.deepEqual(await pull(server, 'pinned', SECOND.digest), gone);
  }

  await world.change(
    'deckle_distribution',
    distribution,
    sql`update distribution set repository_id = null, repository_version_id = ${pinned}::uuid where id = ${distribution}::uuid`,
  );
  for (const server of servers) assert.deepEqual(await pull(server, 'moving', 'latest'), first);

  await world.change('deckle_distribution', distribution, sql`delete from distribution where id = ${distribution}::uuid`);
  for (const server of servers) assert.deepEqual(await pull(server, 'moving', 'latest'), gone);
});

it('keeps nothing while it cannot hear of changes, and hears again', async () => {
  const repository = await world.repository('deaf');
  await world.publish(repository, { latest: FIRST });
  await world.distribution('deaf', { repository_id: repository });
  const [server] = servers;
  for (const _ of [1, 2, 3]) assert.equal((await pull(server, 'deaf', 'latest')).digest, FIRST.digest);

  const { db } = world.services;
  const killed = await db.query(sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name like 'deckle listener %'`);
  assert.equal(killed.length, 2);
  await world.publish(repository, { latest: SECOND });
  assert.equal((await pull(server, 'deaf', 'latest')).digest, SECOND.digest);

  // Answered past the framework again: it hears again.
  const before = server.fast();
  await eventually('the fast path is back', async () => {
    assert.equal((await pull(server, 'deaf', 'latest')).digest, SECOND.digest);
    return server.fast() > before;
  });
});
