/** One number with its circumstances. */
export interface Measurement {
  /** What was done, for example `tags: first sync`. */
  work: string;
  subject: string;
  round: number;
  seconds: number;
  cpuSeconds: number;
  cpuByRole: Record<string, number>;
  peakMegabytes: Record<string, number>;
  /** Upstream requests by `<method> <kind>`. */
  requests: Record<string, number>;
  /** Blobs that were asked for more than once. */
  repeatedBlobs: number;
  /** What is wrong with the result; null when it is as it must be. */
  wrong: string | null;
}

/** Least, middle and largest of some numbers. */
export interface Spread {
  min: number;
  median: number;
  max: number;
}

export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = sorted.length / 2;
  const median = Number.isInteger(middle) ? (at(middle - 1) + at(middle)) / 2 : at(Math.floor(middle));
  return { min: at(0), median, max: at(sorted.length - 1) };
}

/** A number with about three significant digits. */
export function brief(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3);
}

/** Lines of a table with aligned columns; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [heading, ...rest] = rows;
  if (heading === undefined) return '';
  return [line(heading), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rest.map(line)].join('\n');
}
