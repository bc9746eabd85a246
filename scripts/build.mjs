// Bundles the program into dist: an entry for each thing that is started by its file name, the rest in shared chunks.
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const source = (name) => join(root, 'src', name);
// What a thread is started from, and what it imports by name.
const threads = readdirSync(join(root, 'src'), { recursive: true }).filter((name) => /-(?:thread|proof)\.ts$/.test(name));
const entries = ['deckle.ts', 'demo.ts', ...threads].filter((name) => existsSync(source(name)));

const names = entries.map((name) => basename(name, '.ts'));
if (new Set(names).size !== names.length) throw new Error(`two entries have the same name: ${names.join(', ')}`);

const { metafile } = await build({
  entryPoints: Object.fromEntries(entries.map((name) => [basename(name, '.ts'), source(name)])),
  outdir: join(root, 'dist'),
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
  metafile: true,
});

// Only now: a Deckle that runs from this folder must find its files at any time.
const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
for (const name of readdirSync(join(root, 'dist'))) if (!made.has(name)) await rm(join(root, 'dist', name), { recursive: true });
