import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '../../..');
const SEED = 20261121;
const CASES = 40_000;
const LONGEST_MS = 120_000;

/** In a process of its own: a parser that hangs is ended, and its memory is its own. */
test(`${CASES} changed objects of seed ${SEED}: an answer or a FormatError, no hang, no growing memory`, async () => {
  const program = ['--import', 'tsx', join(ROOT, 'scripts/fuzz-ostree.ts'), `--seed=${SEED}`, `--cases=${CASES}`];
  const { stdout } = await promisify(execFile)(process.execPath, program, {
    cwd: ROOT,
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
  });
  const [, cases, refused] = /^(\d+) cases, (\d+) refused/m.exec(stdout) ?? assert.fail(stdout);
  assert.equal(Number(cases), CASES);
  // Neither all nor nothing: the changes reach behind the first check.
  assert.ok(Number(refused) > CASES / 10 && Number(refused) < (CASES * 9) / 10, stdout);
});
