import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { missing } from '../../support/missing.ts';
import { change, reports, type SyncWorld, startSyncWorld } from './sync-world.ts';

const skip = missing('ostree');
let world: SyncWorld;
before(async () => {
  if (!skip) world = await startSyncWorld();
});
after(() => world?.stop());

test('a first sync mirrors heads, one request a file, and a second one asks for no object', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small');
  const remote = await world.remote(upstream.url);
  const repository = await world.repository();
  const first = await world.sync(repository, remote);
  assert.deepEqual(change(first, 'added'), { commit: 2, config: 1, object: 12, refs: 2, summary: 1 });
  assert.equal(first.name, 'pulp_ostree.app.tasks.synchronizing.synchronize');
  assert.deepEqual(reports(first), [
    'associating.content completed 18/-',
    'sync.downloading.artifacts completed 14/-',
    'sync.parsing_metadata completed 1/1',
  ]);
  assert.equal(new Set(upstream.paths).size, upstream.paths.length, 'nothing is asked for twice');
  const refs = await world.units('refs', first.created_resources[0]);
  assert.deepEqual(new Map(refs.map((ref) => [ref.name, ref.checksum])), fixture.refs);

  upstream.requests.reset();
  const second = await world.sync(repository, remote);
  assert.deepEqual(second.result, { base_version: null });
  assert.deepEqual(second.created_resources, []);
  assert.deepEqual(upstream.paths, ['config', 'summary', 'summary.sig']);
});
