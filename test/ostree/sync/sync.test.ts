import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { OstreeClient } from '../serve/ostree-client.ts';
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

test('what another repository has is neither asked for nor stored again', { skip }, async () => {
  const { upstream } = await world.upstream('medium');
  const remote = await world.remote(upstream.url);
  const first = await world.sync(await world.repository(), remote);
  upstream.requests.reset();
  const second = await world.sync(await world.repository(), remote);
  assert.deepEqual(change(second, 'added'), change(first, 'added'));
  assert.deepEqual(
    upstream.paths.filter((path) => path.startsWith('objects/') && !path.endsWith('.commitmeta')),
    [],
  );
});

test('what has changed upstream is fetched, and the old stays or goes', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small');
  const remote = await world.remote(upstream.url);
  const [additive, mirror] = [await world.repository(), await world.repository()];
  for (const repository of [additive, mirror]) await world.sync(repository, remote);
  const tree = join(world.folder, 'changed');
  await ostree(fixture.path, 'checkout', '-U', 'stable', tree);
  await rm(join(tree, 'etc/motd'));
  await writeFile(join(tree, 'etc/motd'), 'four\n');
  await ostree(fixture.path, 'commit', '--branch=stable', '--subject=fourth', '--canonical-permissions', `--tree=dir=${tree}`);
  await ostree(fixture.path, 'refs', '--delete', 'rawhide');
  await ostree(fixture.path, 'summary', '--update');
  upstream.serve(fixture.path);
  upstream.requests.reset();

  const added = await world.sync(additive, remote);
  // A file, two dirtrees, the commit: the other directories are as they were.
  assert.deepEqual(change(added, 'added'), { commit: 1, object: 3, refs: 1, summary: 1 });
  assert.deepEqual(change(added, 'removed'), { refs: 1, summary: 1 });
  assert.equal(upstream.paths.filter((path) => /\.(filez|dirtree|dirmeta|commit)$/.test(path)).length, 4);
  assert.deepEqual((await world.units('refs', added.created_resources[0])).map(({ name }) => name).sort(), ['rawhide', 'stable']);

  const mirrored = await world.sync(mirror, remote, { mirror: true });
  assert.deepEqual(change(mirrored, 'removed'), { commit: 2, object: 6, refs: 2, summary: 1 });
  assert.deepEqual(
    (await world.units('refs', mirrored.created_resources[0])).map(({ name }) => name),
    ['stable'],
  );
  assert.ok(reports(mirrored).some((report) => report.startsWith('unassociating.content completed')));
});

test('depth is so many parents; history ends where the upstream does not have it', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small');
  const commits = async (depth: number) => {
    const remote = await world.remote(upstream.url, { depth, include_refs: ['stable'] });
    const task = await world.sync(await world.repository(), remote);
    return world.units('commits', task.created_resources[0]);
  };
  const head = fixture.refs.get('stable');
  const parent = (await ostree(fixture.path, 'rev-parse', 'stable^')).trim();
  const first = (await ostree(fixture.path, 'rev-parse', 'stable^^')).trim();
  assert.deepEqual(
    (await commits(0)).map(({ checksum }) => checksum),
    [head],
  );
  const two = await commits(1);
  assert.deepEqual(new Set(two.map(({ checksum }) => checksum)), new Set([head, parent]));
  const [top, below] = [head, parent].map((checksum) => two.find((unit) => unit.checksum === checksum));
  assert.equal(top.parent_commit, below.pulp_href);
  assert.deepEqual(new Set((await commits(1_000_000)).map(({ checksum }) => checksum)), new Set([head, parent, first]));

  const edge = await world.upstream('edge');
  const task = await world.sync(await world.repository(), await world.remote(edge.upstream.url, { depth: 5 }));
  // The parent of one of the refs is gone.
  assert.equal(change(task, 'present').commit, 3);
});

test('filters: includes, then excludes; `*` crosses slashes; a summary is made for what is left', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('edge');
  const remote = await world.remote(upstream.url, { include_refs: ['app/*'], exclude_refs: ['*/none'] });
  const repository = await world.repository();
  const task = await world.sync(repository, remote);
  const refs = await world.units('refs', task.created_resources[0]);
  assert.deepEqual(
    refs.map(({ name }) => name),
    ['app/org.example.A/x86_64/stable'],
  );
  const client = await OstreeClient.make(join(world.folder, 'filtered'), await world.distribute(repository));
  await client.pull('--mirror', 'deckle');
  await client.fsck();
  assert.equal(await client.commitOf('app/org.example.A/x86_64/stable'), fixture.refs.get('app/org.example.A/x86_64/stable'));
  const again = await world.sync(repository, remote);
  assert.deepEqual(again.result, { base_version: null }, 'the summary is not made anew where nothing has changed');

  const nothing = await world.remote(upstream.url, { include_refs: ['none'] });
  assert.deepEqual(change(await world.sync(await world.repository(), nothing), 'present'), { config: 1, summary: 1 });
});
