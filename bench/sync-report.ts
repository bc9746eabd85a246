import { brief, type Measurement, spreadOf, table } from './measurement.ts';

/** The measurements as one table for each kind of work; `x` is the ratio of medians to the first subject's. */
export function syncReport(measurements: readonly Measurement[], subjects: readonly string[]): string {
  const works = [...new Set(measurements.map(({ work }) => work))];
  return works.map((work) => `### ${work}\n\n${workTable(measurements, work, subjects)}`).join('\n\n');
}

function workTable(measurements: readonly Measurement[], work: string, subjects: readonly string[]): string {
  const of = (subject: string) => measurements.filter((one) => one.work === work && one.subject === subject);
  const base = spreadOf(of(subjects[0] ?? '').map(({ seconds }) => seconds)).median;
  const rows = subjects.flatMap((subject) => {
    const own = of(subject);
    const last = own.at(-1);
    if (last === undefined) return [];
    const wall = spreadOf(own.map(({ seconds }) => seconds));
    const cpu = spreadOf(own.map(({ cpuSeconds }) => cpuSeconds));
    const wrong = [...new Set(own.flatMap((one) => (one.wrong === null ? [] : [one.wrong])))];
    return [
      [
        subject,
        brief(wall.min),
        brief(wall.median),
        brief(wall.max),
        brief(wall.median / base),
        `${brief(cpu.median)}${roles(
          own.map((one) => one.cpuByRole),
          (values) => spreadOf(values).median,
        )}`,
        roles(
          own.map((one) => one.peakMegabytes),
          (values) => Math.max(...values),
        ).trim(),
        `${requestsOf(last)}${wrong.length > 0 ? ` WRONG: ${wrong.join('; ')}` : ''}`,
      ],
    ];
  });
  return table([['subject', 'min s', 'median s', 'max s', 'x', 'CPU s median', 'peak MB', 'upstream requests'], ...rows]);
}

function roles(records: readonly Record<string, number>[], combine: (values: number[]) => number): string {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))].sort();
  const parts = names.map((name) => ({ name, value: combine(records.map((record) => record[name] ?? 0)) }));
  return ` (${parts
    .filter(({ value }) => value >= 0.005)
    .map(({ name, value }) => `${name} ${brief(value)}`)
    .join(', ')})`;
}

function requestsOf({ requests, repeatedBlobs }: Measurement): string {
  const text = Object.entries(requests)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
  return repeatedBlobs === 0 ? text : `${text}; ${repeatedBlobs} blobs more than once`;
}
