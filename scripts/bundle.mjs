// How the sources become programs of plain JavaScript: an entry for each thing that is started by its file name, the rest in shared chunks.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

export const root = join(import.meta.dirname, '..');

/** Files below a folder whose path there matches, absolute. */
export const sources = (folder, pattern) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => pattern.test(name))
    .map((name) => join(root, folder, name));

/** Entries of the bundle, by name: what a thread is started from, and what it imports by name. */
export const threads = () => byName(sources('src', /-(?:thread|proof)\.ts$/));

/** Entries by the name of their file. */
export function byName(files) {
  const entries = Object.fromEntries(files.map((file) => [basename(file, '.ts'), file]));
  if (Object.keys(entries).length !== files.length) throw new Error(`two entries have the same name: ${files.join(', ')}`);
  return entries;
}

/** Writes the entries, and answers the paths of all files that were written, relative to where this runs. */
export async function bundle(entryPoints, outdir, plugins = []) {
  const { metafile } = await build({
    entryPoints,
    outdir,
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
    plugins,
  });
  return Object.keys(metafile.outputs);
}
