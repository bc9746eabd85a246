import assert from 'node:assert/strict';
import { readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../../src/db/sql.ts';
import { imageOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { startSyncWorld } from '../../ostree/sync/sync-world.ts';
import { eventually } from '../../queue/eventually.ts';
import type { Answer } from '../../support/app.ts';
import {
  completed,
  digestOf,
  isThere,
  type Mirror,
  reports,
  someoneWaits,
  startUpkeepWorld,
  type UpkeepWorld,
} from './upkeep-world.ts';

const layers = ['a', 'b', 'c', 'd'].map((text) => layerOf({ 'etc/motd': text.repeat(2000) }));
const image = imageOf({ layers });

/** Changes one byte in the middle. */
async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.length >> 1;
  bytes[at] = (bytes[at] as number) ^ 1;
  await writeFile(path, bytes);
}

describe('repair of a container repository', () => {
  let world: UpkeepWorld;
  let mirror: Mirror;
  let version: string;
  before(async () => {
    world = await startUpkeepWorld();
    world.upstream.put('app', image, 'latest');
    mirror = await world.mirror();
    version = completed(await world.sync(mirror, await world.remote())).created_resources[0];
  });
  after(() => world?.stop());

  const path = (index: number): string => world.pathOf((layers[index] as { digest: string }).digest);
  const damage = async (): Promise<void> => {
    await rm(path(0));
    await truncate(path(1), 10);
    await flip(path(2));
  };
  const digest = (index: number): string => (layers[index] as { digest: string }).digest;

  it('finds nothing where all is well', async () => {
    const task = completed(await world.app.run(`${version}repair/`));
    assert.equal(task.name, 'pulpcore.app.tasks.repository.repair_version');
    assert.ok(
      task.reserved_resources_record.includes(`shared:prn:container.containerrepository:${mirror.repository.split('/').at(-2)}`),
    );
    assert.deepEqual(reports(task), [
      'repair.corrupted completed 0/-',
      'repair.missing completed 0/-',
      'repair.repaired completed 0/-',
    ]);
    assert.equal(task.result.checked, 5);
  });

  it('fetches again what is missing, cut short or changed', async () => {
    await world.pull(mirror, 'latest');
    await damage();
    const task = completed(await world.app.run(`${version}repair/`, { verify_checksums: true }));
    assert.deepEqual(reports(task), [
      'repair.corrupted completed 2/-',
      'repair.missing completed 1/-',
      'repair.repaired completed 3/-',
    ]);
    for (const index of [0, 1, 2]) assert.equal(digestOf(await readFile(path(index))), digest(index));
    await world.pull(mirror, 'latest');
    assert.deepEqual(completed(await world.app.run(`${version}repair/`)).result, {
      checked: 5,
      missing: 0,
      corrupted: 0,
      repaired: 0,
      unrepaired: [],
    });
  });

  it('does not read the bytes where that is not wanted, but sees a wrong size', async () => {
    await damage();
    const task = completed(await world.app.run(`${version}repair/`, { verify_checksums: false }));
    assert.deepEqual([task.result.missing, task.result.corrupted, task.result.repaired], [1, 1, 2]);
    assert.equal(completed(await world.app.run('/pulp/api/v3/repair/', {})).result.repaired, 1);
    await world.pull(mirror, 'latest');
  });

  it('repairs all that is stored by repair/, under a lock of its own', async () => {
    await damage();
    const task = completed(await world.app.run('/pulp/api/v3/repair/'));
    assert.equal(task.name, 'pulpcore.app.tasks.repository.repair_all_artifacts');
    assert.match(task.reserved_resources_record.toSorted()[0], /^pdrn:[0-9a-f-]{36}:repair$/);
    assert.equal(task.result.repaired, 3);
    await world.pull(mirror, 'latest');
  });

  it('names what nobody gives any more, serves none of it, and mends it once it can be had', async () => {
    const fault = world.upstream.fault({ kind: 'blob', fault: { answer: { status: 404 } } });
    await damage();
    const task = completed(await world.app.run(`${version}repair/`));
    assert.deepEqual(task.result.unrepaired.toSorted(), [0, 1, 2].map(digest).toSorted());
    const { suffix } = task.progress_reports.find(({ code }: { code: string }) => code === 'repair.repaired');
    assert.ok(suffix.startsWith('3 not repaired: sha256:'), suffix);
    // The bytes of the missing one may still be in memory, where they are right.
    for (const index of [1, 2]) assert.equal(await world.blob(mirror, digest(index)), 502);
    assert.equal(digestOf((await world.blob(mirror, digest(3))) as Buffer), digest(3));
    // What was wrong is kept, where nobody is served it.
    assert.equal(await isThere(path(2)), false);
    assert.equal((await readFile(path(2).replace('/media/', '/media/aside/damaged/'))).length, layers[2]?.size);
    fault.clear();
    assert.equal(completed(await world.app.run(`${version}repair/`)).result.repaired, 3);
    for (const index of [0, 1, 2]) assert.equal(digestOf(await readFile(path(index))), digest(index));
    assert.equal(await isThere(path(2).replace('/media/', '/media/aside/damaged/')), false);
  });

  it('forgets what a server has in memory of a file that turns out damaged', async () => {
    // Nobody has asked for it yet.
    const layer = layerOf({ 'etc/motd': 'new'.repeat(2000) });
    world.upstream.put('app', imageOf({ layers: [layer] }), 'new');
    const fresh = await world.mirror();
    const synced = completed(await world.sync(fresh, await world.remote({ includes: ['new'] })));
    const file = world.pathOf(layer.digest);
    await flip(file);
    // Read from the disk, and from then on answered from memory.
    const wrong = (await world.blob(fresh, layer.digest)) as Buffer;
    assert.notEqual(digestOf(wrong), layer.digest);
    await rm(file);
    assert.deepEqual(await world.blob(fresh, layer.digest), wrong);
    await writeFile(file, wrong);
    assert.equal(completed(await world.app.run(`${synced.created_resources[0]}repair/`)).result.repaired, 1);
    const served = await eventually('the damage is heard of', async () => {
      const bytes = (await world.blob(fresh, layer.digest)) as Buffer;
      return bytes.equals(wrong) ? undefined : bytes;
    });
    assert.equal(digestOf(served), layer.digest);
  });

  it('leaves alone what another repair has put in place since it looked', async () => {
    const right = await readFile(path(2));
    await flip(path(2));
    const { db } = world.app.services;
    const key = path(2).slice(path(2).indexOf('artifact/'));
    let repairing: Promise<Answer['body']> | undefined;
    await db.transaction(async (tx) => {
      // As the other one holds it.
      await tx.query(sql`select pg_advisory_xact_lock(hashtext(${`damaged ${key}`}))`);
      repairing = world.app.run(`${version}repair/`);
      await someoneWaits(db);
      await rm(path(2));
      await writeFile(path(2), right);
    });
    const { ino } = await stat(path(2));
    completed(await repairing);
    assert.deepEqual(await readFile(path(2)), right);
    assert.equal((await stat(path(2))).ino, ino);
  });

  it('does not take wrong bytes for right ones', async () => {
    await rm(path(0));
    const fault = world.upstream.fault({ kind: 'blob', fault: { deliver: { corrupt: true } } });
    assert.deepEqual(completed(await world.app.run(`${version}repair/`)).result.unrepaired, [digest(0)]);
    assert.equal(await isThere(path(0)), false);
    fault.clear();
    completed(await world.app.run(`${version}repair/`));
    await world.pull(mirror, 'latest');
  });
});

describe('repair of an OSTree repository', () => {
  it('fetches objects again, in whatever form they come, and makes the files of refs', async () => {
    const world = await startSyncWorld();
    try {
      const { upstream } = await world.upstream('small');
      const remote = await world.remote(upstream.url);
      // The config is asked for where the repository is synced from.
      const repository = await world.repository({ remote });
      const synced = completed(await world.sync(repository, remote));
      const version = synced.created_resources[0];
      const { db, config } = world.app.services;
      const rows = await db.prisma.content.findMany({ where: { artifact_id: { not: null } }, include: { artifact: true } });
      const types = new Set(rows.map(({ pulp_type }) => pulp_type));
      assert.ok(['ostree.object', 'ostree.commit', 'ostree.refs'].every((type) => types.has(type)));
      const paths = [...new Set(rows.flatMap(({ artifact }) => (artifact ? [`${config.DATA_DIR}/media/${artifact.file}`] : [])))];
      const before = new Map(await Promise.all(paths.map(async (path) => [path, digestOf(await readFile(path))] as const)));
      for (const [index, path] of paths.entries()) {
        if (index % 3 === 0) await rm(path);
        else if (index % 3 === 1) await truncate(path, 1);
        else await flip(path);
      }
      const task = completed(await world.app.run(`${version}repair/`));
      assert.equal(task.result.missing + task.result.corrupted, paths.length);
      // The summary was made here: no upstream has it.
      const made = rows
        .filter(({ pulp_type }) => pulp_type === 'ostree.summary')
        .map(({ artifact }) => `sha256:${artifact?.sha256}`);
      assert.deepEqual(
        task.result.unrepaired.filter((digest: string) => !made.includes(digest)),
        [],
      );
      for (const [path, digest] of before) {
        if (made.includes(digest)) continue;
        assert.equal(digestOf(await readFile(path)), digest);
      }
    } finally {
      await world.stop();
    }
  });
});
