import { randomBytes } from 'node:crypto';
import type { DeckleSubject } from './deckle-subject.ts';
import type { Measurement } from './measurement.ts';
import type { Subject } from './subject.ts';
import type { BenchUpstream } from './upstream.ts';
import { describeWorkload, type Expected, type WorkloadName } from './workload.ts';

/** What a run of the sync bench does. */
export interface SyncBenchOptions {
  upstream: BenchUpstream;
  subjects: readonly Subject[];
  workloads: readonly WorkloadName[];
  rounds: number;
  quick: boolean;
  /** Told what a subject consists of, each time it was opened. */
  onVersions: (subject: string, versions: Record<string, string>) => void;
  /** Told of each measurement as it is made. */
  onMeasured: (measurement: Measurement) => void;
}

/**
 * Small syncs before the first one that counts, at once, so that every worker of a server gets some: long-lived servers are
 * measured as such, not in their first steps after a start.
 */
const WARM_UPS = [1, 2, 3, 4];

/**
 * Runs every subject on the same work, subject after subject within each round and in another order in each, so that what
 * else happens on the machine falls on all of them.
 */
export async function runSyncBench(options: SyncBenchOptions): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  // Content is new in each run and round: a server that remembers blobs from earlier runs would have nothing to fetch.
  const run = randomBytes(4).toString('hex');
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of options.workloads) {
      const repositoryOf = (subject: Subject) => `${workload}/${subject.name}`;
      const expected = await options.upstream.ask({
        call: 'publish',
        workload,
        seed: `${run} ${round}`,
        quick: options.quick,
        repositories: options.subjects.map(repositoryOf),
      });
      for (const number of WARM_UPS) {
        const seed = `${run} ${round} ${workload} ${number}`;
        const repositories = [`warm-up/${number}`];
        await options.upstream.ask({ call: 'publish', workload: 'warm-up', seed, quick: true, repositories });
      }
      for (const subject of rotated(options.subjects, round)) {
        const bench = new SubjectRound(options, subject, workload, round, (one) => measurements.push(one));
        await bench.run(repositoryOf(subject), expected);
      }
      await options.upstream.ask({ call: 'unpublish' });
    }
  }
  return measurements;
}

export function rotated<T>(items: readonly T[], by: number): T[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

/** One subject on one workload in one round: first sync, no change, one changed tag, second repository. */
class SubjectRound {
  readonly #options: SyncBenchOptions;
  readonly #subject: Subject;
  readonly #workload: WorkloadName;
  readonly #round: number;
  readonly #add: (measurement: Measurement) => void;

  constructor(
    options: SyncBenchOptions,
    subject: Subject,
    workload: WorkloadName,
    round: number,
    add: (measurement: Measurement) => void,
  ) {
    this.#options = options;
    this.#subject = subject;
    this.#workload = workload;
    this.#round = round;
    this.#add = add;
  }

  async run(repository: string, expected: Expected): Promise<void> {
    const { upstream } = this.#options;
    await this.#subject.open(`${this.#workload}-${this.#round}`);
    try {
      this.#options.onVersions(this.#subject.name, await this.#subject.versions());
      await Promise.all(
        WARM_UPS.map((number) => this.#subject.mirror(`warm-up/${number}`, `warm-up-${this.#workload}-${this.#round}-${number}`)),
      );
      const name = `${this.#workload}-${this.#round}`;
      await this.#measure('first sync', repository, name, expected);
      await this.#measure('no change', repository, name, expected);
      const changed = await upstream.ask({ call: 'change', repository, number: 1 });
      // The moved tag's old manifest and blobs stay in the mirror, hence only the tags can be compared.
      await this.#measure('one changed tag', repository, name, { tags: changed.tags });
      await this.#measure('second repository', repository, `${name}-second`, changed);
    } finally {
      await this.#subject.close();
    }
  }

  async #measure(phase: string, repository: string, name: string, expected: Partial<Expected>): Promise<void> {
    const { upstream, onMeasured, quick } = this.#options;
    await upstream.ask({ call: 'reset' });
    const { seconds, usage, held } = await this.#subject.mirror(repository, name);
    const { counts, repeatedBlobs } = await upstream.ask({ call: 'requests' });
    const measurement: Measurement = {
      work: `${describeWorkload(this.#workload, quick)}: ${phase}`,
      subject: this.#subject.name,
      round: this.#round,
      seconds,
      ...usage,
      requests: counts,
      repeatedBlobs,
      wrong: difference(expected, held),
    };
    onMeasured(measurement);
    this.#add(measurement);
  }
}

/** What a mirror has too many or too few of; null where it is as it must be. */
export function difference(expected: Partial<Expected>, held: Partial<Expected> | null): string | null {
  if (held === null) return null;
  const wrong = Object.keys(expected).filter((kind) => held[kind] !== undefined && expected[kind] !== held[kind]);
  return wrong.length === 0 ? null : wrong.map((kind) => `${held[kind]} ${kind} in place of ${expected[kind]}`).join(', ');
}

/** Whether version 100 costs what version 2 does: a repository of 1,000 tags with one tag moved before each sync. */
export async function runVersionsBench(
  options: SyncBenchOptions,
  deckle: DeckleSubject,
  versions: number,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const { upstream, quick } = options;
  const repository = 'versions/deckle';
  const seed = randomBytes(4).toString('hex');
  await upstream.ask({ call: 'publish', workload: 'tags', seed, quick, repositories: [repository] });
  await deckle.open('versions');
  try {
    await deckle.mirror(repository, 'versions');
    for (let version = 2; version <= versions; version++) {
      await upstream.ask({ call: 'change', repository, number: version });
      await upstream.ask({ call: 'reset' });
      const { seconds, usage } = await deckle.mirror(repository, 'versions');
      const { counts, repeatedBlobs } = await upstream.ask({ call: 'requests' });
      const group =
        version <= 11 ? 'versions 2 to 11' : version > versions - 10 ? `versions ${versions - 9} to ${versions}` : null;
      if (group === null) continue;
      const work = `One tag moved, ${group}`;
      const measurement = {
        work,
        subject: deckle.name,
        round: version,
        seconds,
        ...usage,
        requests: counts,
        repeatedBlobs,
        wrong: null,
      };
      measurements.push(measurement);
      options.onMeasured(measurement);
    }
  } finally {
    await deckle.close();
    await upstream.ask({ call: 'unpublish' });
  }
  return measurements;
}
