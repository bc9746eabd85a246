import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { imageOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { eventually } from '../../queue/eventually.ts';
import { completed, isThere, reports, startUpkeepWorld, type UpkeepWorld } from './upkeep-world.ts';

const shared = layerOf({ 'etc/shared': 'shared' });
const own = layerOf({ 'etc/own': 'own' });
const one = imageOf({ layers: [shared, own], labels: { name: 'one' } });
const two = imageOf({ layers: [shared, layerOf({ 'etc/two': 'two' })], labels: { name: 'two' } });
const RECLAIM = '/pulp/api/v3/repositories/reclaim_space/';

describe('reclaim_space', () => {
  let world: UpkeepWorld;
  before(async () => {
    world = await startUpkeepWorld();
    world.upstream.put('app', one, 'one');
    world.upstream.put('app', two, 'two');
  });
  after(() => world?.stop());

  const synced = async (...includes: string[]) => {
    const mirror = await world.mirror();
    const remote = await world.remote({ includes });
    const task = completed(await world.sync(mirror, remote));
    return { mirror, remote, version: task.created_resources[0] as string };
  };
  const storedOf = (image: typeof one) => Promise.all(image.blobs.map(({ digest }) => isThere(world.pathOf(digest))));

  it('takes files that nothing else needs; what they were of is pulled from its remote', async () => {
    const first = await synced('one');
    const second = await synced('two');
    const task = completed(await world.app.run(RECLAIM, { repo_hrefs: [first.mirror.repository] }));
    assert.equal(task.name, 'pulpcore.app.tasks.reclaim_space.reclaim_space');
    assert.deepEqual(task.reserved_resources_record.toSorted()[0]?.startsWith('shared:prn:container.containerrepository:'), true);
    // The shared layer is of the other repository too.
    assert.deepEqual(reports(task), ['reclaim-space.artifact completed 2/2']);
    for (const { digest } of one.blobs) assert.equal(await isThere(world.pathOf(digest)), digest === shared.digest);
    await world.pull(first.mirror, 'one');
    await world.pull(second.mirror, 'two');
    // No client waits for what it has pulled to be stored: two configs, the shared layer and one layer of each.
    await eventually('what was pulled is stored', async () => (await world.rows('artifact')) === 5);
    completed(await world.app.run(RECLAIM, { repo_hrefs: ['*'] }));
    assert.deepEqual([...(await storedOf(one)), ...(await storedOf(two))].filter(Boolean), []);
    assert.equal(await world.rows('doomed_file'), 0);
    await world.pull(first.mirror, 'one');
    await world.pull(second.mirror, 'two');
  });

  it('leaves the files of kept versions', async () => {
    const { mirror, version, remote } = await synced('one');
    completed(await world.app.finished(await world.app.request('PATCH', remote, { includes: ['two'] })));
    completed(await world.sync(mirror, remote, { mirror: true }));
    completed(await world.app.run(RECLAIM, { repo_hrefs: ['*'], repo_versions_keeplist: [version] }));
    assert.deepEqual(await storedOf(one), [true, true, true]);
    await world.pull(mirror, 'two');
  });

  it('stores everything again with the next sync', async () => {
    const { mirror, remote } = await synced('one');
    completed(await world.app.run(RECLAIM, { repo_hrefs: ['*'] }));
    assert.deepEqual(await storedOf(one), [false, false, false]);
    completed(await world.sync(mirror, remote));
    assert.deepEqual(await storedOf(one), [true, true, true]);
  });
});
