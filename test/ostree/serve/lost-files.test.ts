import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sql } from '../../../src/db/sql.ts';
import { missing } from '../../support/missing.ts';
import { type SyncWorld, startSyncWorld } from '../sync/sync-world.ts';
import { OstreeClient } from './ostree-client.ts';

const skip = missing('ostree');
let world: SyncWorld;
before(async () => {
  if (!skip) world = await startSyncWorld();
});
after(() => world?.stop());

test('a client does not notice that stored files were lost, while the upstream has them', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small');
  const repository = await world.repository();
  assert.equal((await world.sync(repository, await world.remote(upstream.url))).state, 'completed');
  const url = await world.distribute(repository);
  const { db, storage } = world.app.services;
  const lost = await db.query<{ file: string }>(sql`
    select a.file from artifact a join content c on c.artifact_id = a.id where c.pulp_type in ('ostree.commit', 'ostree.object')`);
  assert.equal(lost.length, 14);
  for (const { file } of lost) await storage.delete(file);

  upstream.requests.reset();
  for (const name of ['first', 'second']) {
    const client = await OstreeClient.make(join(world.folder, name), url);
    await client.pull('--mirror', 'deckle');
    for (const [ref, commit] of fixture.refs) assert.equal(await client.commitOf(ref), commit);
    await client.fsck();
  }
  assert.equal(upstream.paths.length, lost.length);
  assert.equal(new Set(upstream.paths).size, lost.length);
});
