// npm test [-- PATTERN…]: runs the test files whose path contains a pattern, or all of them, on real parts.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';
import { root, sources } from './bundle.mjs';
import { bundleTests } from './test-bundle.mjs';

/** Several times what the longest takes: this ends what hangs, on whatever machine. */
const FILE_TIMEOUT_MS = 10 * 60 * 1000;

/** What mostly waits for processes goes first: in the end nothing would be left to do beside it. */
const FIRST = ['test/start/', 'test/bad-luck/', 'test/core/tasks/'];
const rank = (file) => {
  const at = FIRST.findIndex((folder) => relative(root, file).startsWith(folder));
  return at < 0 ? FIRST.length : at;
};

const patterns = process.argv.slice(2);
const files = sources('test', /\.test\.ts$/)
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => relative(root, file).includes(pattern)))
  .sort()
  .sort((one, other) => rank(one) - rank(other));
if (files.length === 0) throw new Error(`no test file matches ${patterns.join(', ')}`);

// One for each run: several may go on at a time, and one that was killed leaves its own.
const isAlive = (pid) => {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
};
const folder = join(root, 'build', `tests-${process.pid}`);
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(join(root, 'build'))) {
  const pid = /^tests-(\d+)$/.exec(name)?.[1];
  if (pid && !isAlive(Number(pid))) rmSync(join(root, 'build', name), { recursive: true, force: true });
}
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const postgres = join(root, 'test/support/postgres.ts');
const programs = await bundleTests(folder, files, [postgres]);
const { keepPostgres } = await import(pathToFileURL(join(folder, 'test/support/postgres.mjs')).href);
/** For test/support/child-program.ts. */
process.env.TEST_BUNDLE = folder;

const leave = await keepPostgres();
const totals = new Map();
const skipped = [];
const events = run({ files: programs, concurrency: availableParallelism(), timeout: FILE_TIMEOUT_MS });
events.on('test:pass', ({ skip, file, name }) => {
  if (skip !== undefined) skipped.push(`${relative(root, file ?? '')}: ${name}: ${skip}`);
});
// A hook that fails, or a file that cannot be loaded, is in no total.
let failures = 0;
events.on('test:fail', ({ details }) => {
  if (details.error.failureType !== 'subtestsFailed') failures += 1;
});
events.on('test:diagnostic', ({ message, nesting }) => {
  const total = /^(\w+) (\d+)$/.exec(message);
  if (nesting === 0 && total) totals.set(total[1], Number(total[2]));
});
const output = events.compose(new spec());
output.pipe(process.stdout);
await new Promise((resolve, reject) => output.once('end', resolve).once('error', reject));
await leave();

const count = (name) => {
  const value = totals.get(name);
  if (value === undefined) throw new Error(`the test runner did not say how many tests are "${name}"`);
  return value;
};
const failed = Math.max(count('fail') + count('cancelled'), failures);
if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((line) => `  ${line}`).join('\n')}`);
console.log(`\n${count('pass')} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
