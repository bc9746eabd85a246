import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { parseSummary } from '../../../src/plugins/ostree/format/summary.ts';
import type { Answer } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { type SyncWorld, startSyncWorld } from '../sync/sync-world.ts';

const run = promisify(execFile);
const skip = missing('ostree');
const API = '/pulp/api/v3/';
type Body = Answer['body'];

let world: SyncWorld;
/** Refs of a history of three commits, `stable`, and of one commit, `rawhide`; each with all commits of its history. */
let stable: Body;
let rawhide: Body;
/** Of `stable`, from its head back. */
let history: Body[];
let mirrored: string;
before(async () => {
  if (skip) return;
  world = await startSyncWorld();
  const { fixture, upstream } = await world.upstream('small');
  await ostree(fixture.path, 'refs', '--create=older', 'stable^');
  await ostree(fixture.path, 'summary', '-u');
  const repository = await world.repository();
  const task = await world.sync(repository, await world.remote(upstream.url, { depth: 5 }));
  [mirrored] = task.created_resources;
  const refs = await world.units('refs', mirrored);
  [stable, rawhide] = ['stable', 'rawhide'].map((name) => refs.find((ref) => ref.name === name));
  history = [await get(stable.commit)];
  for (let commit = history[0]; commit.parent_commit; history.push(commit)) commit = await get(commit.parent_commit);
});
after(() => world?.stop());

const get = async (href: string): Promise<Body> => (await world.app.request('GET', href)).body;

/** A repository that holds what the mirrored version holds. */
async function copy(): Promise<string> {
  const repository = await world.repository();
  await modify(repository, { base_version: mirrored });
  return repository;
}

async function modify(repository: string, body: object): Promise<Body> {
  const task = await world.app.run(`${repository}modify/`, body);
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  return task.created_resources.length === 0 ? undefined : get(task.created_resources[0]);
}

const counts = (version: Body, part: 'added' | 'removed' | 'present'): Record<string, number> =>
  Object.fromEntries(
    Object.entries(version.content_summary[part] as Record<string, { count: number }>).map(([type, { count }]) => [
      type.replace('ostree.', ''),
      count,
    ]),
  );

const names = async (version: Body): Promise<string[]> =>
  (await world.units('refs', version.pulp_href)).map((ref) => ref.name).sort();

/** The refs that the version's summary tells of. */
async function summary(version: Body): Promise<string[]> {
  const [unit] = await world.units('summaries', version.pulp_href);
  const { file } = await get(unit.artifact);
  const bytes = Buffer.concat(await (await world.app.services.storage.read(file)).toArray());
  return parseSummary(bytes)
    .refs.map(({ name }) => name)
    .sort();
}

test('the history is what the fixture has', { skip }, () => {
  assert.deepEqual(
    history.map(({ parent_commit }) => parent_commit === null),
    [false, false, true],
  );
});

test('a ref that goes takes its commit and what only that one needs', { skip }, async () => {
  const repository = await copy();
  const version = await modify(repository, { remove_content_units: [rawhide.pulp_href] });
  const own = new Set<string>((await get(rawhide.commit)).objs);
  for (const commit of history) for (const object of commit.objs) own.delete(object);
  assert.ok(own.size > 0);
  assert.deepEqual(counts(version, 'removed'), { refs: 1, commit: 1, object: own.size, summary: 1 });
  assert.deepEqual(await names(version), ['older', 'stable']);
  assert.deepEqual(await summary(version), ['older', 'stable']);
  const url = await world.distribute(repository);
  const local = `${world.folder}/pulled-without-rawhide`;
  await run('ostree', ['init', '--mode=archive', `--repo=${local}`]);
  await ostree(local, 'remote', 'add', '--no-gpg-verify', 'deckle', url);
  await ostree(local, 'pull', '--mirror', '--depth=-1', 'deckle', 'stable');
  await ostree(local, 'fsck');
});

test('a commit stays where the history of another ref leads through it', { skip }, async () => {
  const repository = await copy();
  const older = (await world.units('refs', `${repository}versions/1/`)).find((ref) => ref.name === 'older');
  const version = await modify(repository, { remove_content_units: [older?.pulp_href] });
  assert.deepEqual(counts(version, 'removed'), { refs: 1, summary: 1 });
  assert.deepEqual(await summary(version), ['rawhide', 'stable']);
});

test('a commit that another ref names stays', { skip }, async () => {
  const repository = await copy();
  const version = await modify(repository, { remove_content_units: [stable.pulp_href] });
  const removed = counts(version, 'removed');
  assert.deepEqual([removed.refs, removed.commit], [1, 1], 'the head, which nothing else names');
  assert.deepEqual(await names(version), ['older', 'rawhide']);
  const commits = (await world.units('commits', version.pulp_href)).map(({ checksum }) => checksum);
  assert.ok(commits.includes(history[1].checksum) && commits.includes(history[2].checksum));
});

