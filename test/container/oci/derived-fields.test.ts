import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ImageContent, type ImageOptions, imageOf, MEDIA_TYPES, multiPlatformOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import {
  type DerivedFields,
  derivedFields,
  inheritedFields,
  readsConfig,
} from '../../../src/plugins/container/oci/derived-fields.ts';
import { type Platform, parseManifest } from '../../../src/plugins/container/oci/manifest.ts';
import {
  artifactOf,
  BOOTC_LABELS,
  buildkitAttestationEntry,
  cosignAttestationOf,
  cosignSbomOf,
  cosignSignatureOf,
  FLATPAK_LABELS,
  helmChartOf,
  schema1Of,
  sigstoreBundleOf,
} from '../../support/images.ts';

/** The fields as a sync derives them: the config is the first blob. */
function derive(image: ImageContent, platform?: Platform): DerivedFields {
  const manifest = parseManifest(image.bytes, { contentType: image.mediaType });
  const config = image.blobs[0]?.bytes ?? undefined;
  return derivedFields(manifest, { config: readsConfig(manifest) ? config : undefined, platform });
}

const layer = layerOf({ a: '1' });
const plain = imageOf({ layers: [layer] });

describe('type, architecture, os (spec: sync, derived fields)', () => {
  const artifact = { architecture: null, os: null };
  const cases: Record<string, { image: ImageContent; is: Partial<DerivedFields> }> = {
    image: { image: plain, is: { type: 'image', architecture: 'amd64', os: 'linux', compressed_image_size: layer.size } },
    'Docker image': { image: imageOf({ format: 'docker', architecture: 's390x' }), is: { type: 'image', architecture: 's390x' } },
    'bootable by label': {
      image: imageOf({ labels: BOOTC_LABELS }),
      is: { type: 'bootable', is_bootable: true, labels: BOOTC_LABELS },
    },
    'bootable by annotation': {
      image: imageOf({ annotations: { 'containers.bootc': '1' } }),
      is: { type: 'bootable', is_bootable: true, annotations: { 'containers.bootc': '1' } },
    },
    'not bootable': { image: imageOf({ labels: { 'containers.bootc': '0' } }), is: { type: 'image', is_bootable: false } },
    flatpak: { image: imageOf({ labels: FLATPAK_LABELS }), is: { type: 'flatpak', is_flatpak: true } },
    'bootable before flatpak': {
      image: imageOf({ labels: { ...FLATPAK_LABELS, ...BOOTC_LABELS } }),
      is: { type: 'bootable', is_flatpak: false },
    },
    helm: { image: helmChartOf('chart', '1.0.0'), is: { type: 'helm', ...artifact } },
    'cosign signature': { image: cosignSignatureOf(plain), is: { type: 'cosign_signature' } },
    'cosign attestation': { image: cosignAttestationOf(plain), is: { type: 'cosign_attestation' } },
    'cosign SBOM': { image: cosignSbomOf(plain), is: { type: 'cosign_sbom' } },
    'sigstore bundle': { image: sigstoreBundleOf(plain), is: { type: 'cosign_attestation_bundle' } },
    'artifact by type': { image: artifactOf({ artifactType: 'a/b' }), is: { type: 'artifact', ...artifact } },
    'artifact by empty config': { image: artifactOf({}), is: { type: 'artifact', ...artifact } },
    'artifact by unknown config': {
      image: artifactOf({ config: { mediaType: 'application/x', content: 'no JSON' } }),
      is: { type: 'artifact', ...artifact, labels: {} },
    },
    'schema 1': { image: schema1Of('x', 'y'), is: { type: 'image', architecture: 'amd64', os: null, compressed_image_size: 0 } },
    index: {
      image: multiPlatformOf(['linux/amd64'], (): ImageOptions => ({ labels: BOOTC_LABELS })),
      is: { type: 'index', ...artifact, compressed_image_size: null, is_bootable: false, labels: {} },
    },
  };
  for (const [name, { image, is }] of Object.entries(cases)) {
    test(name, () => {
      const fields = derive(image);
      assert.deepEqual({ ...fields, ...is }, fields);
    });
  }

  test('the platform of the index stands before the config: BuildKit attestations are unknown', () => {
    const { content, platform } = buildkitAttestationEntry(plain);
    const none = { os_version: null, os_features: null, features: null, variant: null };
    const fields = derive(content, { ...platform, ...none });
    assert.deepEqual([fields.type, fields.architecture, fields.os], ['image', 'unknown', 'unknown']);
  });

  test('an index inherits from its children', () => {
    const children = [derive(plain), derive(imageOf({ labels: BOOTC_LABELS }))];
    assert.deepEqual(inheritedFields(children), { is_bootable: true, is_flatpak: false });
    assert.deepEqual(inheritedFields([]), { is_bootable: false, is_flatpak: false });
  });
});

test('an image config that is none is named', () => {
  const manifest = parseManifest(plain.bytes);
  for (const config of ['[]', 'null', '{"os":1}', 'x', '']) {
    assert.throws(() => derivedFields(manifest, { config: Buffer.from(config) }), {
      kind: 'manifest',
      message: new RegExp(`^The config ${manifest.config?.digest} of the manifest ${manifest.digest}`),
    });
  }
  assert.deepEqual(derivedFields(manifest, { config: Buffer.from('{"config":null}') }).labels, {});
  assert.equal(manifest.mediaType, MEDIA_TYPES.oci.manifest);
});
