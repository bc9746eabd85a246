import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { deleteVersion } from '../../src/core/repositories/delete-version.ts';
import { dispatch } from '../../src/core/tasks/dispatch.ts';
import { sql } from '../../src/db/sql.ts';
import { type ImageContent, imageOf, indexOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { prnOf } from '../../src/kit/names.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { change, reports, type SyncRig, startSyncRig } from './sync-rig.ts';

let rig: SyncRig;
let upstream: Upstream;
before(async () => {
  rig = await startSyncRig();
  upstream = await startUpstream();
});
afterEach(() => upstream.clearFaults());
after(async () => {
  await rig?.close();
  await upstream?.stop();
});

const image = (text: string): ImageContent => imageOf({ layers: [layerOf({ 'etc/own': text })], labels: { text } });

describe('what a sync asks the upstream for', () => {
  it('is a HEAD for names that are here and a GET for the others, where the upstream is known in part', async () => {
    const tags = ['partly-1', 'partly-2', 'partly-3'];
    for (const tag of tags) upstream.put('partly', image(tag), tag);
    const one = await rig.remote({ url: upstream.url, upstream_name: 'partly', includes: ['partly-1*'] });
    await rig.sync(await rig.repository(), one);
    upstream.requests.reset();
    const repository = await rig.repository();
    const task = await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name: 'partly' }));
    assert.deepEqual(change(task, 'present'), { blob: 6, manifest: 3, tag: 3 });
    assert.deepEqual(upstream.requests.counts(), {
      'GET blob': 4,
      'GET manifest': 2,
      'GET ping': 1,
      'GET referrers': 1,
      'GET tags': 1,
      'HEAD manifest': 1,
    });
  });

  it('is a single GET where another upstream has brought the same', async () => {
    const tags = ['home-1', 'home-2', 'home-3'];
    for (const tag of tags) {
      upstream.put('old-home', image(tag), tag);
      upstream.put('new-home', image(tag), tag);
    }
    await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'old-home' }));
    upstream.requests.reset();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'new-home' });
    const task = await rig.sync(await rig.repository(), remote);
    assert.deepEqual(change(task, 'added'), { blob: 6, manifest: 3, tag: 3 });
    assert.ok(reports(task).includes('sync.processing.manifest completed 3/3'));
    assert.deepEqual(upstream.requests.counts(), {
      'GET manifest': 1,
      'GET ping': 1,
      'GET referrers': 1,
      'GET tags': 1,
      'HEAD manifest': 2,
    });
  });

  it('is no HEAD where another upstream has other images under the same names', async () => {
    const tags = ['common-1', 'common-2', 'common-3'];
    for (const tag of tags) {
      upstream.put('first-owner', image(`first ${tag}`), tag);
      upstream.put('second-owner', image(`second ${tag}`), tag);
    }
    await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'first-owner' }));
    upstream.requests.reset();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'second-owner' });
    const task = await rig.sync(await rig.repository(), remote);
    assert.deepEqual(change(task, 'added'), { blob: 6, manifest: 3, tag: 3 });
    assert.deepEqual(upstream.requests.counts(), {
      'GET blob': 6,
      'GET manifest': 3,
      'GET ping': 1,
      'GET referrers': 1,
      'GET tags': 1,
    });
  });

  it('goes on without the tag that was to decide, where that is not there', async () => {
    const tags = ['absent-1', 'absent-2'];
    for (const tag of tags) upstream.put('has-all', image(tag), tag);
    await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'has-all' }));
    upstream.put('has-one', image('absent-2'), 'absent-2');
    const row = { url: upstream.url, upstream_name: 'has-one', includes: tags };
    const repository = await rig.repository();
    assert.equal((await rig.sync(repository, await rig.remote(row))).state, 'completed');
    assert.deepEqual(Object.keys(await rig.tags(repository)), ['absent-2']);
  });

  it('is nothing for a digest and its children that are here', async () => {
    const index = indexOf({ entries: [{ content: image('pinned-1') }, { content: image('pinned-2') }] });
    upstream.put('pinned', index);
    const row = { url: upstream.url, upstream_name: 'pinned', includes: [index.digest], excludes: ['sha256-*'] };
    const repository = await rig.repository();
    const remote = await rig.remote(row);
    const first = await rig.sync(repository, remote, { mirror: true });
    assert.deepEqual(change(first, 'added'), { blob: 4, manifest: 3 });
    upstream.requests.reset();
    assert.equal((await rig.sync(repository, remote, { mirror: true })).result, null);
    assert.equal(change(await rig.sync(await rig.repository(), remote), 'added').manifest, 3);
    assert.equal(upstream.requests.count('GET', 'manifest') + upstream.requests.count('HEAD', 'manifest'), 0);
    assert.equal(upstream.requests.count('GET', 'blob'), 0);
  });

  it('is asked for once where two syncs of one repository are started together', async () => {
    for (const n of [1, 2, 3]) upstream.put('queued', image(`queued-${n}`), `queued-${n}`);
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'queued' });
    upstream.requests.reset();
    const ids = await Promise.all([rig.start(repository, remote), rig.start(repository, remote)]);
    const ended = await Promise.all(ids.map((id) => rig.ended(id)));
    assert.deepEqual(ended.map((task) => task.result?.number ?? null).sort(), [1, null]);
    assert.equal(upstream.requests.count('GET', 'manifest'), 3);
    assert.deepEqual(upstream.requests.repeatedBlobs(), {});
  });
});

