import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { imageOf, indexOf } from '../../../src/demo/image.ts';
import { blobOf, largeLayer } from '../../../src/demo/layer.ts';
import type { RemoteSettings } from '../../../src/download/remote-settings.ts';
import type { Digest } from '../../../src/lib/digest.ts';
import { openRegistry, type Registry, type RegistryOptions } from '../../../src/plugins/container/oci/registry-client.ts';
import { openFor, targetAt, temporaryFolder } from '../../download/rig.ts';
import { atomicSigner } from '../../support/atomic-signature.ts';
import { signedSchema1Of } from '../../support/images.ts';
import { FAULTS } from '../../support/upstream-faults.ts';
import { startUpstream, type Upstream, type UpstreamOptions } from '../../support/upstream-registry.ts';

interface Rig {
  readonly upstream: Upstream;
  readonly registry: Registry;
}

async function rig(
  t: TestContext,
  behaviour: UpstreamOptions = {},
  given: Partial<RemoteSettings> = {},
  options: Partial<RegistryOptions> = {},
): Promise<Rig> {
  const upstream = await startUpstream(behaviour);
  t.after(() => upstream.stop());
  const registry = openRegistry(openFor(t, upstream.url, given), {
    url: upstream.url,
    upstreamName: 'team/app',
    sigstore: null,
    tokenRealms: [],
    ...options,
  });
  return { upstream, registry };
}

async function tagsOf(registry: Registry): Promise<string[]> {
  const tags: string[] = [];
  for await (const tag of registry.tags()) tags.push(tag);
  return tags;
}

const image = imageOf();

describe('tags', () => {
  for (const behaviour of [{}, { pageSize: 2 }, { pageSize: 2, absoluteLinks: true }, { pageSize: 2, pathPrefix: '/mirror/a' }]) {
    test(`all pages: ${JSON.stringify(behaviour)}`, async (t) => {
      const { upstream, registry } = await rig(t, behaviour);
      const names = ['a', 'b', 'c', 'd', 'e'];
      for (const name of names) upstream.put('team/app', image, name);
      assert.deepEqual(await tagsOf(registry), names);
    });
  }

  test('null is none', async (t) => {
    const { upstream, registry } = await rig(t);
    upstream.fault({ kind: 'tags', fault: FAULTS.nullTags });
    assert.deepEqual(await tagsOf(registry), []);
  });

  test('what no tag can be is left out', async (t) => {
    const { upstream, registry } = await rig(t);
    const body = JSON.stringify({ tags: ['ok', '../../etc', 'ok', 'a b', '', 'fine'] });
    upstream.fault({ kind: 'tags', fault: { answer: { status: 200, body } } });
    assert.deepEqual(await tagsOf(registry), ['ok', 'fine']);
  });

  const faults: Record<string, { fault: Parameters<Upstream['fault']>[0]['fault']; message: RegExp }> = {
    'a web page': { fault: FAULTS.html, message: /^The tag list http:.*\/tags\/list cannot be read: it looks like a web page/ },
    garbage: { fault: FAULTS.garbage, message: /cannot be read: it is not JSON/ },
    'deep JSON': { fault: FAULTS.deepJson, message: /is nested more than 64 levels deep/ },
    'no list': { fault: { answer: { status: 200, body: '{"tags":{}}' } }, message: /has no list of tags/ },
    'a page that leads to itself': { fault: FAULTS.endlessPages(true), message: /leads back to a page that was read already/ },
    'pages without end': { fault: FAULTS.endlessPages(), message: /has more than (10000 pages|1000000 tags)/ },
    'another host': { fault: FAULTS.linkTo('http://other.example/v2/x'), message: /continues on another host, other\.example/ },
    'no URL': { fault: FAULTS.linkTo('http://['), message: /something that is no URL/ },
    'not there': { fault: FAULTS.status(404), message: /^404, message='Not Found', url='http:.*\/v2\/team\/app\/tags\/list'$/ },
  };
  for (const [name, { fault, message }] of Object.entries(faults)) {
    test(`fails with a reason: ${name}`, async (t) => {
      const { upstream, registry } = await rig(t, { keepLog: false });
      upstream.fault({ kind: 'tags', fault });
      await assert.rejects(tagsOf(registry), { message });
    });
  }
});

