import {
  type Descriptor,
  descriptorOf,
  type ImageContent,
  imageOf,
  indexOf,
  MEDIA_TYPES,
  manifestContent,
  multiPlatformOf,
} from '../../src/demo/image.ts';
import { blobOf, type Layer, layerOf, sha256Digest } from '../../src/demo/layer.ts';

/** The two-byte configuration `{}` of OCI artifacts. */
const EMPTY_CONFIG = blobOf('{}');
const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json';
const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';

/** A file of an artifact: its media type, text and annotations. */
export interface ArtifactFile {
  mediaType: string;
  content: string;
  annotations?: Readonly<Record<string, string>>;
}

/** What `artifactOf` makes an OCI artifact from. */
export interface ArtifactOptions {
  artifactType?: string;
  /** Configuration with its media type; the empty one by default. */
  config?: { mediaType: string; content: string };
  files?: readonly ArtifactFile[];
  subject?: Descriptor;
  annotations?: Readonly<Record<string, string>>;
}

/** An OCI artifact: an image manifest with any configuration and any files. */
export function artifactOf(options: ArtifactOptions): ImageContent {
  const config = options.config === undefined ? EMPTY_CONFIG : blobOf(options.config.content);
  const files = (options.files ?? []).map((file) => ({ ...file, blob: blobOf(file.content) }));
  const layers = files.map(({ blob, mediaType, annotations }) => ({
    ...descriptorOf(blob, mediaType),
    ...(annotations === undefined ? {} : { annotations }),
  }));
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.oci.manifest,
    ...(options.artifactType === undefined ? {} : { artifactType: options.artifactType }),
    config: descriptorOf(config, options.config?.mediaType ?? EMPTY_TYPE),
    layers: layers.length > 0 ? layers : [descriptorOf(EMPTY_CONFIG, EMPTY_TYPE)],
    ...(options.subject === undefined ? {} : { subject: options.subject }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  };
  return manifestContent(MEDIA_TYPES.oci.manifest, manifest, [config, ...files.map(({ blob }) => blob)]);
}

