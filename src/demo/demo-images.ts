import { generateKeyPairSync, sign } from 'node:crypto';
import { descriptorOf, type ImageContent, imageOf, MEDIA_TYPES, manifestContent, multiPlatformOf } from './image.ts';
import { blobOf, largeLayer, layerOf } from './layer.ts';

const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/s390x'];
const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';
const LAYER_BYTES = 4_000_000;

/** What the demo's upstream offers at first: tag -> image. */
export function demoImages(repository: string): ReadonlyMap<string, ImageContent> {
  const base = largeLayer('demo base', LAYER_BYTES);
  const release = (version: string) =>
    imageOf({
      format: 'docker',
      labels: { 'org.opencontainers.image.version': version },
      layers: [base, layerOf({ 'opt/hello/version': `${version}\n` })],
    });
  const stable = demoRelease('2.0');
  return new Map([
    ['1.0', release('1.0')],
    ['1.1', release('1.1')],
    ['2.0', stable],
    ['latest', stable],
    [`${stable.digest.replace(':', '-')}.sig`, signatureOf(stable, repository)],
  ]);
}

/** A release for four platforms, in one OCI index. */
export function demoRelease(version: string): ImageContent {
  return multiPlatformOf(PLATFORMS, ({ architecture }) => ({
    labels: { 'org.opencontainers.image.version': version },
    layers: [
      largeLayer(`demo base ${architecture}`, LAYER_BYTES),
      layerOf({ 'opt/hello/version': `${version}\n`, 'opt/hello/arch': architecture }),
    ],
  }));
}

/** A signature as cosign stores it beside an image, by a key made for the occasion. */
function signatureOf(image: ImageContent, repository: string): ImageContent {
  const payload = blobOf(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': repository },
        image: { 'docker-manifest-digest': image.digest },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signature = sign('sha256', payload.bytes ?? Buffer.alloc(0), privateKey).toString('base64');
  const config = blobOf(
    JSON.stringify({ architecture: '', os: '', config: {}, rootfs: { type: 'layers', diff_ids: [payload.digest] } }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.oci.manifest,
    config: descriptorOf(config, MEDIA_TYPES.oci.config),
    layers: [{ ...descriptorOf(payload, SIMPLE_SIGNING), annotations: { 'dev.cosignproject.cosign/signature': signature } }],
  };
  return manifestContent(MEDIA_TYPES.oci.manifest, manifest, [config, payload]);
}
