// npm run build: bundles the program into dist.
import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { bundle, byName, root, threads } from './bundle.mjs';

const programs = ['deckle.ts', 'demo.ts'].map((name) => join(root, 'src', name));
const outputs = await bundle({ ...byName(programs), ...threads() }, join(root, 'dist'));

// Only now: a Deckle that runs from this folder must find its files at any time.
const made = new Set(outputs.map((path) => basename(path)));
for (const name of readdirSync(join(root, 'dist'))) if (!made.has(name)) await rm(join(root, 'dist', name), { recursive: true });
