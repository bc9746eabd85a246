import type { Measurement } from './measurement.ts';
import type { BenchOstreeUpstream } from './ostree-upstream.ts';
import type { OstreeWorkload } from './ostree-upstream-process.ts';
import type { Subject } from './subject.ts';
import { difference, rotated } from './sync-bench.ts';
import type { Expected } from './workload.ts';

export const OSTREE_WORKLOADS: Readonly<Record<OstreeWorkload, string>> = {
  medium: 'medium: 3 refs, 2,000 objects',
  large: 'large: 1 ref, 20,000 objects',
};

/** Long-lived servers are measured as such, not in their first steps after a start; one sync would warm one of several workers only. */
const WARM_UPS = [1, 2, 3, 4];
const warmUpOf = (name: string, number: number): string => `warm-up-${name}-${number}`;

export interface OstreeBenchOptions {
  readonly upstream: BenchOstreeUpstream;
  /** The first is what the others are compared with. */
  readonly subjects: readonly Subject[];
  readonly workloads: readonly OstreeWorkload[];
  readonly rounds: number;
  readonly onVersions: (subject: string, versions: Record<string, string>) => void;
  readonly onMeasured: (measurement: Measurement) => void;
}

/** Runs every subject on the same repositories: first sync, no change, the same into a second repository. */
export async function runOstreeBench(options: OstreeBenchOptions): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const measured = (one: Measurement): void => {
    measurements.push(one);
    options.onMeasured(one);
  };
  const { upstream } = options;
  // Content is new in each run and round: a server that remembers objects from earlier ones would have nothing to fetch.
  let seed = Math.floor(Date.now() / 1000) % 1_000_000;
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of options.workloads) {
      const name = `${workload}-${round}`;
      const { refs } = await upstream.ask({ call: 'publish', workload, seed: seed++, name });
      for (const number of WARM_UPS) {
        await upstream.ask({ call: 'publish', workload: 'medium', seed: seed++, name: warmUpOf(name, number) });
      }
      for (const subject of rotated(options.subjects, round)) {
        await runRound(options, { subject, workload, round, name, expected: { refs } }, measured);
      }
    }
  }
  return measurements;
}

interface Round {
  readonly subject: Subject;
  readonly workload: OstreeWorkload;
  readonly round: number;
  /** Of the upstream's repository. */
  readonly name: string;
  readonly expected: Expected;
}

async function runRound(
  { upstream, onVersions }: OstreeBenchOptions,
  { subject, workload, round, name, expected }: Round,
  measured: (one: Measurement) => void,
): Promise<void> {
  const measure = async (phase: string, target: string): Promise<void> => {
    await upstream.ask({ call: 'reset' });
    const { seconds, usage, held } = await subject.mirror(name, target);
    const { counts, repeated } = await upstream.ask({ call: 'requests' });
    const work = `${OSTREE_WORKLOADS[workload]}: ${phase}`;
    const wrong = difference(expected, held);
    measured({ work, subject: subject.name, round, seconds, ...usage, requests: counts, repeatedBlobs: repeated, wrong });
  };
  await subject.open(name);
  try {
    onVersions(subject.name, await subject.versions());
    for (const number of WARM_UPS) await subject.mirror(warmUpOf(name, number), warmUpOf(name, number));
    await measure('first sync', name);
    await measure('no change', name);
    await measure('second repository', `${name}-second`);
  } finally {
    await subject.close();
  }
}
