import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type ImageContent, imageOf, indexOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { atomicSigner } from '../support/atomic-signature.ts';
import { companionTag, cosignAttestationOf, cosignSbomOf, cosignSignatureOf } from '../support/images.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { change, type RemoteRow, reports, type SyncRig, startSyncRig } from './sync-rig.ts';

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

const image = (text: string): ImageContent => imageOf({ layers: [layerOf({ 'etc/own': text })], labels: { text } });

/** Syncs into a new repository; answers the tags that it has then, sorted. */
async function selected(row: Partial<RemoteRow>, options: { mirror?: boolean; signed_only?: boolean } = {}): Promise<string[]> {
  const repository = await rig.repository();
  const task = await rig.sync(repository, await rig.remote({ url: upstream.url, ...row }), options);
  assert.equal(task.state, 'completed', task.error?.description);
  return Object.keys(await rig.tags(repository)).sort();
}

describe('the selection of a sync', () => {
  it('takes shell patterns, case sensitive and over the whole tag', async () => {
    for (const tag of ['v1', 'v1.0', 'v2', 'V1', 'latest', 'xv1']) upstream.put('patterns', image(tag), tag);
    const upstream_name = 'patterns';
    assert.deepEqual(await selected({ upstream_name }), ['V1', 'latest', 'v1', 'v1.0', 'v2', 'xv1']);
    assert.deepEqual(await selected({ upstream_name, includes: ['v*'] }), ['v1', 'v1.0', 'v2']);
    assert.deepEqual(await selected({ upstream_name, includes: ['v?', 'latest'], excludes: ['v2'] }), ['latest', 'v1']);
    assert.deepEqual(await selected({ upstream_name, includes: ['[!vVx]*'] }), ['latest']);
    assert.deepEqual(await selected({ upstream_name, excludes: ['*v1*', 'V*'] }), ['latest', 'v2']);
    assert.deepEqual(await selected({ upstream_name, includes: [], excludes: [] }), ['V1', 'latest', 'v1', 'v1.0', 'v2', 'xv1']);
    assert.deepEqual(await selected({ upstream_name, includes: ['no*'] }), []);
  });

  it('needs no tag list for exact references', async () => {
    const untagged = image('exact-untagged');
    upstream.put('exact', image('exact-1'), 'v1');
    upstream.put('exact', untagged);
    const fault = { repository: 'exact', kind: 'tags' as const, fault: FAULTS.status(500) };
    upstream.fault(fault);
    const repository = await rig.repository();
    const includes = ['v1', 'absent', untagged.digest];
    const task = await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name: 'exact', includes }));
    upstream.clearFaults();
    assert.deepEqual(change(task, 'added'), { blob: 4, manifest: 2, tag: 1 });
    assert.deepEqual(Object.keys(await rig.tags(repository)), ['v1']);
  });

  it('fails for an unknown repository and a missing digest, not for tags that match nothing', async () => {
    upstream.put('some', image('some'), 'v1');
    assert.deepEqual(await selected({ upstream_name: 'some', includes: ['nomatch'] }), []);
    const unknown = await rig.sync(
      await rig.repository(),
      await rig.remote({ url: upstream.url, upstream_name: 'unknown', includes: ['v1'] }),
    );
    assert.match(unknown.error?.description ?? '', /404.*\/v2\/unknown\/tags\/list/);
    const includes = [`sha256:${'ab'.repeat(32)}`];
    const missing = await rig.sync(
      await rig.repository(),
      await rig.remote({ url: upstream.url, upstream_name: 'some', includes }),
    );
    assert.match(missing.error?.description ?? '', /404, message='Not Found', url='.*\/v2\/some\/manifests\/sha256:abab/);
  });

  it('empties a mirror when nothing matches', async () => {
    upstream.put('emptied', image('emptied'), 'v1');
    const repository = await rig.repository();
    await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name: 'emptied' }));
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'emptied', includes: ['nomatch*'] });
    const task = await rig.sync(repository, remote, { mirror: true });
    assert.deepEqual(change(task, 'present'), {});
    assert.deepEqual(change(task, 'removed'), { blob: 2, manifest: 1, tag: 1 });
  });

  it('brings the companions of what it takes, with children of indexes, and no others', async () => {
    const [child, other] = [image('companion-child'), image('companion-other')];
    const index = indexOf({ entries: [{ content: child }] });
    upstream.put('companions', index, 'v1');
    upstream.put('companions', other, 'other');
    const sig = companionTag(index.digest, '.sig');
    const att = companionTag(child.digest, '.att');
    const sbom = companionTag(child.digest, '.sbom');
    const foreign = companionTag(other.digest, '.sig');
    upstream.put('companions', cosignSignatureOf(index), sig);
    upstream.put('companions', cosignAttestationOf(child), att);
    upstream.put('companions', cosignSbomOf(child), sbom);
    upstream.put('companions', cosignSignatureOf(other), foreign);
    const upstream_name = 'companions';
    assert.deepEqual(await selected({ upstream_name }), [att, foreign, sbom, sig, 'other', 'v1'].sort());
    assert.deepEqual(await selected({ upstream_name, includes: ['v*'] }), [att, sbom, sig, 'v1'].sort());
    assert.deepEqual(await selected({ upstream_name, includes: ['v1'] }), [att, sbom, sig, 'v1'].sort());
    assert.deepEqual(await selected({ upstream_name, includes: ['v*'], excludes: ['*.sbom'] }), [att, sig, 'v1'].sort());
    assert.deepEqual(await selected({ upstream_name, excludes: ['sha256-*', 'other'] }), ['v1']);
    assert.deepEqual(await selected({ upstream_name, includes: [other.digest] }), [foreign]);
  });

  it('reports companions apart, and finds them again without a GET', async () => {
    const signed = image('companion-report');
    upstream.put('report', signed, 'v1');
    upstream.put('report', cosignSignatureOf(signed), companionTag(signed.digest, '.sig'));
    const repository = await rig.repository();
    const remote = await rig.remote({ url: upstream.url, upstream_name: 'report', includes: ['v*'] });
    const task = await rig.sync(repository, remote, { mirror: true });
    assert.deepEqual(
      task.progress_reports
        .filter(({ code }) => code === 'sync.processing.manifest')
        .map(({ message, total, done }) => [message, total, done]),
      [
        ['Processing Manifests', 1, 1],
        ['Processing Cosign Companion Tags', 1, 1],
      ],
    );
    upstream.requests.reset();
    assert.equal((await rig.sync(repository, remote, { mirror: true })).result, null);
    assert.deepEqual(upstream.requests.counts(), { 'GET ping': 1, 'GET tags': 1, 'HEAD manifest': 2 });
  });
});

