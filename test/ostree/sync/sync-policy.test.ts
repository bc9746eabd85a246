import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { FAULTS } from '../../support/upstream-faults.ts';
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

test('a file too large to be held is fetched by one request too', { skip }, async () => {
  const folder = join(world.folder, 'large-file');
  const tree = join(world.folder, 'large-tree');
  await mkdir(tree);
  const content = randomBytes(3_000_000);
  await writeFile(join(tree, 'large'), content);
  await writeFile(join(tree, 'small when packed'), Buffer.alloc(70_000_000, 'a'));
  await ostree(folder, 'init', '--mode=archive');
  await ostree(folder, 'commit', '--branch=os/files', '--canonical-permissions', `--tree=dir=${tree}`);
  await ostree(folder, 'summary', '--update');
  const upstream = await world.serve(folder);
  const files = () => upstream.paths.filter((path) => path.endsWith('.filez'));
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  upstream.fault({ when: ({ reference }) => reference.endsWith('.filez'), fault: FAULTS.wrongDigest, times: 2 });
  assert.match((await world.sync(repository, remote)).error.description, /\.filez: .*, at http/);
  upstream.clearFaults();
  upstream.requests.reset();
  const task = await world.sync(repository, remote);
  assert.equal(task.state, 'completed', task.error?.description);
  assert.equal(new Set(files()).size, 2);
  assert.equal(files().length, 2);
  const client = await OstreeClient.make(join(world.folder, 'large-client'), await world.distribute(repository));
  await client.pull('--mirror', 'deckle');
  await client.fsck();
});

test('stored files that were lost are fetched again by the next sync that meets them', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small');
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  const first = await world.sync(repository, remote);
  const version = first.created_resources[0];
  const dirtrees = (await world.units('objects', version)).filter(({ typ }) => typ === 2);
  const lost = [...(await world.units('commits', version)), ...(await world.units('summaries', version)), ...dirtrees];
  for (const { artifact } of lost) {
    const { body } = await world.app.request('GET', artifact);
    await rm(join(world.app.services.config.DATA_DIR, 'media', body.file));
  }
  const again = await world.sync(repository, remote);
  assert.equal(again.state, 'completed', again.error?.description);
  assert.deepEqual(again.result, { base_version: null });

  // Another repository meets the dirtrees too where its commit is new and its folders are not.
  await ostree(fixture.path, 'commit', '--branch=more', `--tree=ref=${[...fixture.refs.keys()][0]}`, '--subject=the same again');
  await ostree(fixture.path, 'summary', '--update');
  const grown = await world.sync(repository, remote);
  assert.equal(grown.state, 'completed', grown.error?.description);
  const client = await OstreeClient.make(join(world.folder, 'lost'), await world.distribute(repository));
  await client.pull('--mirror', 'deckle');
  await client.fsck();
});
