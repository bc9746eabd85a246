import { randomBytes } from 'node:crypto';
import { MEDIA_TYPES } from '../src/demo/image.ts';
import { UsageMeter } from './process-usage.ts';
import { type Pulled, pullLoad } from './pull-load.ts';
import { PushClient } from './push-client.ts';
import { largeImage, type PushImage, SharedBytes, smallImage } from './push-content.ts';
import type { RegistryTarget } from './registry-target.ts';

export const REGISTRY_WORKS = [
  'manifest by tag',
  'manifest by digest',
  'blob of 10 kB',
  'blob of 100 MB, 1 client',
  'blob of 100 MB, 8 clients',
  'anonymous token',
  'push of 100 MB layers',
  'push of small images, one repository',
  'push of small images, 16 repositories',
] as const;
export type RegistryWork = (typeof REGISTRY_WORKS)[number];

/** One work by one registry. Numbers that do not belong to the work are absent. */
export interface RegistryMeasurement {
  readonly work: RegistryWork;
  readonly subject: string;
  readonly round: number;
  readonly seconds: number;
  /** Answers, or images that were pushed. */
  readonly count: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly cpuByRole: Readonly<Record<string, number>>;
  /** Largest resident set of any one process of a kind, MB. */
  readonly peakMegabytes: Readonly<Record<string, number>>;
  /** The same without the program's files, which processes share. */
  readonly peakOwnMegabytes: Readonly<Record<string, number>>;
  /** Milliseconds. */
  readonly medianLatency?: number;
  readonly p99Latency?: number;
  /** How busy the load generator was, 0 to 1. */
  readonly loadBusy?: number;
  /** Answers with 429. */
  readonly refused?: number;
}

export interface RegistryBenchOptions {
  readonly rounds: number;
  readonly quick: boolean;
  /** Of each pull work. */
  readonly seconds: number;
  readonly works: readonly RegistryWork[];
  readonly onVersions: (subject: string, versions: Readonly<Record<string, string>>) => void;
  readonly onMeasured: (measurement: RegistryMeasurement) => void;
}

const sizesOf = (quick: boolean) =>
  quick
    ? { tags: 10, large: 10_000_000, smallImages: 32, largeImages: 1 }
    : { tags: 100, large: 100_000_000, smallImages: 500, largeImages: 5 };
const ACCEPT = { accept: [MEDIA_TYPES.oci.manifest, MEDIA_TYPES.docker.manifest].join(', ') };
const LAYERS = 4;
const CLIENTS = 16;
/** What a much slower registry gets of a work. */
const SLOW_SHARE = 0.1;

/** Opens the registries, runs the works one after the other, and within each one registry after the other, round by round. */
export async function runRegistryBench(
  openers: readonly (() => Promise<RegistryTarget>)[],
  options: RegistryBenchOptions,
): Promise<RegistryMeasurement[]> {
  const namespace = `bench-${randomBytes(4).toString('hex')}`;
  const scene = new Scene(`${namespace}/pulled`, options.quick);
  const pushes = new Pushes(namespace, options.quick);
  const targets: RegistryTarget[] = [];
  const measurements: RegistryMeasurement[] = [];
  try {
    for (const open of openers) {
      const target = await open();
      targets.push(target);
      options.onVersions(target.name, await target.versions());
      await scene.prepare(target);
    }
    for (let round = 1; round <= options.rounds; round++) {
      for (const work of options.works) {
        for (const target of targets) {
          const measured = await (work.startsWith('push')
            ? pushes.measure(target, work)
            : scene.measure(target, work, options.seconds));
          if (!measured) continue;
          const measurement = { work, subject: target.name, round, ...measured };
          measurements.push(measurement);
          options.onMeasured(measurement);
        }
      }
    }
    return measurements;
  } finally {
    for (const target of targets) await target.close(namespace);
  }
}

type Measured = Omit<RegistryMeasurement, 'work' | 'subject' | 'round'>;

/** What every registry holds that is pulled from. */
class Scene {
  readonly #repository: string;
  readonly #images: ReadonlyMap<string, PushImage>;
  readonly #large: PushImage;

