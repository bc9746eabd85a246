import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { atomicSigner } from '../support/atomic-signature.ts';
import { codeOf, RegistryUser } from './push-rig.ts';
import { ADMIN, basicHeader, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const IMAGE = imageOf({ layers: [layerOf({ 'etc/motd': 'signed' })] });
const UNSIGNED = imageOf({ layers: [layerOf({ 'etc/motd': 'unsigned' })] });
const signer = atomicSigner('lookaside');

describe('the sigstore of the registry', () => {
  let world: RegistryWorld;
  const signatures = ['a', 'b', 'c'].map((tag) => signer.sign(`registry.example.org/app:${tag}`, IMAGE.digest));
  before(async () => {
    world = await startRegistryWorld();
    const user = new RegistryUser(world.server);
    const repository = await world.repository('app');
    await world.publish(repository, { latest: IMAGE, unsigned: UNSIGNED });
    await world.distribution('team/app', { repository_id: repository });
    await world.distribution('team/closed', { repository_id: repository, private: true });
    for (const signature of signatures) {
      const body = {
        schemaVersion: 2,
        type: 'atomic',
        name: `${IMAGE.digest}@${'0'.repeat(32)}`,
        content: signature.toString('base64'),
      };
      const response = await user.ask('PUT', 'team/app', `/extensions/v2/team/app/signatures/${IMAGE.digest}`, {
        body: JSON.stringify(body),
      });
      assert.equal(response.status, 201);
    }
  });
  after(() => world?.stop());

  const get = (path: string, init: RequestInit = {}) => fetch(`${world.server.origin}/pulp/container/sigstore/${path}`, init);
  const at = (name: string, image: { digest: string }, number: number) =>
    `${name}@${image.digest.replace(':', '=')}/signature-${number}`;

  it('gives the signatures of a manifest one by one, in the order in which they came, to anybody', async () => {
    for (const [index, signature] of signatures.entries()) {
      const response = await get(at('team/app', IMAGE, index + 1));
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('content-type'), 'application/octet-stream');
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), signature);
    }
    const head = await get(at('team/app', IMAGE, 1), { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(signatures[0]?.length)]);
  });

  it('says where they end', async () => {
    for (const path of [at('team/app', IMAGE, 4), at('team/app', UNSIGNED, 1), at('team/app', IMAGE, 999_999)]) {
      const response = await get(path);
      assert.deepEqual([response.status, await codeOf(response)], [404, 'SIGNATURE_UNKNOWN']);
    }
  });

  it('tells those who may pull, and nobody else, of what is private', async () => {
    const path = at('team/closed', IMAGE, 1);
    const nobody = await get(path);
    assert.equal(nobody.status, 401);
    assert.match(nobody.headers.get('www-authenticate') ?? '', /^Basic /);
    const as = (username: string, password: string) =>
      get(path, { headers: { authorization: basicHeader({ username, password }) } });
    assert.equal((await as('reader', 'reading')).status, 403);
    assert.equal((await as('reader', 'wrong')).status, 401);
    assert.equal((await as(ADMIN.username, ADMIN.password)).status, 200);
  });

  it('knows no other paths', async () => {
    const hex = IMAGE.digest.slice('sha256:'.length);
    const unknown = {
      [at('team/nothing', IMAGE, 1)]: 401,
      [`team/app@sha256=${hex}/signature-0`]: 404,
      [`team/app@sha256=${hex}/signature-01`]: 404,
      [`team/app@sha256=${hex}/signature-`]: 404,
      [`team/app@sha256=${hex.slice(1)}/signature-1`]: 400,
      [`team/app@md5=${hex}/signature-1`]: 400,
      [`Team/app@sha256=${hex}/signature-1`]: 400,
      [`@sha256=${hex}/signature-1`]: 404,
    };
    for (const [path, status] of Object.entries(unknown)) assert.equal((await get(path)).status, status, path);
  });
});
