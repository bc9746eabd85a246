import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { cancelTask } from '../../src/core/tasks/cancel.ts';
import { sql } from '../../src/db/sql.ts';
import { type ImageContent, imageOf, indexOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { crowdedIndex, selfListingIndex } from '../support/images.ts';
import { FAULTS, type FaultRule } from '../support/upstream-faults.ts';
import { closedUrl, startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { change, type EndedSync, reports, type SyncRig, startSyncRig } from './sync-rig.ts';

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

/** Syncs `upstream_name` and checks that it fails, with no version, no temporary file and reports that all are closed. */
async function fails(upstream_name: string, description: RegExp, expected?: readonly string[]): Promise<EndedSync> {
  const repository = await rig.repository();
  const task = await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name, sock_read_timeout: 1 }));
  assert.equal(task.state, 'failed', 'the sync did not fail');
  assert.match(task.error?.description ?? '', description);
  assert.deepEqual(task.created_resources, []);
  const [{ versions } = { versions: 0 }] = await rig.services.db.query<{ versions: number }>(
    sql`select count(*) as versions from repository_version where repository_id = ${repository}::uuid`,
  );
  assert.equal(versions, 1);
  assert.ok(task.progress_reports.every(({ state }) => state !== 'running'));
  assert.deepEqual(await temporaryFiles(), []);
  // How many blobs were there before the failure is a matter of chance.
  const shown = reports(task).map((report) => report.replace(/(artifacts \w+) \d+/, '$1 0'));
  if (expected) assert.deepEqual(shown, expected);
  return task;
}

