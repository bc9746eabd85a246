import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { imageOf, indexOf, MEDIA_TYPES, manifestContent, multiPlatformOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { type Digest, digestOf } from '../../../src/lib/digest.ts';
import { parseManifest } from '../../../src/plugins/container/oci/manifest.ts';
import { crowdedIndex, schema1Of, signedSchema1Of } from '../../support/images.ts';

const first = layerOf({ a: '1' });
const second = layerOf({ b: '2' });
const json = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));
const OCI = MEDIA_TYPES.oci;
const DOCKER = MEDIA_TYPES.docker;

describe('images', () => {
  for (const format of ['oci', 'docker'] as const) {
    test(format, () => {
      const image = imageOf({ format, layers: [first, second], annotations: { x: 'y' } });
      const manifest = parseManifest(image.bytes);
      assert.deepEqual(
        [manifest.kind, manifest.digest, manifest.mediaType, manifest.schemaVersion],
        ['image', image.digest, MEDIA_TYPES[format].manifest, 2],
      );
      assert.deepEqual(
        [manifest.config, ...manifest.layers].map((one) => [one?.digest, one?.size]),
        image.blobs.map(({ digest, size }) => [digest, size]),
      );
      assert.equal(manifest.layersSize, first.size + second.size);
      assert.deepEqual(manifest.annotations, { x: 'y' });
      assert.equal(manifest.body, image.bytes);
    });
  }

  test('foreign layers are neither listed nor counted', () => {
    for (const format of ['oci', 'docker'] as const) {
      const foreignLayers = [{ layer: second, urls: ['http://elsewhere/'] }];
      const manifest = parseManifest(imageOf({ format, layers: [first], foreignLayers }).bytes);
      assert.deepEqual([manifest.layers.map(({ digest }) => digest), manifest.layersSize], [[first.digest], first.size]);
    }
  });

  test('a layer that is listed twice counts twice and is listed once', () => {
    const manifest = parseManifest(imageOf({ layers: [second, first, second] }).bytes);
    assert.deepEqual(
      manifest.layers.map(({ digest }) => digest),
      [second.digest, first.digest],
    );
    assert.equal(manifest.layersSize, 2 * second.size + first.size);
  });

  test('subject and artifactType; the retired artifact manifest', () => {
    const image = imageOf();
    const subject = { mediaType: OCI.manifest, digest: image.digest, size: image.bytes.length };
    const referrer = parseManifest(imageOf({ subject }).bytes);
    assert.equal(referrer.subject, image.digest);
    const mediaType = 'application/vnd.oci.artifact.manifest.v1+json';
    const blobs = [{ mediaType: 'text/plain', digest: first.digest, size: first.size }];
    const retired = parseManifest(json({ mediaType, artifactType: 'a/b', blobs, subject }));
    assert.deepEqual(
      [retired.kind, retired.mediaType, retired.artifactType, retired.config, retired.layersSize, retired.subject],
      ['image', mediaType, 'a/b', undefined, first.size, image.digest],
    );
  });
});

describe('indexes', () => {
  test('children with their platforms', () => {
    const index = multiPlatformOf(['linux/amd64', 'linux/arm/v7'], () => ({}));
    const manifest = parseManifest(index.bytes);
    assert.deepEqual([manifest.kind, manifest.layersSize, manifest.children.length], ['index', null, 2]);
    const none = { os_version: null, os_features: null, features: null };
    assert.deepEqual(
      manifest.children.map(({ platform }) => platform),
      [
        { os: 'linux', architecture: 'amd64', variant: null, ...none },
        { os: 'linux', architecture: 'arm', variant: 'v7', ...none },
      ],
    );
  });

  test('without platforms, of indexes, empty, and as a Docker list', () => {
    const inner = indexOf({ entries: [{ content: imageOf() }] });
    const nested = parseManifest(indexOf({ entries: [{ content: inner }] }).bytes);
    assert.deepEqual([nested.children[0]?.mediaType, nested.children[0]?.platform.os], [OCI.index, null]);
    assert.deepEqual(parseManifest(indexOf({ entries: [] }).bytes).children, []);
    assert.deepEqual(parseManifest(json({ schemaVersion: 2, mediaType: OCI.index, manifests: null })).children, []);
    assert.equal(parseManifest(indexOf({ format: 'docker', entries: [] }).bytes).mediaType, DOCKER.index);
  });

  test('at most 1,000 entries', () => {
    assert.equal(parseManifest(crowdedIndex(1000).bytes).children.length > 0, true);
    assert.throws(() => parseManifest(crowdedIndex(1001).bytes), { kind: 'manifest', message: /lists 1001 manifests/ });
  });
});

describe('schema 1', () => {
  test('unsigned', () => {
    const image = schema1Of('x', 'old', [first, second, first]);
    const manifest = parseManifest(image.bytes, { contentType: image.mediaType });
    assert.deepEqual(
      [manifest.kind, manifest.digest, manifest.mediaType, manifest.schemaVersion, manifest.layersSize, manifest.architecture],
      ['schema1', image.digest, image.mediaType, 1, 0, 'amd64'],
    );
    assert.deepEqual(
      manifest.layers.map(({ digest, size }) => [digest, size]),
      [first, second].map(({ digest }) => [digest, undefined]),
    );
  });

  test('signed: the digest is of the payload', () => {
    const image = signedSchema1Of('x', 'old');
    assert.notEqual(digestOf(image.bytes), image.digest);
    assert.equal(parseManifest(image.bytes, { contentType: image.mediaType }).digest, image.digest);
    const guessed = parseManifest(image.bytes, { expected: image.digest as Digest });
    assert.deepEqual([guessed.digest, guessed.mediaType], [image.digest, image.mediaType]);
  });
});

