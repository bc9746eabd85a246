import { brief, spreadOf, table } from './measurement.ts';
import type { RegistryMeasurement } from './registry-bench.ts';

/** A row for each work and registry: medians of its rounds. */
export function registryReport(measurements: readonly RegistryMeasurement[]): string {
  const works = [...new Set(measurements.map(({ work }) => work))];
  const subjects = [...new Set(measurements.map(({ subject }) => subject))];
  const rows = works.flatMap((work) =>
    subjects.flatMap((subject) => {
      const own = measurements.filter((one) => one.work === work && one.subject === subject);
      if (own.length === 0) return [];
      const median = (of: (one: RegistryMeasurement) => number) => brief(spreadOf(own.map(of)).median);
      const rates = spreadOf(own.map((one) => one.count / one.seconds));
      return [
        [
          work,
          subject,
          `${brief(rates.median)} (${brief(rates.min)}-${brief(rates.max)})`,
          median((one) => one.bytes / one.seconds / 1e6),
          median((one) => one.seconds),
          median((one) => one.p99Latency ?? Number.NaN),
          median((one) => (one.cpuSeconds * 1000) / one.count),
          median((one) => (one.cpuSeconds * 1e9) / one.bytes),
          brief(Math.max(...own.map((one) => one.peakMegabytes.server ?? Number.NaN))),
          brief(Math.max(...own.map((one) => one.peakOwnMegabytes.server ?? Number.NaN))),
          median((one) => one.refused ?? Number.NaN),
          median((one) => one.loadBusy ?? Number.NaN),
        ],
      ];
    }),
  );
  const heading = [
    'work',
    'subject',
    'each s (min-max)',
    'MB/s',
    's',
    'p99 ms',
    'CPU ms each',
    'CPU s/GB',
    'server MB',
    'own MB',
    '429',
    'load busy',
  ];
  return table([heading, ...rows]);
}
