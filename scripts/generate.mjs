// Generates the Prisma client when the schema or Prisma has changed since the last time; else it costs nothing.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const stamp = join(root, 'src/db/generated/.made-from');

const inputs = readdirSync(join(root, 'prisma'), { recursive: true }).filter((name) => name.endsWith('.prisma'));
const hash = createHash('sha256');
for (const file of [...inputs.map((name) => join('prisma', name)).sort(), 'node_modules/prisma/package.json']) {
  hash.update(file).update(readFileSync(join(root, file)));
}
const state = hash.digest('hex');

let made;
try {
  made = readFileSync(stamp, 'utf8');
} catch (error) {
  if (error.code !== 'ENOENT') throw error;
}
if (made !== state) {
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/prisma/build/index.js'), 'generate'], { cwd: root, stdio: 'pipe' });
  } catch (error) {
    console.error(`${error.stdout}${error.stderr}`);
    process.exit(1);
  }
  writeFileSync(stamp, state);
}
