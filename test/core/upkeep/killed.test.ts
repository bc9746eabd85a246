import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { imageOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { type Mirror, startMirror } from '../../bad-luck/mirror.ts';
import { eventually } from '../../queue/eventually.ts';

const IMAGES = 150;
const KILLS = 3;
const API = '/pulp/api/v3/';

let mirror: Mirror;
before(async () => {
  mirror = await startMirror();
});
after(() => mirror?.stop());

const shared = layerOf({ 'etc/shared': 'all images have this layer' });
const imageNamed = (name: string) => imageOf({ layers: [shared, layerOf({ 'etc/own': name })], labels: { name } });

/** Paths of the files below a folder of the storage. */
async function filesIn(folder: string): Promise<string[]> {
  const path = join(mirror.installation.env.DATA_DIR ?? mirror.installation.dataDir, 'media', folder);
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

it('a cleanup whose workers are killed, again and again, is finished by others, and nothing that is needed goes', async () => {
  const { request } = mirror.installation;
  const kept = imageNamed('kept');
  mirror.upstream.put('kept', kept, 'latest');
  for (let index = 0; index < IMAGES; index += 1) mirror.upstream.put('gone', imageNamed(`gone ${index}`), `v${index}`);
  const [keeping, going] = [await mirror.repository(), await mirror.repository()];
  await mirror.synced(keeping, await mirror.remote('kept'));
  await mirror.synced(going, await mirror.remote('gone'));
  const deletion = (await request('DELETE', going)).body as { task: string };
  assert.equal((await mirror.ended(deletion.task)).state, 'completed');

  const { task } = (await request('POST', `${API}orphans/cleanup/`, { orphan_protection_time: 0 })).body as { task: string };
  let started: string | null = null;
  for (let kills = 0; kills < KILLS; kills += 1) {
    const now = await eventually('the cleanup is at work, or done', async () => {
      const seen = await mirror.task(task);
      return seen.state !== 'waiting' && seen.started_at !== started ? seen : undefined;
    });
    if (now.state !== 'running') break;
    started = now.started_at;
    for (const pid of (await mirror.installation.processes()).workers) process.kill(pid, 'SIGKILL');
  }
  const ended = await mirror.ended(task);
  assert.equal(ended.state, 'completed', ended.error?.description);
  await mirror.pullAll(keeping, { latest: kept });
  const again = (await request('POST', `${API}orphans/cleanup/`, { orphan_protection_time: 0 })).body as { task: string };
  assert.equal((await mirror.ended(again.task)).state, 'completed');
  assert.equal((await filesIn('artifact')).length, kept.blobs.length);
  assert.deepEqual(await filesIn('aside'), []);
  await mirror.pullAll(keeping, { latest: kept });
});
