import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseSummary } from '../../../src/plugins/ostree/format/summary.ts';
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

const served = async (url: string): Promise<Buffer> => {
  const response = await fetch(url);
  assert.equal(response.status, 200, url);
  return Buffer.from(await response.arrayBuffer());
};

test('signatures are kept: a client that wants them pulls', { skip: skip || missing('gpg') }, async () => {
  const { fixture, upstream } = await world.upstream('signed');
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  const task = await world.sync(repository, remote);
  assert.equal(change(task, 'present').content, 2, 'summary.sig and one commitmeta');
  const url = await world.distribute(repository);
  for (const file of ['summary', 'summary.sig'])
    assert.deepEqual(await served(url + file), await readFile(join(fixture.path, file)));
  const client = await OstreeClient.make(join(world.folder, 'verifying'), url, { publicKey: fixture.publicKey as string });
  await client.pull('--mirror', 'deckle');
  await client.fsck();

  upstream.requests.reset();
  assert.deepEqual((await world.sync(repository, remote)).result, { base_version: null });
  assert.equal(upstream.paths.length, 4, 'three, and one for the signed commit');
});

test('a commit that is signed anew makes a new version', { skip: skip || missing('gpg') }, async () => {
  const { fixture, upstream } = await world.upstream('signed');
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  await world.sync(repository, remote);
  const commit = fixture.refs.get('os/signed') as string;
  const path = `objects/${commit.slice(0, 2)}/${commit.slice(2)}.commitmeta`;
  upstream.fault({ reference: path, fault: { answer: { status: 200, body: Buffer.alloc(0) } } });
  const task = await world.sync(repository, remote);
  assert.deepEqual(change(task, 'added'), { content: 1 });
  assert.deepEqual(change(task, 'removed'), { content: 1 });
  upstream.fault({ reference: path, fault: FAULTS.html });
  assert.match((await world.sync(repository, remote)).error.description, /commitmeta/);
});

test('without a part of its refs, a signed summary is not what is served', { skip: skip || missing('gpg') }, async () => {
  const { fixture, upstream } = await world.upstream('signed');
  await ostree(fixture.path, 'refs', '--create=os/other', 'os/signed');
  await ostree(fixture.path, 'summary', '--update');
  const repository = await world.repository();
  const task = await world.sync(repository, await world.remote(upstream.url, { include_refs: ['os/signed'] }));
  assert.equal(change(task, 'present').content, 1, 'the commitmeta');
  const url = await world.distribute(repository);
  assert.deepEqual(
    parseSummary(await served(`${url}summary`)).refs.map(({ name }) => name),
    ['os/signed'],
  );
  assert.equal((await fetch(`${url}summary.sig`)).status, 404);
});

test('static deltas come along, and their indexes', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('delta');
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  const task = await world.sync(repository, remote);
  assert.equal(task.state, 'completed', task.error?.description);
  const url = await world.distribute(repository);
  const contents = await world.units('content', task.created_resources[0]);
  assert.ok(contents.length >= 5, 'two superblocks, a part each, an index');
  for (const { relative_path } of contents) {
    assert.deepEqual(await served(url + relative_path), await readFile(join(fixture.path, relative_path)), relative_path);
  }
  assert.deepEqual(await served(`${url}summary`), await readFile(join(fixture.path, 'summary')));
  const client = await OstreeClient.make(join(world.folder, 'deltas'), url, { mode: 'bare-user-only' });
  await client.pull('--require-static-deltas', 'deckle', 'os/d');
  await client.fsck();
  upstream.requests.reset();
  assert.deepEqual((await world.sync(repository, remote)).result, { base_version: null });
  assert.deepEqual(upstream.paths, ['config', 'summary', 'summary.sig']);
});

test('static deltas that only an index tells of come along too', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('delta');
  await ostree(fixture.path, 'config', 'set', 'core.no-deltas-in-summary', 'true');
  await ostree(fixture.path, 'summary', '--update');
  upstream.serve(fixture.path);
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  const task = await world.sync(repository, remote);
  assert.ok((change(task, 'present').content as number) >= 5);
  upstream.requests.reset();
  assert.deepEqual((await world.sync(repository, remote, { mirror: true })).result, { base_version: null });
  assert.deepEqual(upstream.paths, ['config', 'summary', 'summary.sig']);
});

test('a superblock or a part of other bytes fails; one that is gone is left out', { skip }, async () => {
  const { upstream } = await world.upstream('delta', { seed: 1 });
  const [repository, remote] = [await world.repository(), await world.remote(upstream.url)];
  const isSuperblock = ({ reference }: { reference: string }) => reference.endsWith('/superblock');
  for (const [when, message] of [
    [isSuperblock, /deltas\/.*\/superblock: its bytes have the checksum/],
    [({ reference }: { reference: string }) => /^deltas\/.*\/0$/.test(reference), /deltas\/.*\/0/],
  ] as const) {
    const fault = upstream.fault({ when, fault: FAULTS.wrongDigest });
    const task = await world.sync(repository, remote);
    assert.match(task.error?.description, message);
    fault.clear();
  }
  upstream.fault({ when: isSuperblock, fault: FAULTS.status(404) });
  const { upstream: other } = await world.upstream('delta', { seed: 2 });
  other.fault({ when: isSuperblock, fault: FAULTS.status(404) });
  const task = await world.sync(await world.repository(), await world.remote(other.url));
  assert.equal(change(task, 'present').content, undefined);
});

test('without a summary, refs are asked for by name', { skip }, async () => {
  const { fixture, upstream } = await world.upstream('small');
  await rm(join(fixture.path, 'summary'));
  const repository = await world.repository();
  const all = await world.sync(repository, await world.remote(upstream.url));
  assert.match(all.error.description, /has no summary .*summary is not found.*include_refs/);
  const absent = await world.sync(repository, await world.remote(upstream.url, { include_refs: ['stable', 'gone'] }));
  assert.match(absent.error.description, /neither a summary nor a ref "gone"/);
  const remote = await world.remote(upstream.url, { include_refs: ['stable'] });
  assert.deepEqual(change(await world.sync(repository, remote), 'present').refs, 1);
  const summary = parseSummary(await served(`${await world.distribute(repository)}summary`));
  assert.deepEqual(
    summary.refs.map(({ name, commit }) => [name, commit]),
    [['stable', fixture.refs.get('stable')]],
  );
  assert.deepEqual((await world.sync(repository, remote)).result, { base_version: null });
});

test('a repository with refs of another collection gets a summary without them', { skip }, async () => {
  const { upstream } = await world.upstream('collection');
  const repository = await world.repository();
  const task = await world.sync(repository, await world.remote(upstream.url));
  assert.equal(change(task, 'present').refs, 2, 'os/main and ostree-metadata');
  const summary = parseSummary(await served(`${await world.distribute(repository)}summary`));
  assert.equal(summary.collectionId, 'org.example.Main');
  assert.equal(summary.collections.size, 0);
  const client = await OstreeClient.make(join(world.folder, 'collection'), await world.distribute(repository));
  await client.pull('--mirror', 'deckle');
});
