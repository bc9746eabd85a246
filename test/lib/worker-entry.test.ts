import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const run = promisify(execFile);
const ANSWER = 'echo from the main thread, 64 digits\n';
const root = join(import.meta.dirname, '../..');
const main = join(import.meta.dirname, 'echo.ts');

test('a thread starts from source under `node --import tsx`', async () => {
  assert.equal((await run(process.execPath, ['--import', 'tsx', main], { cwd: root })).stdout, ANSWER);
});

test('a thread starts from source under the tsx command', async () => {
  const tsx = join(root, 'node_modules/tsx/dist/cli.mjs');
  assert.equal((await run(process.execPath, [tsx, main], { cwd: tmpdir() })).stdout, ANSWER);
});

test('a thread starts from the bundle, without tsx', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-bundle-'));
  t.after(() => rm(folder, { recursive: true }));
  await build({
    entryPoints: [main, join(import.meta.dirname, 'echo-thread.ts')],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
  });
  assert.equal(
    (await run(process.execPath, ['--enable-source-maps', join(folder, 'echo.mjs')], { cwd: tmpdir() })).stdout,
    ANSWER,
  );
});
