import assert from 'node:assert/strict';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { imageOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { simpleImage, simpleIndex } from '../../support/images.ts';
import { completed, digestOf, isThere, reports, startUpkeepWorld, type UpkeepWorld } from './upkeep-world.ts';

const shared = layerOf({ 'etc/shared': 'both images have this layer' });
const one = imageOf({ layers: [shared, layerOf({ 'etc/one': 'one' })], labels: { name: 'one' } });
const two = imageOf({ layers: [shared, layerOf({ 'etc/two': 'two' })], labels: { name: 'two' } });

describe('orphan cleanup', () => {
  let world: UpkeepWorld;
  let remote: string;
  before(async () => {
    world = await startUpkeepWorld();
    world.upstream.put('app', one, 'one');
    world.upstream.put('app', two, 'two');
    world.upstream.put('app', simpleIndex('many'), 'many');
    remote = await world.remote();
  });
  after(() => world?.stop());

  /** A repository with the tags, synced. */
  const synced = async (...includes: string[]) => {
    const mirror = await world.mirror();
    completed(await world.sync(mirror, await world.remote({ includes })));
    return mirror;
  };

  it('removes what is in no version, and nothing that another repository has', async () => {
    const [kept, gone] = [await synced('one'), await synced('two')];
    await world.forget(gone);
    const task = completed(await world.cleanup());
    assert.equal(task.name, 'pulpcore.app.tasks.orphan.orphan_cleanup');
    const [lock, domain] = task.reserved_resources_record.toSorted();
    assert.match(lock, /^pdrn:[0-9a-f-]{36}:orphans$/);
    assert.match(domain, /^shared:prn:core\.domain:/);
    // Tag, manifest, config and the layer of its own.
    assert.deepEqual(task.result.content, { 'container.tag': 1, 'container.manifest': 1, 'container.blob': 2 });
    assert.deepEqual(reports(task), ['clean-up.artifacts completed 2/2', 'clean-up.content completed 4/4']);
    const bytes = two.blobs.filter(({ digest }) => digest !== shared.digest).reduce((sum, { size }) => sum + size, 0);
    assert.deepEqual([task.result.files, task.result.bytes, task.result.files_left], [2, bytes, 0]);
    assert.deepEqual(
      task.progress_reports.map(({ message }: { message: string }) => message),
      ['Clean up orphan Content', 'Clean up orphan Artifacts'],
    );
    for (const { digest } of two.blobs) assert.equal(await isThere(world.pathOf(digest)), digest === shared.digest);
    await world.pull(kept, 'one');
    await world.forget(kept);
    completed(await world.cleanup());
    assert.deepEqual([await world.rows('content'), await world.rows('artifact'), await world.stored()], [0, 0, []]);
  });

  it('spares what was seen within the protection time, which is a day unless the request says otherwise', async () => {
    await world.forget(await synced('one'));
    const before = await world.rows('content');
    for (const body of [
      {},
      { orphan_protection_time: null },
      { orphan_protection_time: 5 },
      { orphan_protection_time: 2 ** 32 - 1 },
    ]) {
      assert.deepEqual(reports(completed(await world.cleanup(body))), [
        'clean-up.artifacts completed 0/0',
        'clean-up.content completed 0/0',
      ]);
    }
    assert.equal(await world.rows('content'), before);
    await world.age();
    completed(await world.cleanup({ orphan_protection_time: 25 * 60 }));
    assert.equal(await world.rows('content'), before);
    completed(await world.cleanup({ orphan_protection_time: 23 * 60 }));
    assert.deepEqual([await world.rows('content'), await world.stored()], [0, []]);
  });

  it('says in a dry run what it would do, and does nothing', async () => {
    await world.forget(await synced('one', 'two', 'many'));
    const before = [await world.rows('content'), await world.rows('artifact'), (await world.stored()).length];
    const dry = completed(await world.cleanup({ orphan_protection_time: 0, dry_run: true }));
    assert.deepEqual([await world.rows('content'), await world.rows('artifact'), (await world.stored()).length], before);
    const real = completed(await world.cleanup());
    assert.deepEqual({ ...dry.result, dry_run: false }, real.result);
    assert.deepEqual(await world.stored(), []);
  });

  it('removes only the units that are named, and their files', async () => {
    await world.forget(await synced('one', 'two'));
    const [tag] = (await world.app.request('GET', '/pulp/api/v3/content/container/tags/?name=one')).body.results;
    const task = completed(await world.cleanup({ content_hrefs: [tag.pulp_href], orphan_protection_time: 0 }));
    assert.deepEqual([task.result.content, task.result.files], [{ 'container.tag': 1 }, 0]);
    // A manifest that a tag needs is none.
    const [manifest] = (await world.app.request('GET', `/pulp/api/v3/content/container/manifests/?digest=${two.digest}`)).body
      .results;
    assert.deepEqual(
      completed(await world.cleanup({ content_hrefs: [manifest.prn], orphan_protection_time: 0 })).result.content,
      {},
    );
    completed(await world.cleanup());
    assert.equal(await world.rows('content'), 0);
  });

  it('removes uploaded files that no content was made of', async () => {
    const form = new FormData();
    form.append('file', new Blob(['an upload that nobody uses']), 'file');
    const answer = await fetch(`${world.app.url}/pulp/api/v3/artifacts/`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('admin:password')}` },
      body: form,
    });
    assert.equal(answer.status, 201);
    assert.equal((await world.stored()).length, 1);
    assert.equal(completed(await world.cleanup({})).result.artifacts, 0);
    assert.equal(completed(await world.cleanup()).result.artifacts, 1);
    assert.deepEqual(await world.stored(), []);
  });

  it('removes files that a crash has left without a row, unless they are young', async () => {
    const bytes = Buffer.from('left behind');
    const path = world.pathOf(digestOf(bytes));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
    assert.equal(completed(await world.cleanup({})).result.files, 0);
    const old = new Date(Date.now() - 25 * 3600 * 1000);
    await utimes(path, old, old);
    const dry = completed(await world.cleanup({ dry_run: true }));
    assert.deepEqual([dry.result.files, dry.result.bytes, await isThere(path)], [1, bytes.length, true]);
    const task = completed(await world.cleanup({}));
    assert.deepEqual([task.result.artifacts, task.result.files, task.result.bytes], [0, 1, bytes.length]);
    assert.equal(await isThere(path), false);
  });

  it('is started by the deprecated DELETE too', async () => {
    await world.forget(await synced('one'));
    const answer = await world.app.request('DELETE', '/pulp/api/v3/orphans/');
    assert.equal(answer.status, 202);
    completed(await world.app.finished(answer));
    assert.notEqual(await world.rows('content'), 0);
    completed(await world.cleanup());
  });

  it('keeps what an unfinished task may have found', async () => {
    const mirror = await synced('one');
    await world.forget(mirror);
    // A sync that hangs at its first request, while all is there that it will want.
    let release = (): void => undefined;
    const until = new Promise<void>((resolve) => (release = resolve));
    world.upstream.fault({ kind: 'tags', fault: { deliver: { held: { until } } } });
    const next = await world.mirror();
    const running = await world.app.request('POST', `${next.repository}sync/`, { remote });
    assert.equal(running.status, 202);
    const before = await world.rows('content');
    assert.deepEqual(completed(await world.cleanup()).result.content, {});
    assert.equal(await world.rows('content'), before);
    await world.app.request('PATCH', running.body.task, { state: 'canceled' });
    await world.app.finished(running.body.task);
    release();
    world.upstream.clearFaults();
    await world.forget(next);
    completed(await world.cleanup());
    assert.equal(await world.rows('content'), 0);
  });
});

describe('orphan cleanup while repositories are synced and pulled', () => {
  const ROUNDS = 12;
  const images = Array.from({ length: 6 }, (_, index) =>
    imageOf({ layers: [shared, layerOf({ 'etc/image': `image ${index}` })], labels: { index: String(index) } }),
  );

  it('never takes what they rely on', async () => {
    const world = await startUpkeepWorld();
    try {
      for (const [index, image] of images.entries()) world.upstream.put('app', image, `v${index}`);
      world.upstream.put('app', simpleIndex('index'), 'index');
      world.upstream.put('app', simpleImage('plain'), 'plain');
      const tags = [...images.map((_, index) => `v${index}`), 'index', 'plain'];
      const remote = await world.remote();
      const standing = await world.mirror();
      completed(await world.sync(standing, await world.remote({ includes: ['v0', 'plain'] })));
      let removed = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const mirrors = [await world.mirror(), await world.mirror(), await world.mirror()];
        // All that earlier rounds have left is an orphan now, and old enough.
        await world.age();
        const cleanups = (async () => {
          for (let count = 0; count < 6; count += 1) {
            const { result } = completed(await world.cleanup());
            removed += Object.values(result.content as Record<string, number>).reduce((sum, units) => sum + units, 0);
          }
        })();
        const pulls = (async () => {
          for (let count = 0; count < 5; count += 1) for (const tag of ['v0', 'plain']) await world.pull(standing, tag);
        })();
        const syncs = mirrors.map(async (mirror, index) => completed(await world.sync(mirror, remote, { mirror: index === 0 })));
        await Promise.all([cleanups, pulls, ...syncs]);
        for (const mirror of mirrors) for (const tag of tags) await world.pull(mirror, tag);
        for (const mirror of mirrors) await world.forget(mirror);
      }
      assert.ok(removed > 0, 'the cleanups had something to remove');
      completed(await world.cleanup());
      await world.pull(standing, 'v0');
      // Of what is in no version nothing is left, and no file without a row.
      assert.equal(await world.rows('artifact'), (await world.stored()).length);
      assert.equal(await world.rows('doomed_file'), 0);
    } finally {
      await world.stop();
    }
  });
});