describe('manifests', () => {
  test('by tag and by digest, with the Accept of Pulp first', async (t) => {
    const { upstream, registry } = await rig(t);
    upstream.put('team/app', image, 'latest');
    assert.equal(await registry.head('latest'), image.digest);
    for (const reference of ['latest', image.digest]) {
      const manifest = await registry.manifest(reference);
      assert.deepEqual([manifest.digest, manifest.mediaType, manifest.body], [image.digest, image.mediaType, image.bytes]);
    }
    const accept = upstream.requests.of('HEAD', 'manifest')[0]?.headers.accept ?? '';
    const docker = 'application/vnd.docker.distribution.manifest';
    const oci = 'application/vnd.oci.image';
    const pulp = [`${docker}.v2+json`, `${docker}.v1+json`, `${docker}.v1+prettyjws`, `${docker}.list.v2+json`];
    assert.deepEqual(accept.split(', ').slice(0, 6), [...pulp, `${oci}.index.v1+json`, `${oci}.manifest.v1+json`]);
  });

  test('without Docker-Content-Digest', async (t) => {
    const { upstream, registry } = await rig(t, { withoutDigestHeader: true });
    upstream.put('team/app', image, 'latest');
    assert.equal(await registry.head('latest'), undefined);
    assert.equal((await registry.manifest('latest')).digest, image.digest);
  });

  test('signed schema 1 has the digest of its payload', async (t) => {
    const { upstream, registry } = await rig(t);
    const old = signedSchema1Of('team/app', 'old');
    upstream.put('team/app', old, 'old');
    for (const reference of ['old', old.digest]) {
      const manifest = await registry.manifest(reference);
      assert.deepEqual([manifest.digest, manifest.kind], [old.digest, 'schema1']);
    }
  });

  test('other bytes than were asked for, or than the header says, are fetched again and then refused', async (t) => {
    const { upstream, registry } = await rig(t, {}, { max_retries: 1 });
    const lie = { mediaType: image.mediaType, digest: indexOf({ entries: [] }).digest, bytes: image.bytes };
    upstream.content.putManifest('team/app', lie, 'latest');
    for (const reference of ['latest', lie.digest]) {
      upstream.requests.reset();
      await assert.rejects(registry.manifest(reference), {
        kind: 'checksum',
        message: `[PLP0003] A file located at the url ${upstream.url}/v2/team/app/manifests/${reference} failed validation due to checksum. Expected '${lie.digest.slice(7)}', Actual '${image.digest.slice(7)}'`,
      });
      assert.equal(upstream.requests.count('GET', 'manifest'), 2);
    }
  });

  test('a tag that is not the expected manifest any more', async (t) => {
    const { upstream, registry } = await rig(t);
    upstream.put('team/app', image, 'latest');
    const other = indexOf({ entries: [] }).digest as Digest;
    await assert.rejects(registry.manifest('latest', other), { kind: 'checksum' });
    assert.equal((await registry.manifest('latest', image.digest as Digest)).digest, image.digest);
  });

  test('too large, of an unknown type: the message has the URL', async (t) => {
    const { upstream, registry } = await rig(t);
    upstream.fault({ kind: 'manifest', fault: FAULTS.hugeManifest(), times: 1 });
    await assert.rejects(registry.manifest('latest'), {
      message: /\/v2\/team\/app\/manifests\/latest is larger than 4194304 bytes/,
    });
    const body = '{"schemaVersion":2,"mediaType":"application/vnd.example+json"}';
    upstream.fault({ kind: 'manifest', fault: { answer: { status: 200, body } } });
    await assert.rejects(registry.manifest('latest'), {
      kind: 'media-type',
      message: `A manifest of an unknown media type was provided: application/vnd.example+json, at ${upstream.url}/v2/team/app/manifests/latest`,
    });
  });

  test('a reference outside the grammar is not asked for', async (t) => {
    const { upstream, registry } = await rig(t);
    for (const reference of ['../x', 'a/b', 'sha256:abc', '']) {
      await assert.rejects(registry.manifest(reference), { name: 'RegistryError', kind: 'reference' });
      await assert.rejects(registry.head(reference), { name: 'RegistryError', kind: 'reference' });
    }
    assert.equal(upstream.requests.total, 0);
    const open = (upstreamName: string) => () =>
      openRegistry(openFor(t, upstream.url), { url: upstream.url, upstreamName, sigstore: null, tokenRealms: [] });
    for (const name of ['../x', 'A', 'a?b', '']) assert.throws(open(name), { kind: 'reference' });
  });
});

