import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { imageOf, MEDIA_TYPES } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import type { Fault, FaultRule } from '../support/upstream-faults.ts';
import { type Mirror, startMirror } from './mirror.ts';

let mirror: Mirror;
before(async () => {
  mirror = await startMirror({ WORKERS: '1' });
});
afterEach(() => mirror.upstream.clearFaults());
after(() => mirror?.stop());

const UP = 'sha256:../../../../../../tmp/deckle-was-here';
const IMAGE = MEDIA_TYPES.oci.manifest;
const config = { mediaType: MEDIA_TYPES.oci.config, digest: `sha256:${'0'.repeat(64)}`, size: 2 };
const descriptor = (digest: string, mediaType: string, size = 2) => ({ mediaType, digest, size });

const answer = (type: string, body: object): Fault => ({
  answer: { status: 200, headers: { 'content-type': type }, body: JSON.stringify(body) },
});
const manifest = (body: object, type: string = IMAGE): Omit<FaultRule, 'repository'> => ({
  kind: 'manifest',
  fault: answer(type, { schemaVersion: 2, mediaType: type, ...body }),
});

/** Nothing was asked for by such a path, and nothing is there but what belongs there. */
async function assertNothingTouched(): Promise<void> {
  const { requests } = mirror.upstream;
  assert.deepEqual(
    requests.log.filter(({ url }) => decodeURIComponent(url).includes('..')),
    [],
  );
  const { dataDir } = mirror.installation;
  assert.deepEqual(await readdir(join(dataDir, '..')), ['data']);
  assert.deepEqual((await readdir(dataDir)).sort(), ['keys', 'media']);
  assert.deepEqual(await mirror.temporaryFiles(), []);
  assert.ok(!(await readdir('/tmp')).includes('deckle-was-here'));
}

describe('an upstream that answers with a way out of the data folder', () => {
  const rows: [string, Omit<FaultRule, 'repository'>, string][] = [
    ['a layer', manifest({ config, layers: [descriptor(UP, MEDIA_TYPES.oci.layer)] }), 'layers.0.digest'],
    ['a config', manifest({ config: descriptor(UP, MEDIA_TYPES.oci.config), layers: [] }), 'config.digest'],
    ['a child', manifest({ manifests: [descriptor(UP, IMAGE)] }, MEDIA_TYPES.oci.index), 'manifests.0.digest'],
  ];
  for (const [n, [what, rule, place]] of rows.entries()) {
    test(`as the digest of ${what}: the sync fails and says so`, async () => {
      const name = `hostile-${n}`;
      mirror.upstream.put(name, imageOf({ layers: [layerOf({ 'etc/own': name })] }), 'v1');
      mirror.upstream.fault({ repository: name, ...rule });
      const repository = await mirror.repository();
      const task = await mirror.sync(repository, await mirror.remote(name));
      assert.equal(task.state, 'failed');
      assert.ok(task.error?.description.includes(`${place}: must be sha256:`), task.error?.description);
      assert.ok(task.error?.description.includes(`${mirror.upstream.url}/v2/${name}/manifests/v1`));
      assert.deepEqual(await mirror.versions(repository), [0]);
      await assertNothingTouched();
    });
  }

  test('as a tag: it is passed over', async () => {
    const image = imageOf({ layers: [layerOf({ 'etc/own': 'tag' })] });
    mirror.upstream.put('hostile-tag', image, 'v1');
    const tags = ['../../../../tmp/deckle-was-here', 'v1', 'a/b', '..'];
    mirror.upstream.fault({ repository: 'hostile-tag', kind: 'tags', fault: answer('application/json', { name: 'x', tags }) });
    const repository = await mirror.repository();
    await mirror.synced(repository, await mirror.remote('hostile-tag'));
    await mirror.pullAll(repository, { v1: image });
    await assertNothingTouched();
  });
});
