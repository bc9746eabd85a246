import { z } from 'zod';
import { parseBoundedJson } from './bounded-json.ts';
import type { Manifest, Platform } from './manifest.ts';
import { DOCKER_CONFIG, HELM_CONFIG, OCI_ARTIFACT_MANIFEST, OCI_CONFIG, OCI_EMPTY, OCI_MANIFEST } from './media-types.ts';
import { RegistryError } from './registry-error.ts';

/** What a manifest is for, in Pulp's words. */
export type ManifestType =
  | 'image'
  | 'index'
  | 'bootable'
  | 'flatpak'
  | 'helm'
  | 'artifact'
  | 'cosign_signature'
  | 'cosign_attestation'
  | 'cosign_attestation_bundle'
  | 'cosign_sbom';

/** Columns of a manifest's row that follow from its bytes, its config and its place in an index (spec: sync, derived fields). */
export interface DerivedFields {
  readonly type: ManifestType;
  readonly is_bootable: boolean;
  readonly is_flatpak: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly architecture: string | null;
  readonly os: string | null;
  /** Bytes. */
  readonly compressed_image_size: number | null;
}

export interface DerivedFrom {
  /** The config blob, where `readsConfig` says that it is needed. */
  readonly config?: Buffer | undefined;
  /** Of the index entry that named the manifest. */
  readonly platform?: Platform | undefined;
}

const COSIGN_LAYERS = new Map<string, ManifestType>([
  ['application/vnd.dev.cosign.simplesigning.v1+json', 'cosign_signature'],
  ['application/vnd.dsse.envelope.v1+json', 'cosign_attestation'],
  ['application/vnd.dev.sigstore.bundle.v0.3+json', 'cosign_attestation_bundle'],
  ['text/spdx', 'cosign_sbom'],
  ['text/spdx+json', 'cosign_sbom'],
  ['text/spdx+xml', 'cosign_sbom'],
  ['application/vnd.cyclonedx', 'cosign_sbom'],
  ['application/vnd.cyclonedx+json', 'cosign_sbom'],
  ['application/vnd.cyclonedx+xml', 'cosign_sbom'],
  ['application/vnd.syft+json', 'cosign_sbom'],
]);

const IMAGE_CONFIGS: ReadonlySet<string> = new Set([OCI_CONFIG, DOCKER_CONFIG]);

const configSchema = z.object({
  architecture: z.string().nullish(),
  os: z.string().nullish(),
  config: z.object({ Labels: z.record(z.string(), z.string().nullable()).nullish() }).nullish(),
});

type ImageConfig = z.output<typeof configSchema>;

/** Whether the config blob says something about the manifest: only image configs do; others may be any bytes. */
export const readsConfig = (manifest: Manifest): boolean =>
  manifest.config !== undefined && IMAGE_CONFIGS.has(manifest.config.mediaType);

/** Throws RegistryError where the manifest has an image config and it is no JSON object. */
export function derivedFields(manifest: Manifest, { config, platform }: DerivedFrom = {}): DerivedFields {
  const image = config && readsConfig(manifest) ? parseConfig(config, manifest) : undefined;
  const labels = labelsOf(image);
  const type = typeOf(manifest, labels);
  const hasPlatform = type !== 'index' && type !== 'helm' && type !== 'artifact';
  return {
    type,
    is_bootable: type === 'bootable',
    is_flatpak: type === 'flatpak',
    labels,
    annotations: manifest.annotations,
    architecture: hasPlatform ? (manifest.architecture ?? platform?.architecture ?? image?.architecture ?? null) : null,
    os: hasPlatform ? (manifest.os ?? platform?.os ?? image?.os ?? null) : null,
    compressed_image_size: manifest.layersSize,
  };
}

/** An index is bootable, or a flatpak, where one of its children is; its type stays `index`. */
export const inheritedFields = (
  children: readonly Pick<DerivedFields, 'is_bootable' | 'is_flatpak'>[],
): Pick<DerivedFields, 'is_bootable' | 'is_flatpak'> => ({
  is_bootable: children.some((child) => child.is_bootable),
  is_flatpak: children.some((child) => child.is_flatpak),
});

function parseConfig(bytes: Buffer, manifest: Manifest): ImageConfig {
  const what = `The config ${manifest.config?.digest} of the manifest ${manifest.digest}`;
  const parsed = configSchema.safeParse(parseBoundedJson(bytes, 'manifest', what));
  if (!parsed.success) throw new RegistryError('manifest', `${what} is not an image configuration`, { cause: parsed.error });
  return parsed.data;
}

function labelsOf(config: ImageConfig | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [name, value] of Object.entries(config?.config?.Labels ?? {})) if (value !== null) labels[name] = value;
  return labels;
}

/** The first that fits, in Pulp's order. */
function typeOf(manifest: Manifest, labels: Readonly<Record<string, string>>): ManifestType {
  if (manifest.kind === 'index') return 'index';
  if (manifest.annotations['containers.bootc'] === '1' || labels['containers.bootc'] === '1') return 'bootable';
  if (labels['org.flatpak.ref'] !== undefined) return 'flatpak';
  if (manifest.config?.mediaType === HELM_CONFIG) return 'helm';
  for (const layer of manifest.layers) {
    const cosign = COSIGN_LAYERS.get(layer.mediaType);
    if (cosign) return cosign;
  }
  return isArtifact(manifest) ? 'artifact' : 'image';
}

function isArtifact({ mediaType, artifactType, config }: Manifest): boolean {
  if (mediaType === OCI_ARTIFACT_MANIFEST) return true;
  if (mediaType !== OCI_MANIFEST) return false;
  return artifactType !== undefined || config?.mediaType === OCI_EMPTY || !IMAGE_CONFIGS.has(config?.mediaType ?? '');
}