  constructor(repository: string, quick: boolean) {
    this.#repository = repository;
    const { tags, large } = sizesOf(quick);
    const names = Array.from({ length: tags }, (_, number) => `v${number}`);
    this.#images = new Map(names.map((name) => [name, smallImage(`${repository} ${name}`, 1, 10_000)]));
    const shared = new SharedBytes(large);
    this.#large = largeImage(
      repository,
      Array.from({ length: LAYERS }, () => shared.blob()),
    );
  }

  async prepare(target: RegistryTarget): Promise<void> {
    const images = [...this.#images, ['large', this.#large] as const];
    const { place } = target;
    if (place) {
      const folder = `v2/${this.#repository}`;
      for (const [tag, { digest, bytes, blobs }] of images) {
        for (const reference of [tag, digest]) place(`${folder}/manifests/${reference}`, [bytes]);
        for (const blob of blobs) place(`${folder}/blobs/${blob.digest}`, blob.chunks());
      }
      return;
    }
    const client = new PushClient(target.origin, await target.headers(this.#repository, 'pull,push'));
    for (const [tag, image] of images) await client.push(this.#repository, tag, image, 1);
    client.close();
  }

  /** Undefined where the registry does no such work. */
  async measure(target: RegistryTarget, work: RegistryWork, seconds: number): Promise<Measured | undefined> {
    const token = work === 'anonymous token' ? await target.tokenPath(this.#repository) : undefined;
    if (work === 'anonymous token' && token === undefined) return undefined;
    const targets = token === undefined ? this.#targetsOf(work) : [{ path: token, bytes: undefined }];
    const headers = token === undefined ? { ...ACCEPT, ...(await target.headers(this.#repository, 'pull')) } : {};
    const clients = work.endsWith(', 1 client') ? 1 : work.endsWith(', 8 clients') ? 8 : CLIENTS;
    const load = { origin: target.origin, clients, headers, targets };
    await pullLoad({ ...load, seconds: seconds / 5 });
    const meter = new UsageMeter(target.group);
    return pulledOf(await pullLoad({ ...load, seconds }), meter);
  }

  #targetsOf(work: RegistryWork): { path: string; bytes: number }[] {
    const folder = `/v2/${this.#repository}`;
    const blobs = (image: PushImage, least: number) =>
      image.blobs.flatMap(({ digest, size }) => (size < least ? [] : [{ path: `${folder}/blobs/${digest}`, bytes: size }]));
    if (work.startsWith('blob of 100 MB')) return blobs(this.#large, 1_000_000);
    if (work === 'blob of 10 kB') return [...this.#images.values()].flatMap((image) => blobs(image, 10_000));
    return Array.from(this.#images, ([tag, { digest, bytes }]) => ({
      path: `${folder}/manifests/${work === 'manifest by tag' ? tag : digest}`,
      bytes: bytes.length,
    }));
  }
}

function pulledOf({ requests, ...pulled }: Pulled, meter: UsageMeter): Measured {
  return { ...pulled, count: requests, ...meter.stop() };
}

/** Pushes what no registry has seen. */
class Pushes {
  readonly #namespace: string;
  readonly #sizes: ReturnType<typeof sizesOf>;
  readonly #shared: SharedBytes;
  #count = 0;

  constructor(namespace: string, quick: boolean) {
    this.#namespace = namespace;
    this.#sizes = sizesOf(quick);
    this.#shared = new SharedBytes(this.#sizes.large);
  }

  measure(target: RegistryTarget, work: RegistryWork): Promise<Measured | undefined> {
    if (target.place) return Promise.resolve(undefined);
    this.#count += 1;
    const seed = `${this.#namespace}/push-${this.#count}`;
    const share = target.slow ? SLOW_SHARE : 1;
    const { largeImages, smallImages } = this.#sizes;
    if (work === 'push of 100 MB layers') {
      const blobs = () => Array.from({ length: LAYERS }, () => this.#shared.blob());
      const images = Array.from({ length: Math.ceil(largeImages * share) }, (_, number) =>
        largeImage(`${seed} ${number}`, blobs()),
      );
      return this.#push(target, [seed], images, { clients: 1, atOnce: LAYERS });
    }
    const images = Array.from({ length: Math.ceil(smallImages * share) }, (_, number) =>
      smallImage(`${seed} ${number}`, 2, 2_000),
    );
    const repositories = work.endsWith('one repository')
      ? [seed]
      : Array.from({ length: CLIENTS }, (_, number) => `${seed}-${number}`);
    return this.#push(target, repositories, images, { clients: CLIENTS, atOnce: 1 });
  }

  async #push(
    target: RegistryTarget,
    repositories: readonly string[],
    images: readonly PushImage[],
    { clients, atOnce }: { readonly clients: number; readonly atOnce: number },
  ): Promise<Measured> {
    const pushers = await Promise.all(
      Array.from({ length: clients }, async (_, number) => {
        const repository = repositories[number % repositories.length] as string;
        return { repository, client: new PushClient(target.origin, await target.headers(repository, 'pull,push')) };
      }),
    );
    const queue = images.entries();
    const meter = new UsageMeter(target.group);
    const before = performance.eventLoopUtilization();
    const started = performance.now();
    await Promise.all(
      pushers.map(async ({ repository, client }) => {
        for (const [number, image] of queue) await client.push(repository, `v${number}`, image, atOnce);
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    const loadBusy = performance.eventLoopUtilization(before).utilization;
    const usage = meter.stop();
    for (const { client } of pushers) client.close();
    const refused = pushers.reduce((sum, { client }) => sum + client.refused, 0);
    const bytes = images.reduce((sum, image) => sum + image.blobs.reduce((all, { size }) => all + size, 0), 0);
    return { seconds, count: images.length, bytes, loadBusy, refused, ...usage };
  }
}