/** A Helm chart as `helm push` stores it. */
export function helmChartOf(name: string, version: string): ImageContent {
  return artifactOf({
    config: {
      mediaType: 'application/vnd.cncf.helm.config.v1+json',
      content: JSON.stringify({ name, version, apiVersion: 'v2', type: 'application' }),
    },
    files: [{ mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', content: `chart ${name} ${version}` }],
    annotations: { 'org.opencontainers.image.title': name, 'org.opencontainers.image.version': version },
  });
}

/** Tag under which a companion of a digest is found: `sha256-<hex>`, with `.sig`, `.att` or `.sbom` for cosign's. */
export function companionTag(digest: string, suffix: '' | '.sig' | '.att' | '.sbom'): string {
  return `${digest.replace(':', '-')}${suffix}`;
}

/** A cosign signature of a manifest, to be tagged `companionTag(digest, '.sig')`. */
export function cosignSignatureOf(image: ImageContent, dockerReference = 'registry.example/app'): ImageContent {
  const payload = JSON.stringify({
    critical: {
      identity: { 'docker-reference': dockerReference },
      image: { 'docker-manifest-digest': image.digest },
      type: 'cosign container image signature',
    },
    optional: null,
  });
  const annotations = { 'dev.cosignproject.cosign/signature': Buffer.from(`signature of ${image.digest}`).toString('base64') };
  return companionOf([{ mediaType: SIMPLE_SIGNING, content: payload, annotations }]);
}

/** A cosign attestation of a manifest, to be tagged `companionTag(digest, '.att')`. */
export function cosignAttestationOf(image: ImageContent): ImageContent {
  const statement = { _type: 'https://in-toto.io/Statement/v0.1', subject: [{ digest: { sha256: image.digest.slice(7) } }] };
  const payload = Buffer.from(JSON.stringify(statement)).toString('base64');
  const envelope = JSON.stringify({
    payloadType: 'application/vnd.in-toto+json',
    payload,
    signatures: [{ keyid: '', sig: 'AA==' }],
  });
  return companionOf([{ mediaType: 'application/vnd.dsse.envelope.v1+json', content: envelope }]);
}

/** A cosign SBOM of a manifest, to be tagged `companionTag(digest, '.sbom')`. */
export function cosignSbomOf(image: ImageContent): ImageContent {
  return companionOf([{ mediaType: 'text/spdx+json', content: JSON.stringify({ spdxVersion: 'SPDX-2.3', name: image.digest }) }]);
}

/** A sigstore bundle that refers to a manifest by `subject`, as cosign 3 makes it. */
export function sigstoreBundleOf(image: ImageContent): ImageContent {
  const type = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  return artifactOf({
    artifactType: type,
    files: [{ mediaType: type, content: JSON.stringify({ mediaType: type, messageSignature: {} }) }],
    subject: descriptorOf(image, image.mediaType),
  });
}

/** The OCI fallback index of referrers of a manifest, to be tagged `companionTag(digest, '')`. */
export function referrersIndexOf(referrers: readonly { content: ImageContent; artifactType: string }[]): ImageContent {
  return indexOf({ entries: referrers });
}

function companionOf(files: readonly ArtifactFile[]): ImageContent {
  const config = {
    architecture: '',
    os: '',
    config: {},
    rootfs: { type: 'layers', diff_ids: files.map((file) => sha256Digest(Buffer.from(file.content))) },
  };
  return artifactOf({ config: { mediaType: MEDIA_TYPES.oci.config, content: JSON.stringify(config) }, files });
}

/** An image that boots: label `containers.bootc` of its configuration. */
export const BOOTC_LABELS = { 'containers.bootc': '1', 'ostree.bootable': 'true' };

/** An image that carries a flatpak: label `org.flatpak.ref` of its configuration. */
export const FLATPAK_LABELS = {
  'org.flatpak.ref': 'app/org.example.App/x86_64/stable',
  'org.flatpak.metadata': '[Application]\n',
};

/** An attestation manifest as BuildKit lists it beside an image; its entry has the platform `unknown/unknown`. */
export function buildkitAttestationEntry(image: ImageContent) {
  const statement = JSON.stringify({
    _type: 'https://in-toto.io/Statement/v0.1',
    subject: [{ digest: { sha256: image.digest.slice(7) } }],
  });
  const content = artifactOf({
    config: {
      mediaType: MEDIA_TYPES.oci.config,
      content: '{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}',
    },
    files: [{ mediaType: 'application/vnd.in-toto+json', content: statement }],
  });
  const annotations = { 'vnd.docker.reference.digest': image.digest, 'vnd.docker.reference.type': 'attestation-manifest' };
  return { content, platform: { architecture: 'unknown', os: 'unknown' }, annotations };
}

/** A Docker schema 1 manifest without signature. */
export function schema1Of(name: string, tag: string, layers: readonly Layer[] = [layerOf({ 'etc/motd': name })]): ImageContent {
  const bytes = Buffer.from(schema1Text(name, tag, layers));
  const mediaType = 'application/vnd.docker.distribution.manifest.v1+json';
  return { mediaType, digest: sha256Digest(bytes), bytes, blobs: layers, children: [] };
}

/**
 * A signed Docker schema 1 manifest. The signature is cut into the payload as Docker did it: the payload is the first
 * `formatLength` bytes followed by `formatTail`, and the digest is that of the payload.
 */
export function signedSchema1Of(
  name: string,
  tag: string,
  layers: readonly Layer[] = [layerOf({ 'etc/motd': name })],
): ImageContent {
  const payload = schema1Text(name, tag, layers);
  const formatTail = '\n}';
  const head = payload.slice(0, -formatTail.length);
  const protection = {
    formatLength: Buffer.byteLength(head),
    formatTail: Buffer.from(formatTail).toString('base64url'),
    time: '2016-01-01T00:00:00Z',
  };
  const signatures = [
    {
      header: { jwk: { crv: 'P-256', kid: 'AAAA:BBBB', kty: 'EC', x: 'AA', y: 'AA' }, alg: 'ES256' },
      signature: Buffer.alloc(64, 1).toString('base64url'),
      protected: Buffer.from(JSON.stringify(protection)).toString('base64url'),
    },
  ];
  const text = `${head},\n   "signatures": ${JSON.stringify(signatures, null, 3).replaceAll('\n', '\n   ')}${formatTail}`;
  const mediaType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  return { mediaType, digest: sha256Digest(Buffer.from(payload)), bytes: Buffer.from(text), blobs: layers, children: [] };
}

function schema1Text(name: string, tag: string, layers: readonly Layer[]): string {
  const history = layers.map((layer, index) => ({
    v1Compatibility: JSON.stringify({
      id: layer.digest.slice(7),
      architecture: 'amd64',
      os: 'linux',
      ...(index === 0 ? { config: {} } : {}),
    }),
  }));
  const fsLayers = layers.map((layer) => ({ blobSum: layer.digest }));
  return JSON.stringify({ schemaVersion: 1, name, tag, architecture: 'amd64', fsLayers, history }, null, 3);
}

/** An index served under a digest that it lists itself. No honest digest can do that, so the digest is a claim. */
export function selfListingIndex(): ImageContent {
  const digest = `sha256:${'5e'.repeat(32)}`;
  const entry = { mediaType: MEDIA_TYPES.oci.index, digest, size: 500 };
  return {
    ...manifestContent(MEDIA_TYPES.oci.index, { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: [entry] }, []),
    digest,
  };
}

/** An index that lists `count` manifests which do not exist. */
export function crowdedIndex(count = 1_001): ImageContent {
  const manifests = Array.from({ length: count }, (_, index) => ({
    mediaType: MEDIA_TYPES.oci.manifest,
    digest: sha256Digest(Buffer.from(`child ${index}`)),
    size: 500,
  }));
  return manifestContent(MEDIA_TYPES.oci.index, { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests }, []);
}

/** A small image of two parts, the config and one layer, that no other text gives. */
export const simpleImage = (text: string): ImageContent => imageOf({ layers: [layerOf({ 'etc/motd': text })], labels: { text } });

/** Two platforms of such an image. */
export const simpleIndex = (text: string): ImageContent =>
  multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
    layers: [layerOf({ 'etc/motd': `${text} ${architecture}` })],
  }));

/** An index of such images, the first for linux/amd64 and the others for platforms that no other has. */
export const indexOfImages = (...images: readonly ImageContent[]): ImageContent =>
  indexOf({
    entries: images.map((content, at) => ({
      content,
      platform: { os: 'linux', architecture: at === 0 ? 'amd64' : `other${at}` },
    })),
  });
