import { type ImageContent, imageOf, indexOf, multiPlatformOf } from '../src/demo/image.ts';
import { type Layer, largeLayer, layerOf } from '../src/demo/layer.ts';

/** A repository's worth of content to mirror, and how to change one tag of it. */
export interface Workload {
  readonly tags: ReadonlyMap<string, ImageContent>;
  /** The tag that is moved for "one changed tag". */
  readonly changedTag: string;
  /** Another image for that tag; each number gives a different one. */
  changed(number: number): ImageContent;
}

/** How many units a repository holds once it was mirrored, by kind: `tags`, `objects`, … */
export type Expected = Record<string, number>;

export const WORKLOADS = ['tags', 'indexes', 'big', 'tags-5000'] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

/** What the workloads are, for the reader of a report. */
export function describeWorkload(name: WorkloadName, quick: boolean): string {
  const s = sizes(quick);
  if (name === 'tags')
    return `${s.tags} tags, 3 layers shared by all, 2 small layers each (${s.tags} manifests, ${3 * s.tags + 3} blobs)`;
  if (name === 'tags-5000') return `${5 * s.tags} tags of the same kind`;
  if (name === 'indexes') return `${s.indexes} indexes of 6 platforms (${7 * s.indexes} manifests, ${12 * s.indexes + 12} blobs)`;
  return `${s.images} images of ${s.layers} layers of ${s.megabytes} MB`;
}

function sizes(quick: boolean) {
  return quick
    ? { tags: 100, indexes: 10, images: 2, layers: 2, megabytes: 10 }
    : { tags: 1_000, indexes: 100, images: 5, layers: 4, megabytes: 100 };
}

/** Makes a workload. Equal seeds give equal content; no blob is shared between different seeds. */
export function workloadOf(name: WorkloadName, seed: string, quick: boolean): Workload {
  const s = sizes(quick);
  if (name === 'tags') return manyTags(seed, s.tags);
  if (name === 'tags-5000') return manyTags(seed, 5 * s.tags);
  if (name === 'indexes') return manyIndexes(seed, s.indexes);
  return bigImages(seed, s.images, s.layers, s.megabytes * 1_000_000);
}

/** What a mirror of the workload must hold. */
export function expectedOf(workload: Workload): { tags: number; manifests: number; blobs: number } {
  const manifests = new Set<string>();
  const blobs = new Set<string>();
  const visit = (image: ImageContent) => {
    manifests.add(image.digest);
    for (const blob of image.blobs) blobs.add(blob.digest);
    for (const child of image.children) visit(child);
  };
  for (const image of workload.tags.values()) visit(image);
  return { tags: workload.tags.size, manifests: manifests.size, blobs: blobs.size };
}

function manyTags(seed: string, count: number): Workload {
  const shared = [0, 1, 2].map((number) => largeLayer(`${seed} shared ${number}`, 20_000));
  const image = (name: string) =>
    imageOf({
      format: 'docker',
      labels: { name, seed },
      layers: [
        ...shared,
        layerOf({ [`opt/${name}`]: `${seed} ${name}` }),
        layerOf({ [`etc/${name}`]: `${seed} ${name} configuration` }),
      ],
    });
  const names = numbered('v', count);
  return {
    tags: new Map(names.map((name) => [name, image(name)])),
    changedTag: names[Math.floor(count / 2)] ?? 'v0000',
    changed: (number) => image(`change-${number}`),
  };
}

const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/ppc64le', 'linux/s390x', 'linux/riscv64'];

function manyIndexes(seed: string, count: number): Workload {
  const bases = new Map<string, Layer[]>();
  const baseOf = (architecture: string) => {
    const known = bases.get(architecture) ?? [0, 1].map((number) => largeLayer(`${seed} ${architecture} ${number}`, 20_000));
    bases.set(architecture, known);
    return known;
  };
  const index = (name: string) =>
    multiPlatformOf(PLATFORMS, ({ architecture }) => ({
      labels: { name, seed },
      layers: [...baseOf(architecture), layerOf({ [`opt/${name}`]: `${seed} ${name} ${architecture}` })],
    }));
  const names = numbered('i', count);
  return {
    tags: new Map(names.map((name) => [name, index(name)])),
    changedTag: names[Math.floor(count / 2)] ?? 'i0000',
    changed: (number) => index(`change-${number}`),
  };
}

function bigImages(seed: string, images: number, layers: number, size: number): Workload {
  const numbers = [...Array(layers).keys()];
  const all = numbered('b', images).map((name) => ({
    name,
    layers: numbers.map((number) => largeLayer(`${seed} ${name} ${number}`, size)),
  }));
  const first = all[0];
  if (first === undefined) throw new Error('A workload of big images needs at least one image');
  return {
    tags: new Map(all.map((image) => [image.name, imageOf({ layers: image.layers, labels: { name: image.name } })])),
    changedTag: first.name,
    changed: (number) => imageOf({ layers: [...first.layers.slice(0, -1), largeLayer(`${seed} change ${number}`, size)] }),
  };
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(4, '0')}`);
}

/** A small workload of its own, to warm a server up with. */
export function warmUpWorkload(seed: string): Workload {
  const workload = manyTags(`warm-up ${seed}`, 50);
  const index = indexOf({ entries: [...workload.tags.values()].slice(0, 2).map((content) => ({ content })) });
  return { ...workload, tags: new Map([...workload.tags, ['index', index]]) };
}
