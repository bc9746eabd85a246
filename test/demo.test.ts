import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { demoRelease } from '../src/demo/demo-images.ts';
import { packageRoot } from '../src/lib/package-root.ts';

const run = promisify(execFile);
const leftBehind = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('deckle'));

describe('the demo', () => {
  let temporary = '';
  before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'demo-test-'));
  });
  after(() => rm(temporary, { recursive: true }));

  it('mirrors, serves and pulls, in plain lines without a terminal, and leaves nothing behind', {
    timeout: 300_000,
  }, async () => {
    const env = { ...process.env, TMPDIR: temporary };
    const { stdout, stderr } = await run(process.execPath, ['dist/demo.mjs'], { cwd: packageRoot(), env });
    assert.equal(stderr, '');
    assert.ok(!stdout.includes('\x1b'), stdout);
    assert.match(stdout, /Version 1: \S+\n +added +(?=.*tag 5)(?=.*blob 19)(?=.*manifest 8)/);
    assert.match(stdout, /Version 2: \S+\n +added +(?=.*tag 1)(?=.*blob 8)(?=.*manifest 5).*\n +removed +tag 1\n/);
    assert.ok(stdout.includes(`hello:latest     ${demoRelease('2.1').digest}`), stdout);
    assert.deepEqual(leftBehind(temporary), []);
  });

  it('fails with a reason when Deckle does not start', { timeout: 300_000 }, async () => {
    const env = { ...process.env, TMPDIR: temporary, DECKLE_TASKS_PER_WORKER: 'many' };
    const failed = run(process.execPath, ['dist/demo.mjs'], { cwd: packageRoot(), env });
    await assert.rejects(
      failed,
      (error: { code: number; stderr: string }) => error.code === 1 && /DECKLE_TASKS_PER_WORKER/.test(error.stderr),
    );
    assert.deepEqual(leftBehind(temporary), []);
  });
});
