// The tests as plain JavaScript: else each of 200 files makes JavaScript of some 500 modules anew, which takes more time than its tests.
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundle, root, sources, threads } from './bundle.mjs';

/** Where the bundle has the program that is made of a source file. */
const builtFrom = (outdir, source) => join(outdir, relative(root, source).replace(/\.ts$/, '.mjs'));

/**
 * A module of the tests keeps the place of its source: its fixtures lie beside it. One of the program is where the entries of its
 * threads are, as it is in `dist`.
 */
const places = (outdir) => ({
  name: 'places',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const isTest = path.startsWith(join(root, 'test/'));
      const place = isTest ? path : join(outdir, 'module.mjs');
      const contents = text
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(place).href))
        .replaceAll('import.meta.dirname', JSON.stringify(join(place, '..')));
      return { contents, loader: 'ts' };
    });
  },
});

/** Bundles test files, what they run in processes of their own, and the files in `more`. Answers the programs of the test files. */
export async function bundleTests(outdir, files, more) {
  const entries = [...files, ...more, ...sources('test', /-(?:child|proof)\.ts$/)];
  const named = entries.map((file) => [relative(root, file).replace(/\.ts$/, ''), file]);
  await bundle({ ...Object.fromEntries(named), ...threads() }, outdir, [places(outdir)]);
  return files.map((file) => builtFrom(outdir, file));
}