describe('blobs', () => {
  test('held, in a file, as a stream', async (t) => {
    const { upstream, registry } = await rig(t);
    const small = blobOf('small');
    const large = largeLayer('large', 2_000_000);
    for (const blob of [small, large]) upstream.content.putBlob('team/app', blob);
    const descriptor = { digest: small.digest as Digest, size: small.size };
    assert.deepEqual(await registry.blob(descriptor), small.bytes);
    assert.deepEqual(await registry.blob({ ...descriptor, size: undefined }), small.bytes);
    const file = join(await temporaryFolder(t), 'file');
    const done = await registry.downloadBlob({ digest: large.digest as Digest, size: large.size }, targetAt(file), ['sha256']);
    assert.equal(done.checksums.sha256, large.digest.slice(7));
    assert.equal((await readFile(file)).length, large.size);
    const { body } = await registry.streamBlob({ digest: large.digest as Digest, size: large.size });
    let length = 0;
    for await (const chunk of body) length += (chunk as Buffer).length;
    assert.equal(length, large.size);
  });

  test('wrong digest, wrong size, too large to hold', async (t) => {
    const { upstream, registry } = await rig(t);
    const blob = blobOf('some bytes');
    const descriptor = { digest: blob.digest as Digest, size: blob.size };
    const url = `${upstream.url}/v2/team/app/blobs/${blob.digest}`;
    upstream.content.putBlob('team/app', blob);
    upstream.fault({ kind: 'blob', fault: FAULTS.wrongDigest, times: 1 });
    await assert.rejects(registry.blob(descriptor), { kind: 'checksum', message: /^\[PLP0003\] A file located at the url http/ });
    upstream.fault({ kind: 'blob', fault: FAULTS.wrongLength(3), times: 1 });
    await assert.rejects(registry.blob(descriptor), {
      kind: 'size',
      message: `The file at ${url} should have 10 bytes and has 13`,
    });
    await assert.rejects(registry.blob({ ...descriptor, size: 9_000_000 }), { kind: 'too-large' });
  });
});

describe('signatures', () => {
  const digest = image.digest as Digest;
  const signer = atomicSigner('seed');
  const signatures = [signer.sign('app', digest), signer.sign('app:2', digest)];

  test('of the extension: only schema version 2 and type atomic', async (t) => {
    const { upstream, registry } = await rig(t, { signatureExtension: true });
    assert.equal(await registry.supportsSignatures(), true);
    assert.equal(await registry.supportsSignatures(), true);
    assert.equal(upstream.requests.count('GET', 'ping'), 1);
    assert.deepEqual(await registry.extensionSignatures(digest), []);
    const entry = { schemaVersion: 2, name: `${digest}@1`, type: 'atomic', content: signatures[0]?.toString('base64') };
    const list = JSON.stringify({ signatures: [{ ...entry, schemaVersion: 1 }, { ...entry, type: 'x' }, entry] });
    upstream.fault({ kind: 'signature', fault: { answer: { status: 200, body: list } } });
    assert.deepEqual(
      (await registry.extensionSignatures(digest)).map(({ body }) => body),
      [signatures[0]],
    );
  });

  test('a registry that answers /v2/ by 401 or 404 has no extension; it is asked without credentials', async (t) => {
    const { upstream, registry } = await rig(t, {}, { username: 'me', password: 'secret' });
    upstream.fault({ kind: 'ping', fault: FAULTS.status(404), times: 1 });
    assert.equal(await registry.supportsSignatures(), false);
    const other = await rig(
      t,
      { auth: { scheme: 'basic', username: 'me', password: 'secret' } },
      { username: 'me', password: 'secret' },
    );
    assert.equal(await other.registry.supportsSignatures(), false);
    assert.deepEqual(
      other.upstream.requests.log.map(({ headers }) => headers.authorization),
      [undefined],
    );
    assert.deepEqual(await registry.extensionSignatures(digest), []);
  });

  test('of a lookaside server, one after the other until one is missing', async (t) => {
    const { upstream, registry } = await rig(t);
    assert.deepEqual(await registry.sigstoreSignatures(digest), []);
    assert.equal(upstream.requests.total, 0);
    const hex = digest.slice(7);
    const sigstore = `${upstream.url}/sigstore/`;
    const seen: string[] = [];
    upstream.fault({
      when: ({ url }) => url.startsWith('/sigstore/'),
      fault: {
        replace: ({ url }) => {
          seen.push(url);
          const bytes = signatures[Number(url.split('signature-')[1]) - 1] ?? Buffer.alloc(0);
          return { status: bytes.length > 0 ? 200 : 404, headers: {}, body: blobOf(bytes) };
        },
      },
    });
    const signed = await rig(t, {}, {}, { sigstore });
    assert.deepEqual(
      (await signed.registry.sigstoreSignatures(digest)).map(({ body }) => body),
      signatures,
    );
    assert.deepEqual(
      seen,
      [1, 2, 3].map((number) => `/sigstore/team/app@sha256=${hex}/signature-${number}`),
    );
  });
});