test('a commit that is removed leaves its ref, of which the summary does not tell', { skip }, async () => {
  const repository = await copy();
  const version = await modify(repository, { remove_content_units: [rawhide.commit] });
  assert.equal(counts(version, 'removed').commit, 1);
  assert.deepEqual(await names(version), ['older', 'rawhide', 'stable']);
  assert.deepEqual(await summary(version), ['older', 'stable']);
});

test('everything can be removed, and something put in its place', { skip }, async () => {
  const repository = await copy();
  const replaced = await modify(repository, { remove_content_units: ['*'], add_content_units: [rawhide.pulp_href] });
  const objects = (await get(rawhide.commit)).objs.length;
  assert.deepEqual(counts(replaced, 'present'), { refs: 1, commit: 1, object: objects, config: 1, summary: 1 });
  assert.deepEqual(await summary(replaced), ['rawhide']);
  const emptied = await modify(repository, { remove_content_units: ['*'] });
  assert.deepEqual(counts(emptied, 'present'), {});
  assert.equal(await modify(repository, { remove_content_units: ['*'] }), undefined);
});

test('a ref takes the place of the one with its name, unless that is not wanted', { skip }, async () => {
  const repository = await world.repository();
  const moved = await world.repository();
  const { fixture, upstream } = await world.upstream('small');
  await ostree(fixture.path, 'reset', 'rawhide', 'stable');
  await ostree(fixture.path, 'summary', '-u');
  const task = await world.sync(moved, await world.remote(upstream.url));
  const other = (await world.units('refs', task.created_resources[0])).find((ref) => ref.name === 'rawhide');
  assert.notEqual(other?.pulp_href, rawhide.pulp_href);
  const first = await modify(repository, { add_content_units: [rawhide.pulp_href] });
  const refused = await world.app.run(`${repository}modify/`, { add_content_units: [other?.pulp_href], overwrite: false });
  assert.equal(refused.state, 'failed');
  const [incoming, existing] = [other?.pulp_href, rawhide.pulp_href].map((href) => href.split('/').at(-2));
  assert.equal(
    refused.error.description,
    "[PLP0023] Content overwrite rejected: new content of type 'ostree.refs' would overwrite 1 existing content unit(s) in the " +
      `repository with the same unique key. Conflicting content (incoming->existing): [${incoming}->${existing}]`,
  );
  const both = { add_content_units: [other?.pulp_href], remove_content_units: [rawhide.pulp_href], overwrite: false };
  assert.deepEqual(await names(await modify(repository, both)), ['rawhide']);
  const rebuilt = await modify(repository, { base_version: first.pulp_href, add_content_units: [other?.pulp_href] });
  assert.equal(rebuilt.base_version, first.pulp_href);
  assert.deepEqual([counts(rebuilt, 'present').refs, counts(rebuilt, 'present').commit], [1, 2]);
  const back = await modify(repository, { base_version: first.pulp_href });
  const [ref] = await world.units('refs', back.pulp_href);
  assert.equal(ref?.checksum, rawhide.checksum);
});

test('refs in a new repository can be pulled, though nobody has given it a config', { skip }, async () => {
  const repository = await world.repository();
  const version = await modify(repository, { add_content_units: [rawhide.pulp_href] });
  const objects = (await get(rawhide.commit)).objs.length;
  assert.deepEqual(counts(version, 'added'), { refs: 1, commit: 1, object: objects, config: 1, summary: 1 });
  const local = `${world.folder}/pulled-rawhide`;
  await run('ostree', ['init', '--mode=archive', `--repo=${local}`]);
  await ostree(local, 'remote', 'add', '--no-gpg-verify', 'deckle', await world.distribute(repository));
  await ostree(local, 'pull', '--mirror', 'deckle');
  await ostree(local, 'fsck');
  const [config] = await world.units('configs', mirrored);
  const other = await modify(repository, { add_content_units: [config.pulp_href] });
  assert.deepEqual([counts(other, 'present').config, counts(other, 'removed').config], [1, 1]);
});

test('a commit comes with its objects, and without its parents', { skip }, async () => {
  const repository = await world.repository();
  const version = await modify(repository, { add_content_units: [history[0].pulp_href] });
  assert.deepEqual(counts(version, 'added'), { commit: 1, object: history[0].objs.length });
});

test('what is nothing but itself is added and removed so', { skip }, async () => {
  const repository = await world.repository();
  const [config] = await world.units('configs', mirrored);
  const added = await modify(repository, { add_content_units: [config.pulp_href, history[0].objs[0]] });
  assert.deepEqual(counts(added, 'present'), { config: 1 });
  assert.deepEqual(counts(await modify(repository, { remove_content_units: [config.pulp_href] }), 'present'), {});
});

test('a version of another kind of repository is no base, and its content is not taken', { skip }, async () => {
  const repository = await world.repository();
  const container = await world.app.request('POST', `${API}repositories/container/container/`, { name: 'other-kind' });
  const based = await world.app.request('POST', `${repository}modify/`, {
    base_version: container.body.latest_version_href,
  });
  assert.equal(based.status, 400);
  assert.deepEqual(Object.keys(based.body), ['base_version']);
});
