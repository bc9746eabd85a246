import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { type Checksum, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { COMMIT_TYPE } from '../../../src/plugins/ostree/format/commit.ts';
import {
  deltaPartPath,
  parseDeltaIndexPath,
  parseDeltaName,
  parseDeltaPath,
  superblockPath,
} from '../../../src/plugins/ostree/format/delta-name.ts';
import { parseGVariant, type Value } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import { parseDeltaIndex, parseSuperblock } from '../../../src/plugins/ostree/format/static-delta.ts';
import { missing } from '../../support/missing.ts';
import { ostree } from '../../support/ostree-fixtures.ts';
import { refusal } from './refusal.ts';
import { bytesOf } from './vectors.ts';

const SUPERBLOCK = gvariantType(`(a{sv}tayay${COMMIT_TYPE}aya(uayttay)a(yaytt))`);
const PATH = 'deltas/xX/x/superblock';

/** The superblock of the vectors with one member (counted from 0) put in another's place. */
function altered(index: number, value: Value): Buffer {
  const members = [...(parseGVariant(SUPERBLOCK, bytesOf('superblock'), PATH) as Value[])];
  members[index] = value;
  return serializeGVariant(SUPERBLOCK, members);
}

const PART: readonly Value[] = [0, Buffer.alloc(32), 1n, 1n, Buffer.alloc(33, 1)];
const part = (index: number, value: Value): Value => [PART.with(index, value)];

const REFUSED: readonly [name: string, bytes: Buffer, message: RegExp][] = [
  ['a web page', Buffer.from('<html></html>'), /^deltas\/xX\/x\/superblock: it is an HTML page$/],
  ['something else', Buffer.from('text'), /^deltas\/xX\/x\/superblock: it is not a GVariant of the normal form: /],
  ['a checksum of 31 bytes', altered(2, Buffer.alloc(31)), /: the commit it starts from is 31 bytes long, not 32$/],
  ['no target', altered(3, Buffer.alloc(0)), /: the commit it leads to is 0 bytes long, not 32$/],
  ['another commit', altered(3, Buffer.alloc(32)), /: it holds the commit c5797f[0-9a-f]+ and says that it leads to 0000/],
  ['other deltas first', altered(5, Buffer.alloc(64)), /: it needs other deltas to be applied first/],
  ['a part of another version', altered(6, part(0, 1)), /superblock, part 0: it is of the version 1, not 0$/],
  ['a part without checksum', altered(6, part(1, Buffer.alloc(0))), /, part 0: its checksum is 0 bytes long, not 32$/],
  ['a part of an endless size', altered(6, part(2, 2n ** 63n)), /, part 0: it states a size of 9223372036854775808 bytes$/],
  ['half an object', altered(6, part(4, Buffer.alloc(32, 1))), /, part 0: its list of objects is 32 bytes long$/],
  ['an object of no type', altered(6, part(4, Buffer.alloc(33))), /, part 0: it names an object of the unknown type 0$/],
  ['a fallback of no type', altered(7, [[9, Buffer.alloc(32), 1n, 1n]]), /: it names an object of the unknown type 9$/],
  [
    'no byte order',
    altered(0, [['ostree.endianness', { type: 'y', value: 1 }]]),
    /: its byte order is said to be 1, which is none$/,
  ],
];

for (const [name, bytes, message] of REFUSED) {
  test(`refused: a superblock of ${name}`, () => {
    assert.match(
      refusal(() => parseSuperblock(bytes, PATH)),
      message,
    );
  });
}

test('what is no delta has no name and no path', () => {
  const one = 'ab'.repeat(32);
  for (const name of ['', '-', `${one}-`, `-${one}`, `${one}-${one}-${one}`, one.toUpperCase(), `${one}/..`]) {
    assert.equal(parseDeltaName(name), undefined, name);
  }
  const { superblock = '' } = { superblock: superblockPath({ from: undefined, to: parseChecksum(one) ?? assert.fail() }) };
  assert.ok(parseDeltaPath(superblock));
  for (const path of [
    superblock.replace('deltas/', 'deltas/../'),
    superblock.replace('superblock', '../superblock'),
    superblock.replace('superblock', '01'),
    superblock.replace('superblock', '1e3'),
    superblock.replace('superblock', ''),
    // The last character has bits that no byte takes.
    superblock.replace(/.(?=\/superblock)/, 'B'),
    superblock.replace('/superblock', '-x/superblock'),
  ]) {
    assert.equal(parseDeltaPath(path), undefined, path);
  }
  assert.equal(parseDeltaIndexPath('delta-indexes/xX/../x.index'), undefined);
});

test('refused: a delta index of what is no delta', () => {
  const index = (name: string, value: Value, type: string) =>
    serializeGVariant(gvariantType('a{sv}'), [['ostree.static-deltas', { type: 'a{sv}', value: [[name, { type, value }]] }]]);
  const one = 'ab'.repeat(32);
  assert.equal(
    refusal(() => parseDeltaIndex(index('../x', Buffer.alloc(32), 'ay'), 'i')),
    'i: "../x" is not the name of a static delta',
  );
  assert.equal(
    refusal(() => parseDeltaIndex(index(one, 'x', 's'), 'i')),
    `i: the superblock of the static delta ${one} has no checksum`,
  );
  assert.equal(
    refusal(() => parseDeltaIndex(index(one, Buffer.alloc(3), 'ay'), 'i')),
    `i: the superblock checksum of the static delta ${one} is 3 bytes long, not 32`,
  );
});

test('deltas as ostree can make them: inline, big-endian, signed, with fallbacks', { skip: missing('ostree') }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-delta-'));
  try {
    const repository = join(folder, 'repo');
    const tree = join(folder, 'tree');
    await mkdir(tree);
    await mkdir(repository);
    await ostree(repository, 'init', '--mode=archive');
    const commit = async (name: string, content: Buffer): Promise<Checksum> => {
      await writeFile(join(tree, name), content);
      const printed = await ostree(repository, 'commit', '--branch=x', `--tree=dir=${tree}`);
      return parseChecksum(printed.trim()) ?? assert.fail(printed);
    };
    const first = await commit('a', Buffer.from('one\n'));
    const second = await commit('b', randomBytes(3 * 1024 * 1024));
    const generate = async (from: Checksum | undefined, to: Checksum, ...options: readonly string[]) => {
      const source = from === undefined ? '--empty' : `--from=${from}`;
      await promisify(execFile)(
        'ostree',
        [`--repo=${repository}`, 'static-delta', 'generate', source, `--to=${to}`, ...options],
        {
          env: { ...process.env, OSTREE_DUMMY_SIGN_ENABLED: '1' },
        },
      );
      const path = superblockPath({ from, to });
      return parseSuperblock(readFileSync(join(repository, path)), path);
    };
    const plain = await generate(undefined, first, '--set-endianness=l');
    assert.equal(plain.parts[0]?.size, readFileSync(join(repository, deltaPartPath(plain, 0))).length);
    const swapped = await generate(undefined, first, '--set-endianness=B');
    assert.deepEqual(swapped.parts, plain.parts);
    const inline = await generate(undefined, first, '--inline');
    assert.deepEqual(
      inline.parts,
      plain.parts.map((part) => ({ ...part, inline: true })),
    );
    const signed = await generate(undefined, first, '--sign-type=dummy', '--sign=key');
    assert.deepEqual([signed.signed, signed.to, signed.parts], [true, first, plain.parts]);
    const fallback = await generate(first, second, '--min-fallback-size=1');
    assert.equal(fallback.commit.parent, first);
    assert.deepEqual(
      fallback.fallbacks.map(({ type, unpackedSize }) => [type, unpackedSize]),
      [[1, 3 * 1024 * 1024]],
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
