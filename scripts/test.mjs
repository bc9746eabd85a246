// npm test [-- PATTERN…]: runs the test files whose path contains a pattern, or all of them, on real parts.
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { keepPostgres } from '../test/support/postgres.ts';

const FILE_TIMEOUT_MS = 3 * 60 * 1000;

const root = join(import.meta.dirname, '..');
const patterns = process.argv.slice(2);
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .map((name) => join(root, 'test', name))
  .filter((file) => file.endsWith('.test.ts'))
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => relative(root, file).includes(pattern)))
  .sort();
if (files.length === 0) throw new Error(`no test file matches ${patterns.join(', ')}`);

const leave = await keepPostgres();
const totals = new Map<string, number>();
const skipped: string[] = [];
// The children get our own `--import tsx`.
const events = run({ files, concurrency: true, timeout: FILE_TIMEOUT_MS });
events.on('test:pass', (test) => {
  if (test.skip !== undefined) skipped.push(`${relative(root, test.file ?? '')}: ${test.name}: ${test.skip}`);
});
// A hook that fails, or a file that cannot be loaded, is in no total.
let failures = 0;
events.on('test:fail', ({ details }) => {
  const { failureType } = details.error as Error & { failureType?: string };
  if (failureType !== 'subtestsFailed') failures += 1;
});
events.on('test:diagnostic', ({ message, nesting }) => {
  const total = /^(\w+) (\d+)$/.exec(message);
  if (nesting === 0 && total?.[1]) totals.set(total[1], Number(total[2]));
});
const output = events.compose(new spec());
output.pipe(process.stdout);
await new Promise((resolve, reject) => output.once('end', resolve).once('error', reject));
await leave();

const count = (name: string): number => {
  const value = totals.get(name);
  if (value === undefined) throw new Error(`the test runner did not say how many tests are "${name}"`);
  return value;
};
const failed = Math.max(count('fail') + count('cancelled'), failures);
if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((line) => `  ${line}`).join('\n')}`);
console.log(`\n${count('pass')} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