async function temporaryFiles(): Promise<string[]> {
  const entries = await readdir(join(rig.services.config.DATA_DIR, 'media', 'tmp'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.lock')).map(({ name }) => name);
}

describe('a sync that cannot be done', () => {
  it('names tag, digest, URL and cause of what the upstream does not give', async () => {
    const [good, bad] = [image('absent-good'), image('absent-bad')];
    upstream.put('absent-blob', bad, 'v1');
    upstream.put('absent-blob', good, 'good');
    const layer = bad.blobs[1];
    assert.ok(layer);
    upstream.content.lose('absent-blob', layer.digest);
    await fails('absent-blob', new RegExp(`404, message='Not Found', url='.*${layer.digest}'.*tag "v1"`), [
      'associating.content canceled 0/-',
      'sync.downloading.artifacts failed 0/-',
      'sync.downloading.tag_list completed 1/1',
      'sync.processing.manifest completed 2/2',
    ]);

    const child = image('absent-child');
    upstream.put('absent-child', indexOf({ entries: [{ content: child }] }), 'multi');
    upstream.content.lose('absent-child', child.digest);
    await fails('absent-child', new RegExp(`404.*manifests/${child.digest}.*tag "multi"`), [
      'associating.content canceled 0/-',
      'sync.downloading.artifacts canceled 0/-',
      'sync.downloading.tag_list completed 1/1',
      'sync.processing.manifest failed 1/1',
    ]);
  });

  it('refuses wrong bytes of manifest, child, config and layer', async () => {
    const child = image('wrong-child');
    const index = indexOf({ entries: [{ content: child }] });
    upstream.put('wrong', index, 'v1');
    const large = imageOf({ layers: [largeLayer('wrong', 600_000)] });
    upstream.put('wrong-large', large, 'v1');
    const rules: [string, FaultRule['kind'] & string, string, string][] = [
      ['wrong', 'manifest', 'v1', index.digest],
      ['wrong', 'manifest', child.digest, child.digest],
      ['wrong', 'blob', child.blobs[0]?.digest ?? '', child.blobs[0]?.digest ?? ''],
      ['wrong', 'blob', child.blobs[1]?.digest ?? '', child.blobs[1]?.digest ?? ''],
      ['wrong-large', 'blob', large.blobs[1]?.digest ?? '', large.blobs[1]?.digest ?? ''],
    ];
    for (const [repository, kind, reference, digest] of rules) {
      upstream.fault({ repository, kind, reference, fault: FAULTS.wrongDigest });
      const task = await fails(repository, new RegExp(`^\\[PLP0003\\].*Expected '${digest.slice(7)}'.*tag "v1"`));
      assert.equal(task.error?.error_code, 'PLP0003');
      upstream.clearFaults();
    }
  });

  it('keeps what it has fetched for the next one', async () => {
    const images = [1, 2, 3, 4, 5].map((n) => image(`kept-${n}`));
    images.forEach((each, n) => {
      upstream.put('kept', each, `tag-${n}`);
    });
    const bad = imageOf({ layers: [layerOf({ big: 'kept-bad' })] });
    upstream.put('kept', bad, 'bad');
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'kept', download_concurrency: 1 });
    upstream.fault({
      kind: 'blob',
      reference: bad.blobs[1]?.digest ?? '',
      fault: { deliver: { cutAfter: 20, headersAfter: 50 } },
    });
    const first = await rig.sync(repository, remote);
    assert.equal(first.state, 'failed');
    const fetched = first.progress_reports.find(({ code }) => code === 'sync.downloading.artifacts')?.done ?? 0;
    assert.ok(fetched >= 1);
    upstream.clearFaults();
    upstream.requests.reset();
    const second = await rig.sync(repository, remote);
    assert.deepEqual(change(second, 'added'), { blob: 12, manifest: 6, tag: 6 });
    assert.equal(upstream.requests.count('GET', 'blob'), 12 - fetched);
  });

  it('resumes a blob that was cut off', async () => {
    const large = imageOf({ layers: [largeLayer('resumed', 2_000_000)] });
    upstream.put('resumed', large, 'v1');
    upstream.fault({ kind: 'blob', reference: large.blobs[1]?.digest ?? '', times: 1, fault: FAULTS.cutOff(1_500_000) });
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'resumed', max_retries: 2 });
    const task = await rig.sync(await rig.repository(), remote);
    assert.equal(change(task, 'added').blob, 2);
  });

  for (const [title, rule, description] of [
    ['401', { fault: FAULTS.status(401) }, /401, message='Unauthorized', url='.*tags\/list'/],
    ['403', { fault: FAULTS.status(403) }, /403, message='Forbidden', url='.*tags\/list'/],
    ['404', { fault: FAULTS.status(404) }, /404, message='Not Found', url='.*tags\/list'/],
    ['429', { fault: FAULTS.tooMany(0) }, /429, message='Too Many Requests', url='.*tags\/list'/],
    ['500', { fault: FAULTS.status(500) }, /500, message='Internal Server Error', url='.*tags\/list'/],
    ['HTML', { fault: FAULTS.html }, /tags\/list/],
    ['half a JSON', { fault: FAULTS.garbage }, /tags\/list/],
    ['JSON without end', { fault: FAULTS.deepJson }, /tags\/list/],
    ['pages without end', { fault: FAULTS.endlessPages(true) }, /tags\/list/],
    ['a page elsewhere', { fault: FAULTS.linkTo('http://192.0.2.1/v2/faulty/tags/list?last=a') }, /another host/],
  ] as const) {
    it(`tells of ${title} for the tag list`, async () => {
      upstream.put('faulty', image('faulty'), 'v1');
      upstream.fault({ kind: 'tags', ...rule });
      await fails('faulty', description, [
        'associating.content canceled 0/-',
        'sync.downloading.artifacts canceled 0/-',
        'sync.downloading.tag_list failed 0/1',
      ]);
    });
  }

  it('refuses an index that lists itself, one with too many children, one nested too deep, and a huge manifest', async () => {
    upstream.put('self', selfListingIndex(), 'v1');
    await fails('self', /tag "v1"/);
    upstream.put('crowded', crowdedIndex(), 'v1');
    await fails('crowded', /1001.*at most 1000/);
    let deep = indexOf({ entries: [{ content: image('deep') }] });
    for (let level = 0; level < 3; level += 1) deep = indexOf({ entries: [{ content: deep }] });
    upstream.put('deep', deep, 'v1');
    await fails('deep', /nested more than 3 deep/);
    upstream.put('huge', image('huge'), 'v1');
    upstream.fault({ repository: 'huge', kind: 'manifest', fault: FAULTS.hugeManifest() });
    await fails('huge', /manifests\/v1/);
  });

  it('tells of a tag list that is null as of none, and of a connection that is refused', async () => {
    upstream.fault({ kind: 'tags', fault: FAULTS.nullTags });
    upstream.put('null', image('null'), 'v1');
    const task = await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: 'null' }));
    assert.equal(task.state, 'completed');
    assert.equal(task.result, null);
    const refused = await rig.sync(await rig.repository(), await rig.remote({ url: await closedUrl() }));
    assert.match(refused.error?.description ?? '', /^Cannot connect to host 127\.0\.0\.1:\d+/);
    assert.ok(!reports(refused).some((report) => report.startsWith('sync.downloading.tag_list')));
  });

  it('is canceled within two seconds while it downloads, and keeps no half file', async () => {
    upstream.put('slow', imageOf({ layers: [largeLayer('slow', 2_000_000)] }), 'v1');
    upstream.fault({ repository: 'slow', kind: 'blob', fault: FAULTS.slowBody(20_000) });
    const repository = await rig.repository();
    const id = await rig.start(repository, await rig.remote({ url: upstream.url, upstream_name: 'slow' }));
    const asked = async () => upstream.requests.of('GET', 'blob').some((request) => request.repository === 'slow');
    for (const end = Date.now() + 10_000; !(await asked()); await new Promise((resolve) => setTimeout(resolve, 10))) {
      assert.ok(Date.now() < end, 'the blob was never asked for');
    }
    const begun = Date.now();
    await cancelTask(rig.services, id);
    const task = await rig.ended(id);
    assert.ok(Date.now() - begun < 2_000);
    assert.equal(task.state, 'canceled');
    assert.ok(task.progress_reports.every(({ state }) => state === 'canceled' || state === 'completed'));
    assert.deepEqual(await temporaryFiles(), []);
  });
});