describe('an upstream that says no', () => {
  it('is asked again after Retry-After, and the reports show nothing of it', async () => {
    const content = image('patience');
    upstream.put('patience', content, 'v1');
    const manifest = upstream.fault({ repository: 'patience', kind: 'manifest', times: 1, fault: FAULTS.tooMany(1) });
    const blob = upstream.fault({ repository: 'patience', kind: 'blob', times: 1, fault: FAULTS.status(503) });
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'patience', max_retries: 2 });
    upstream.requests.reset();
    const task = await rig.sync(await rig.repository(), remote);
    assert.deepEqual(change(task, 'added'), { blob: 2, manifest: 1, tag: 1 });
    assert.deepEqual([manifest.hits, blob.hits], [1, 1]);
    const [refused, answered] = upstream.requests.of('GET', 'manifest');
    assert.ok(refused && answered && answered.at - refused.at >= 990);
    assert.ok(reports(task).includes('sync.downloading.artifacts completed 2/-'));
    assert.ok(reports(task).includes('sync.processing.manifest completed 1/1'));
  });

  for (const [status, reason] of [
    [401, 'Unauthorized'],
    [403, 'Forbidden'],
    [404, 'Not Found'],
    [429, 'Too Many Requests'],
    [500, 'Internal Server Error'],
  ] as const) {
    it(`with ${status} for a manifest fails the sync, which names its tag and URL`, async () => {
      upstream.put('refusing', image('refusing'), 'v1');
      upstream.fault({ repository: 'refusing', kind: 'manifest', fault: FAULTS.status(status) });
      const remote = await rig.remote({ url: upstream.url, upstream_name: 'refusing' });
      const task = await rig.sync(await rig.repository(), remote);
      assert.equal(task.state, 'failed');
      assert.match(
        task.error?.description ?? '',
        new RegExp(`^${status}, message='${reason}', url='[^']*/v2/refusing/manifests/v1'.*tag "v1" of refusing`),
      );
      assert.deepEqual(reports(task), [
        'associating.content canceled 0/-',
        'sync.downloading.artifacts canceled 0/-',
        'sync.downloading.tag_list completed 1/1',
        'sync.processing.manifest failed 0/1',
      ]);
    });
  }
});

describe('the versions of many syncs', () => {
  const RETAINED = 3;

  async function numbersOf(repository: string): Promise<number[]> {
    const rows = await rig.services.db.query<{ number: number }>(
      sql`select number from repository_version where repository_id = ${repository}::uuid order by number`,
    );
    return rows.map(({ number }) => number);
  }

  it('cost the same at the hundredth, which still tells what it changed', async () => {
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'moving' });
    upstream.put('moving', image('moving stays'), 'stays');
    for (let number = 1; number <= 100; number += 1) {
      upstream.put('moving', image(`moving ${number}`), 'moves');
      upstream.requests.reset();
      const task = await rig.sync(repository, remote, { mirror: true });
      if (number === 1) continue;
      assert.deepEqual(change(task, 'added'), { blob: 2, manifest: 1, tag: 1 });
      assert.deepEqual(change(task, 'removed'), { blob: 2, manifest: 1, tag: 1 });
      assert.deepEqual(change(task, 'present'), { blob: 4, manifest: 2, tag: 2 });
      assert.equal(task.result?.number, number);
      assert.deepEqual(upstream.requests.counts(), {
        'GET blob': 2,
        'GET manifest': 1,
        'GET ping': 1,
        'GET tags': 1,
        'HEAD manifest': 2,
      });
    }
    assert.equal((await numbersOf(repository)).length, 101);
  });

  it('are squashed by retention and by deletion', async () => {
    const repository = await rig.repository({ retain_repo_versions: RETAINED });
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'squashed' });
    for (let number = 1; number <= 5; number += 1) {
      upstream.put('squashed', image(`squashed ${number}`), 'moves');
      assert.equal((await rig.sync(repository, remote)).result?.number, number);
    }
    assert.deepEqual(await numbersOf(repository), [3, 4, 5]);
    const { id } = await dispatch(
      rig.services,
      deleteVersion,
      { repository_id: repository, number: 4 },
      {
        exclusive: [prnOf('container', 'ContainerRepository', repository)],
        shared: [],
        domain_id: rig.services.domain.id,
        user_id: null,
        correlation_id: 'test',
      },
    );
    assert.equal((await rig.ended(id)).state, 'completed');
    const [latest] = await rig.services.db.query<Record<'added' | 'removed' | 'present', Record<string, number>>>(sql`
      select added, removed, present from repository_version where repository_id = ${repository}::uuid and number = 5`);
    const twoImages = { 'container.blob': 4, 'container.manifest': 2, 'container.tag': 1 };
    assert.deepEqual(latest?.added, twoImages);
    assert.deepEqual(latest?.removed, { 'container.tag': 1 });
    assert.deepEqual(latest?.present, { 'container.blob': 10, 'container.manifest': 5, 'container.tag': 1 });
  });
});
