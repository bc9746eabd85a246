import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { imageOf, indexOf, multiPlatformOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { BOOTC_LABELS, helmChartOf, schema1Of, signedSchema1Of } from '../support/images.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { change, reports, type SyncRig, startSyncRig } from './sync-rig.ts';

let rig: SyncRig;
let upstream: Upstream;
before(async () => {
  rig = await startSyncRig();
  upstream = await startUpstream();
});
after(async () => {
  await rig?.close();
  await upstream?.stop();
});

/** Two layers, one of which all images of the same `shared` have. */
const image = (text: string, shared = 'shared') =>
  imageOf({ layers: [layerOf({ 'etc/shared': shared }), layerOf({ 'etc/own': text })], labels: { text } });

const column = async <T>(statement: ReturnType<typeof sql>): Promise<T[]> =>
  (await rig.services.db.query<{ value: T }>(statement)).map(({ value }) => value);

describe('a sync', () => {
  it('makes a version of all tags with everything below them; without a change, none', async () => {
    const [one, two] = [image('first-1'), image('first-2')];
    upstream.put('first', one, 'one');
    upstream.put('first', two, 'two');
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'first' });
    upstream.requests.reset();

    const task = await rig.sync(repository, remote);
    assert.deepEqual(change(task, 'added'), { blob: 5, manifest: 2, tag: 2 });
    assert.deepEqual(change(task, 'removed'), {});
    assert.deepEqual(await rig.tags(repository), { one: one.digest, two: two.digest });
    const href = `/pulp/api/v3/repositories/container/container/${repository}/versions/1/`;
    assert.deepEqual(task.created_resources, [href]);
    assert.equal(task.result?.pulp_href, href);
    assert.equal(task.result?.base_version, null);
    assert.deepEqual(task.result?.content_summary.added['container.tag'], {
      count: 2,
      href: `/pulp/api/v3/content/container/tags/?repository_version_added=${href}`,
    });
    assert.deepEqual(reports(task), [
      'associating.content completed 9/-',
      'sync.downloading.artifacts completed 5/-',
      'sync.downloading.tag_list completed 1/1',
      'sync.processing.manifest completed 2/2',
    ]);
    assert.deepEqual(upstream.requests.counts(), {
      'GET blob': 5,
      'GET manifest': 2,
      'GET ping': 1,
      'GET referrers': 1,
      'GET tags': 1,
    });

    upstream.requests.reset();
    const again = await rig.sync(repository, remote);
    assert.equal(again.state, 'completed');
    assert.equal(again.result, null);
    assert.deepEqual(again.created_resources, []);
    assert.deepEqual(reports(again), [
      'associating.content completed 0/-',
      'sync.downloading.artifacts completed 0/-',
      'sync.downloading.tag_list completed 1/1',
      'sync.processing.manifest completed 2/2',
    ]);
    assert.deepEqual(upstream.requests.counts(), { 'GET ping': 1, 'GET tags': 1, 'HEAD manifest': 2 });
  });

  it('gets nothing that the server has for a second repository, whatever the remote', async () => {
    for (const n of [1, 2, 3]) upstream.put('again', image(`again-${n}`), `tag-${n}`);
    upstream.put(
      'again',
      multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({ labels: { architecture } })),
      'multi',
    );
    await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'again' }));
    upstream.requests.reset();
    const second = await rig.repository();
    const remote = await rig.remote({ url: `${upstream.url}/`, upstream_name: 'again' });
    const task = await rig.sync(second, remote);
    assert.equal(change(task, 'added').tag, 4);
    assert.equal(change(task, 'added').manifest, 6);
    assert.deepEqual(upstream.requests.counts(), { 'GET ping': 1, 'GET referrers': 1, 'GET tags': 1, 'HEAD manifest': 4 });
    const [sources] = await column<number>(sql`select count(*) as value from remote_content where remote_id = ${remote}::uuid`);
    assert.equal(sources, change(task, 'added').blob);
  });

  it('re-points a moved tag and leaves the old image where it was; mirrors exactly on demand', async () => {
    const [old, moved, gone] = [image('moved-old'), image('moved-new'), image('moved-gone')];
    upstream.put('moved', old, 'latest');
    upstream.put('moved', gone, 'gone');
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'moved' });
    await rig.sync(repository, remote);

    upstream.put('moved', moved, 'latest');
    upstream.removeTag('moved', 'gone');
    const additive = await rig.sync(repository, remote);
    assert.deepEqual(change(additive, 'added'), { blob: 2, manifest: 1, tag: 1 });
    assert.deepEqual(change(additive, 'removed'), { tag: 1 });
    assert.deepEqual(change(additive, 'present'), { blob: 7, manifest: 3, tag: 2 });
    assert.ok(reports(additive).includes('unassociating.content completed 1/-'));
    assert.deepEqual(await rig.tags(repository), { gone: gone.digest, latest: moved.digest });

    const mirror = await rig.sync(repository, remote, { mirror: true });
    assert.deepEqual(change(mirror, 'added'), {});
    assert.deepEqual(change(mirror, 'removed'), { blob: 4, manifest: 2, tag: 1 });
    assert.deepEqual(change(mirror, 'present'), { blob: 3, manifest: 1, tag: 1 });
    assert.ok(reports(mirror).includes('unassociating.content completed 7/-'));
    assert.equal((await rig.sync(repository, remote, { mirror: true })).result, null);
  });

  it('fetches configs on demand, layers when the policy becomes immediate, without a new version', async () => {
    upstream.put('policy', image('policy-1', 'policy'), 'one');
    upstream.put('policy', image('policy-2', 'policy'), 'two');
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'policy', policy: 'on_demand' });
    upstream.requests.reset();
    const first = await rig.sync(repository, remote);
    assert.deepEqual(change(first, 'added'), { blob: 5, manifest: 2, tag: 2 });
    assert.ok(reports(first).includes('sync.downloading.artifacts completed 2/-'));
    assert.equal(upstream.requests.count('GET', 'blob'), 2);

    await rig.services.db.execute(sql`update remote set policy = 'immediate' where id = ${remote}::uuid`);
    const second = await rig.sync(repository, remote);
    assert.equal(second.result, null);
    assert.ok(reports(second).includes('sync.downloading.artifacts completed 3/-'));
    assert.equal(upstream.requests.count('GET', 'blob'), 5);
    assert.equal(upstream.requests.count('GET', 'manifest'), 2);
    const stored = await column<string>(sql`
      select a.file as value from repository_content rc join content c on c.id = rc.content_id join artifact a on a.id = c.artifact_id
      where rc.repository_id = ${repository}::uuid`);
    assert.equal(stored.length, 5);
    for (const key of stored) assert.ok(await rig.services.storage.size(key));
  });

  it('links what is stored whatever the policy', async () => {
    upstream.put('linked', image('linked'), 'one');
    await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'linked' }));
    upstream.put('linked-lazy', image('linked'), 'one');
    const repository = await rig.repository();
    await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name: 'linked-lazy', policy: 'streamed' }));
    const [missing] = await column<number>(sql`
      select count(*) as value from repository_content rc join content c on c.id = rc.content_id
      where rc.repository_id = ${repository}::uuid and c.pulp_type = 'container.blob' and c.artifact_id is null`);
    assert.equal(missing, 0);
  });

  it('follows nested indexes, empty ones, schema 1 and charts', async () => {
    const inner = indexOf({ entries: [{ content: image('nested-inner') }] });
    upstream.put('kinds', indexOf({ entries: [{ content: inner }, { content: image('nested-outer') }] }), 'nested');
    upstream.put('kinds', indexOf({ entries: [], format: 'docker' }), 'empty');
    upstream.put('kinds', schema1Of('kinds', 'schema1'), 'schema1');
    const signed = signedSchema1Of('kinds', 'signed');
    upstream.put('kinds', signed, 'signed');
    upstream.put('kinds', helmChartOf('chart', '1.0.0'), 'chart');
    upstream.put(
      'kinds',
      multiPlatformOf(['linux/amd64', 'linux/arm64'], () => ({ labels: BOOTC_LABELS })),
      'bootable',
    );
    const repository = await rig.repository();
    const task = await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name: 'kinds' }));
    assert.equal(change(task, 'added').tag, 6);
    assert.equal(change(task, 'added').manifest, 11);
    assert.equal((await rig.tags(repository)).signed, signed.digest);
    const rows = await rig.services.db.query<Record<string, unknown>>(sql`
      select t.name, m.type, m.schema_version, m.is_bootable, m.config_blob_id is not null as config, m.compressed_image_size is null as sizeless
      from repository_content rc join container_tag t on t.id = rc.content_id join container_manifest m on m.id = t.tagged_manifest_id
      where rc.repository_id = ${repository}::uuid order by t.name`);
    assert.deepEqual(
      rows.map((row) => [row.name, row.type, row.schema_version, row.is_bootable, row.config, row.sizeless]),
      [
        ['bootable', 'index', 2, true, false, true],
        ['chart', 'helm', 2, false, true, false],
        ['empty', 'index', 2, false, false, true],
        ['nested', 'index', 2, false, false, true],
        ['schema1', 'image', 1, false, false, false],
        ['signed', 'image', 1, false, false, false],
      ],
    );
    const platforms = await rig.services.db.query<Record<string, unknown>>(sql`
      select li.architecture, li.os, m.architecture as own from container_tag t join container_manifest_list_item li on li.list_id = t.tagged_manifest_id
      join container_manifest m on m.id = li.manifest_id
      join repository_content rc on rc.content_id = t.id and rc.repository_id = ${repository}::uuid
      where t.name = 'bootable' order by 1`);
    assert.deepEqual(platforms, [
      { architecture: 'amd64', os: 'linux', own: 'amd64' },
      { architecture: 'arm64', os: 'linux', own: 'arm64' },
    ]);
  });

  it('stores large blobs whole', async () => {
    const layer = largeLayer('large', 3 * 1024 * 1024);
    upstream.put('large', imageOf({ layers: [layer] }), 'large');
    const task = await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'large' }));
    assert.equal(change(task, 'added').blob, 2);
    const [row] = await rig.services.db.query<{ file: string; size: number }>(
      sql`select file, size from artifact where sha256 = ${layer.digest.slice(7)}`,
    );
    assert.equal(row?.size, layer.size);
    assert.equal(await rig.services.storage.size(row?.file ?? ''), layer.size);
  });

  it('opens the secrets of the remote', async (test) => {
    const guarded = await startUpstream({ auth: { scheme: 'bearer', username: 'reader', password: 'p:ss wörd' } });
    test.after(() => guarded.stop());
    guarded.put('app', image('guarded'), 'v1');
    const right = await rig.remote({ url: guarded.url, username: 'reader', password: 'p:ss wörd' });
    assert.equal(change(await rig.sync(await rig.repository(), right), 'added').tag, 1);
    const wrong = await rig.sync(
      await rig.repository(),
      await rig.remote({ url: guarded.url, username: 'reader', password: 'topsecret' }),
    );
    assert.match(wrong.error?.description ?? '', /401/);
    assert.ok(!JSON.stringify(wrong).includes('topsecret'));
  });

  it('works on the same content in two repositories at once', async () => {
    for (let n = 0; n < 120; n += 1) upstream.put('twice', image(`twice-${n}`, `twice-${n % 5}`), `tag-${n}`);
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'twice' });
    const repositories = await Promise.all([1, 2, 3, 4].map(() => rig.repository()));
    const started = await Promise.all(repositories.map((repository) => rig.start(repository, remote)));
    for (const task of await Promise.all(started.map((id) => rig.ended(id)))) {
      assert.deepEqual(change(task, 'present'), { blob: 245, manifest: 120, tag: 120 });
    }
    const [bodiless] = await column<number>(sql`
      select count(*) as value from content c
      where not exists (select from container_blob x where x.id = c.id) and not exists (select from container_manifest x where x.id = c.id)
        and not exists (select from container_tag x where x.id = c.id) and not exists (select from container_signature x where x.id = c.id)`);
    assert.equal(bodiless, 0);
  });
});

