import { join, relative } from 'node:path';
import { packageRoot } from '../../src/lib/package-root.ts';

const SOURCES = packageRoot();

/** What Node runs instead of a source file of the tests whose name ends in `-child.ts` or `-proof.ts` (scripts/test-bundle.mjs). */
export function childProgram(source: string): string {
  const folder = process.env.TEST_BUNDLE;
  if (!folder) throw new Error('the tests are run by npm test, which bundles them');
  return join(folder, relative(SOURCES, source).replace(/\.ts$/, '.mjs'));
}