describe('the media type where the manifest states none (spec: sync, manifest kinds)', () => {
  const image = imageOf({ withoutMediaType: true }).bytes;
  const cases: Record<string, { body: Buffer; contentType?: string; is: string }> = {
    'by Content-Type': { body: image, contentType: `${OCI.manifest}; charset=utf-8`, is: OCI.manifest },
    'an OCI config': { body: image, contentType: 'application/json', is: OCI.manifest },
    'another config': { body: imageOf({ format: 'docker', withoutMediaType: true }).bytes, is: DOCKER.manifest },
    'OCI children': { body: indexOf({ entries: [{ content: imageOf() }], withoutMediaType: true }).bytes, is: OCI.index },
    'Docker children': {
      body: indexOf({ format: 'docker', entries: [{ content: imageOf({ format: 'docker' }) }], withoutMediaType: true }).bytes,
      is: DOCKER.index,
    },
    'schema 1': { body: schema1Of('x', 'y').bytes, is: 'application/vnd.docker.distribution.manifest.v1+json' },
  };
  for (const [name, { body, contentType, is }] of Object.entries(cases)) {
    test(name, () => assert.equal(parseManifest(body, { contentType }).mediaType, is));
  }
});

describe('what is refused', () => {
  const valid = JSON.parse(imageOf().bytes.toString()) as Record<string, unknown>;
  const cases: Record<string, { body: Buffer; kind?: string; contentType?: string; message: RegExp }> = {
    'no JSON': { body: Buffer.from('{"a'), message: /it is not JSON/ },
    'a web page': { body: Buffer.from('<html>'), message: /looks like a web page/ },
    'an array': { body: json([]), message: /is invalid/ },
    null: { body: json(null), message: /is invalid/ },
    'an unknown type': {
      body: json({ ...valid, mediaType: 'application/vnd.example.v1+json' }),
      kind: 'media-type',
      message: /A manifest of an unknown media type was provided: application\/vnd\.example\.v1\+json/,
    },
    'an unknown Content-Type': {
      body: json({}),
      kind: 'media-type',
      contentType: 'application/vnd.x+json',
      message: /vnd\.x\+json/,
    },
    'nothing to go by': { body: json({}), kind: 'media-type', message: /none is stated/ },
    'an index that is an image': { body: json({ ...valid, manifests: [] }), message: /must not have the field manifests/ },
    'an image that is an index': {
      body: json({ schemaVersion: 2, mediaType: OCI.index, manifests: [], layers: [] }),
      message: /must not have the field layers/,
    },
    'schema version 3': { body: json({ ...valid, schemaVersion: 3 }), message: /schemaVersion/ },
    'no config': { body: json({ ...valid, config: undefined }), message: /config/ },
    'a digest with dots': {
      body: json({ ...valid, layers: [{ mediaType: OCI.layer, digest: 'sha256:../../etc/passwd', size: 1 }] }),
      message: /layers\.0\.digest: must be sha256/,
    },
    'a negative size': {
      body: json({ ...valid, layers: [{ mediaType: OCI.layer, digest: first.digest, size: -1 }] }),
      message: /layers\.0\.size/,
    },
    '65 levels': { body: Buffer.from(`{"a":${'['.repeat(64)}${']'.repeat(64)}}`), message: /more than 64 levels/ },
    'over 4 MiB': { body: Buffer.alloc(4 * 1024 * 1024 + 1, ' '), message: /larger than 4194304 bytes/ },
  };
  for (const [name, { body, kind = 'manifest', contentType, message }] of Object.entries(cases)) {
    test(name, () => assert.throws(() => parseManifest(body, { contentType }), { name: 'RegistryError', kind, message }));
  }

  test('brackets in texts are no levels', () => {
    const annotations = { text: `${'['.repeat(100)}\\"${'{'.repeat(100)}` };
    assert.deepEqual(parseManifest(imageOf({ annotations }).bytes).annotations, annotations);
  });

  test('other bytes than expected', () => {
    const expected = `sha256:${'0'.repeat(64)}` as Digest;
    assert.throws(() => parseManifest(imageOf().bytes, { expected }), {
      kind: 'digest',
      message: /expected sha256:0+, received/,
    });
  });

  test('a digest of sha512 is compared in sha512', () => {
    const { bytes } = imageOf();
    const expected = `sha512:${createHash('sha512').update(bytes).digest('hex')}` as Digest;
    assert.equal(parseManifest(bytes, { expected }).digest, expected);
  });

  test('a payload rule borrowed by something that is no schema 1', () => {
    const signed = JSON.parse(signedSchema1Of('x', 'y').bytes.toString()) as Record<string, unknown>;
    const body = manifestContent(OCI.manifest, { ...signed, schemaVersion: 2 }, []).bytes;
    assert.throws(() => parseManifest(body, { expected: `sha256:${'0'.repeat(64)}` as Digest }), { kind: 'digest' });
  });
});