describe('progress', () => {
  it('counts every tag of a manifest that has several', async () => {
    const shared = image('two names');
    upstream.put('names', shared, 'one');
    upstream.put('names', shared, 'two');
    upstream.put('names', image('one name'), 'three');
    const task = await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'names' }));
    assert.ok(reports(task).includes('sync.processing.manifest completed 3/3'), reports(task).join('; '));
  });
});

describe('a sync with PULP_ALLOWED_CONTENT_CHECKSUMS', () => {
  it('computes all of them, of small and of large blobs', async () => {
    const its = await startSyncRig({ PULP_ALLOWED_CONTENT_CHECKSUMS: 'sha256,sha512' });
    try {
      const [small, large] = [layerOf({ 'etc/motd': 'checksums' }), largeLayer('checksums', 1024 * 1024)];
      upstream.put('checksums', imageOf({ layers: [small, large] }), 'latest');
      await its.sync(await its.repository(), await its.remote({ url: upstream.url, upstream_name: 'checksums' }));
      const stored = await its.services.db.query<{ sha256: string; sha512: string }>(sql`select sha256, sha512 from artifact`);
      for (const { digest, size, copy } of [small, large]) {
        const bytes = Buffer.alloc(size);
        for (let at = 0; at < size; ) at += copy(at, bytes.subarray(at));
        const row = stored.find(({ sha256 }) => `sha256:${sha256}` === digest);
        assert.equal(row?.sha512, createHash('sha512').update(bytes).digest('hex'));
      }
    } finally {
      await its.close();
    }
  });
});