describe('signatures', () => {
  it('come from a lookaside server, for indexes and their children, and leave out unsigned images where asked', async () => {
    const signer = atomicSigner('lookaside');
    const [signed, unsigned, child] = [image('atomic-signed'), image('atomic-unsigned'), image('atomic-child')];
    const index = indexOf({ entries: [{ content: child }] });
    const half = indexOf({ entries: [{ content: child }, { content: unsigned }] });
    const name = 'atomic';
    upstream.put(name, signed, 'signed');
    upstream.put(name, unsigned, 'unsigned');
    upstream.put(name, index, 'index');
    upstream.put(name, half, 'half');
    for (const digest of [signed.digest, child.digest]) {
      upstream.content.addLookasideSignature(name, digest, signer.sign(`registry.example/${name}`, digest));
    }
    upstream.content.addLookasideSignature(name, signed.digest, Buffer.from('no signature'));
    const row = { upstream_name: name, sigstore: `${upstream.url}/sigstore` };
    const repository = await rig.repository();
    const task = await rig.sync(repository, await rig.remote({ url: upstream.url, ...row }));
    assert.deepEqual(change(task, 'added'), { blob: 6, manifest: 5, signature: 2, tag: 4 });
    assert.deepEqual(await selected(row, { signed_only: true }), ['index', 'signed']);
    const single = await rig.sync(
      await rig.repository(),
      await rig.remote({ url: upstream.url, ...row, includes: ['*signed'] }),
      {
        signed_only: true,
      },
    );
    assert.deepEqual(change(single, 'added'), { blob: 2, manifest: 1, signature: 1, tag: 1 });
    assert.ok(reports(single).includes('sync.processing.manifest completed 1/2'));
  });

  it('come from the extension where the registry offers it', async (context) => {
    const extended = await startUpstream({ signatureExtension: true });
    context.after(() => extended.stop());
    const signed = image('extension-signed');
    extended.put('app', signed, 'v1');
    const bytes = atomicSigner('extension').sign('registry.example/app', signed.digest);
    const name = `${signed.digest}@${'0'.repeat(32)}`;
    extended.content.addExtensionSignature('app', signed.digest, {
      schemaVersion: 2,
      type: 'atomic',
      name,
      content: bytes.toString('base64'),
    });
    const repository = await rig.repository();
    const remote = await rig.remote({ url: extended.url });
    const task = await rig.sync(repository, remote, { mirror: true });
    assert.deepEqual(change(task, 'added'), { blob: 2, manifest: 1, signature: 1, tag: 1 });
    assert.equal((await rig.sync(repository, remote, { mirror: true })).result, null);
  });

  it('are companions where there is no other source', async () => {
    const [signed, unsigned] = [image('cosigned'), image('not-cosigned')];
    const sig = companionTag(signed.digest, '.sig');
    upstream.put('cosign', signed, 'signed');
    upstream.put('cosign', unsigned, 'unsigned');
    upstream.put('cosign', cosignSignatureOf(signed), sig);
    assert.deepEqual(await selected({ upstream_name: 'cosign' }, { signed_only: true }), [sig, 'signed'].sort());
  });
});
