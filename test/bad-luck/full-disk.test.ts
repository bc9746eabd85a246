import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { type Mirror, startMirror } from './mirror.ts';
import { CANNOT_MOUNT, makeRoom, mountDisk, unmount } from './small-disk.ts';

const MiB = 2 ** 20;
const ROOM = 16 * MiB;

const disks = [mountDisk(ROOM), mountDisk(ROOM)] as const;
const skip = disks.includes(undefined) && CANNOT_MOUNT;
const earlier = imageOf({ layers: [layerOf({ 'etc/own': 'earlier' }), largeLayer('earlier', MiB)] });

describe('where the disk of the storage is full', { skip }, () => {
  const disk = disks[0] as string;
  let mirror: Mirror;
  before(async () => {
    mirror = await startMirror({ DATA_DIR: join(disk, 'data'), WORKERS: '1' });
  });
  after(async () => {
    await mirror?.stop();
    await unmount(disk);
  });

  const layers = (count: number, size: number) => Array.from({ length: count }, (_, n) => largeLayer(`${size} ${n}`, size));

  for (const [name, image] of [
    ['one-large-blob', imageOf({ layers: layers(1, 4 * ROOM) })],
    ['many-small-blobs', imageOf({ layers: layers(150, 200_000) })],
    ['very-many-blobs', imageOf({ layers: layers(400, 50_000) })],
  ] as const) {
    test(`${name}: the sync fails and says so, the server goes on serving, with room the next sync goes on`, async () => {
      makeRoom(disk, ROOM);
      mirror.upstream.put('earlier', earlier, 'v1');
      const served = await mirror.repository();
      const remoteOfServed = await mirror.remote('earlier');
      await mirror.synced(served, remoteOfServed);

      mirror.upstream.put(name, image, 'v1');
      const repository = await mirror.repository();
      const remote = await mirror.remote(name);
      const task = await mirror.sync(repository, remote);
      assert.equal(task.state, 'failed');
      assert.match(task.error?.description ?? '', /^(?=.*no space left)(?=.*(make room|enlarge))(?=.*tag "v1" of )/i);
      assert.deepEqual(await mirror.versions(repository), [0]);
      assert.deepEqual(await mirror.temporaryFiles(), []);

      await mirror.pullAll(served, { v1: earlier });
      await mirror.synced(served, remoteOfServed);

      makeRoom(disk, 8 * ROOM);
      await mirror.synced(repository, remote);
      await mirror.pullAll(repository, { v1: image });
    });
  }
});

describe('where the disk of storage and embedded database is full', { skip }, () => {
  const disk = disks[1] as string;
  let mirror: Mirror;
  before(async () => {
    makeRoom(disk, 256 * MiB);
    mirror = await startMirror({ DATABASE_URL: '', DATA_DIR: join(disk, 'data'), WORKERS: '1' });
  });
  after(async () => {
    await mirror?.stop();
    await unmount(disk);
  });

  test('what is written is refused with that reason, pulls go on, and with room all goes on', async () => {
    mirror.upstream.put('earlier', earlier, 'v1');
    const repository = await mirror.repository();
    const remote = await mirror.remote('earlier');
    await mirror.synced(repository, remote);
    await mirror.pullAll(repository, { v1: earlier });

    makeRoom(disk, 0);
    const refused = await eventually('the database has no room', async () => {
      const body = { name: `filler ${Math.random()}`, description: 'x'.repeat(100_000) };
      const { status } = await mirror.installation.request('POST', '/pulp/api/v3/repositories/container/container/', body);
      return status !== 201 && status;
    });
    assert.equal(refused, 507);
    await mirror.pullAll(repository, { v1: earlier });

    makeRoom(disk, 64 * MiB);
    const later = await mirror.repository();
    await mirror.synced(later, remote);
    await mirror.pullAll(later, { v1: earlier });
  });
});
