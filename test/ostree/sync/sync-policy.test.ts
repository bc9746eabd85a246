import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { missing } from '../../support/missing.ts';
import { OstreeClient } from '../serve/ostree-client.ts';
import { change, type SyncWorld, startSyncWorld } from './sync-world.ts';

const skip = missing('ostree');
let world: SyncWorld;
before(async () => {
  if (!skip) world = await startSyncWorld();
});
after(() => world?.stop());

test('on demand, files are only noted; with another policy they are fetched', { skip }, async () => {
  const { upstream } = await world.upstream('small');
  const remote = await world.remote(upstream.url, { policy: 'on_demand' });
  const repository = await world.repository();
  const task = await world.sync(repository, remote);
  assert.deepEqual(change(task, 'present'), { commit: 2, config: 1, object: 12, refs: 2, summary: 1 });
  assert.deepEqual(
    upstream.paths.filter((path) => path.endsWith('.filez')),
    [],
  );
  const objects = await world.units('objects', task.created_resources[0]);
  for (const { typ, artifact } of objects) assert.equal(artifact === null, typ === 1);

  upstream.requests.reset();
  const immediate = await world.remote(upstream.url);
  const second = await world.sync(repository, immediate);
  assert.deepEqual(second.result, { base_version: null });
  const files = objects.filter(({ typ }) => typ === 1).length;
  assert.equal(upstream.paths.filter((path) => path.endsWith('.filez')).length, files);
  assert.ok((await world.units('objects', task.created_resources[0])).every(({ artifact }) => artifact !== null));
});

test('what is on demand is pulled through by the real client', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('edge');
  const repository = await world.repository();
  const task = await world.sync(repository, await world.remote(upstream.url, { policy: 'on_demand' }));
  assert.equal(task.state, 'completed', task.error?.description);
  const client = await OstreeClient.make(join(world.folder, 'on-demand'), await world.distribute(repository));
  await client.pull('--mirror', 'deckle');
  await client.fsck();
  for (const [ref, commit] of fixture.refs) assert.equal(await client.commitOf(ref), commit);
});
