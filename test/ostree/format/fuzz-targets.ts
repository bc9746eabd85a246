import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { checksumOf, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { COMMIT_TYPE, parseCommit } from '../../../src/plugins/ostree/format/commit.ts';
import { parseRepoConfig } from '../../../src/plugins/ostree/format/config.ts';
import {
  deltaIndexPath,
  deltaNameText,
  deltaPartPath,
  parseDeltaIndexPath,
  parseDeltaName,
  parseDeltaPath,
  superblockPath,
} from '../../../src/plugins/ostree/format/delta-name.ts';
import { parseDictionary } from '../../../src/plugins/ostree/format/dictionary.ts';
import { parseDirMeta } from '../../../src/plugins/ostree/format/dirmeta.ts';
import { parseDirTree } from '../../../src/plugins/ostree/format/dirtree.ts';
import { filezVerifier, inflatesInHand, verifyFilez } from '../../../src/plugins/ostree/format/filez.ts';
import { FormatError } from '../../../src/plugins/ostree/format/format-error.ts';
import { parseGVariant } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import { ObjectType, objectPath, parseObjectPath, verifyMetadata } from '../../../src/plugins/ostree/format/object.ts';
import { isRefName } from '../../../src/plugins/ostree/format/ref-name.ts';
import { makeDeltaIndex, parseDeltaIndex, parseSuperblock } from '../../../src/plugins/ostree/format/static-delta.ts';
import { makeSummary, parseSummary } from '../../../src/plugins/ostree/format/summary.ts';
import { tarReader, tarRefusal } from '../../../src/plugins/ostree/imports/tar-stream.ts';
import { paxHeader, tarBytes } from '../import/tar-bytes.ts';
import type { Random } from './random.ts';
import { bytesOf, vector } from './vectors.ts';

const REFS_TYPE = 'a(s(taya{sv}))';
const SUPERBLOCK_TYPE = `(a{sv}tayay${COMMIT_TYPE}aya(uayttay)a(yaytt))`;
const CONFIG = `[core]
repo_version=1
mode=archive-z2
indexed-deltas=true
tombstone-commits=false
collection-id=org.example.Main

[remote "origin"]
url=https://example.org/repo
`;

/** A parser, and what to change for it. */
export interface FuzzTarget {
  readonly name: string;
  readonly corpus: readonly Buffer[];
  /**
   * Takes any bytes. FormatError is what they are refused with; all else that is thrown is a fault, the AssertionError of something
   * accepted that does not hold included.
   */
  readonly take: (bytes: Buffer, random: Random) => void | Promise<void>;
}

/** What is accepted as a GVariant is its normal form, so that writing it gives the same bytes. */
function sameWhenWritten(signature: string, bytes: Buffer): void {
  const type = gvariantType(signature, 'a type');
  assert.deepEqual(serializeGVariant(type, parseGVariant(type, bytes, 'a value')), bytes);
}

const gvariantTarget = (name: string, type: string, ids: readonly string[], parse: (bytes: Buffer) => unknown): FuzzTarget => ({
  name,
  corpus: ids.map(bytesOf),
  take: (bytes) => {
    parse(bytes);
    sameWhenWritten(type, bytes);
  },
});

const deltaPaths = vector('delta-paths').cases ?? [];

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  gvariantTarget('commit', COMMIT_TYPE, ['commit-with-parent', 'commit-root', 'commit-typed-metadata'], parseCommit),
  gvariantTarget('dirtree', '(a(say)a(sayay))', ['dirtree-dirs', 'dirtree-utf8'], takeDirTree),
  gvariantTarget('dirmeta', '(uuua(ayay))', ['dirmeta'], parseDirMeta),
  gvariantTarget('summary', `(${REFS_TYPE}a{sv})`, ['summary', 'summary-deltas'], takeSummary),
  gvariantTarget('dictionary', 'a{sv}', ['commitmeta', 'commitmeta-gpg', 'summary.sig', 'tombstone-commit'], (bytes) =>
    parseDictionary(bytes, 'a dictionary'),
  ),
  gvariantTarget('superblock', SUPERBLOCK_TYPE, ['superblock'], (bytes) => parseSuperblock(bytes, 'a superblock')),
  { name: 'signed superblock', corpus: [signedSuperblock()], take: (bytes) => void parseSuperblock(bytes, 'a superblock') },
  gvariantTarget('delta index', 'a{sv}', ['delta-index'], (bytes) => {
    parseDeltaIndex(makeDeltaIndex(parseDeltaIndex(bytes, 'an index')), 'the index made');
  }),
  { name: 'value of any type', corpus: [bytesOf('summary'), bytesOf('superblock')], take: takeAnyType },
  { name: 'config', corpus: [Buffer.from(CONFIG)], take: (bytes) => void parseRepoConfig(bytes.toString('utf8')) },
  {
    name: 'file',
    corpus: ['filez-regular', 'filez-symlink', 'filez-empty', 'filez-exec', 'filez-xattr'].map(bytesOf),
    take: takeFile,
  },
  { name: 'tar', corpus: [tar(), gzipSync(tar())], take: takeTar },
  {
    name: 'name',
    corpus: [
      ...deltaPaths.flatMap(({ name, superblock, part0, index }) => [name, superblock, part0, index]),
      objectPath(checksumOf(Buffer.alloc(0)), ObjectType.dirtree),
      'app/org.example.A/x86_64/stable',
    ].map((text) => Buffer.from(text)),
    take: takeName,
  },
];

/** A tar with what tars have: files, folders, long paths, said in both ways. */
function tar(): Buffer {
  const long = `repo/${'long/'.repeat(25)}config`;
  return tarBytes([
    { path: 'repo/', type: '5' },
    { path: 'repo/config', body: CONFIG },
    paxHeader({ path: `${long}.pax`, size: '3' }),
    { path: 'repo/pax', body: 'abc' },
    { path: long, body: 'x'.repeat(600) },
    { path: 'repo/empty' },
  ]);
}

/** Whatever is read lies below the root, and has the size that was said. */
async function takeTar(bytes: Buffer, random: Random): Promise<void> {
  const pieces = async function* () {
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random.below(bytes.length);
      yield bytes.subarray(at, at + size);
      at += size;
    }
  };
  const skipped = random.below(4);
  tarRefusal(bytes);
  for await (const { path, size, body } of tarReader(pieces(), (path) => path.length % 4 !== skipped)) {
    assert.ok(!path.startsWith('/') && !path.split('/').includes('..'), path);
    if (random.below(4) === 0) continue;
    let read = 0;
    for await (const chunk of body()) read += chunk.length;
    assert.equal(read, size);
  }
}

function signedSuperblock(): Buffer {
  const magic = Buffer.from('OSTSGNDT').readBigUInt64LE();
  return serializeGVariant(gvariantType('(taya{sv})'), [magic, bytesOf('superblock'), []]);
}

function takeDirTree(bytes: Buffer): void {
  const { files, dirs } = parseDirTree(bytes);
  for (const { name } of [...files, ...dirs]) assert.ok(!/^\.{0,2}$|[/\0]/.test(name), name);
  verifyMetadata(bytes, checksumOf(bytes), ObjectType.dirtree);
}

/** What is made of an accepted summary is a summary that says the same. */
function takeSummary(bytes: Buffer): void {
  const summary = parseSummary(bytes);
  for (const { name } of summary.refs) assert.ok(isRefName(name), name);
  const again = parseSummary(makeSummary({ ...summary, lastModified: summary.lastModified ?? 0 }));
  const refs = new Map(summary.refs.map((ref) => [ref.name, ref]));
  assert.deepEqual(new Map(again.refs.map((ref) => [ref.name, ref])), refs);
  assert.deepEqual(new Map(again.staticDeltas), new Map(summary.staticDeltas));
}

const TYPE_CHARACTERS = 'yybnqiuxtdsogvvmaa(({)})';

function takeAnyType(bytes: Buffer, random: Random): void {
  const signature = Array.from({ length: 1 + random.below(12) }, () => random.pick([...TYPE_CHARACTERS])).join('');
  sameWhenWritten(random.below(4) === 0 ? signature : random.pick(['v', 'av', 'a{sv}', 'aas', '(svs)', 'a(sv)', 'mv']), bytes);
}

/** In hand and in pieces of any size, the answer is the same. */
async function takeFile(bytes: Buffer, random: Random): Promise<void> {
  const expected = random.pick(FILES);
  const whole = inflatesInHand(bytes) ? outcome(() => verifyFilez(bytes, expected)) : undefined;
  const verifier = filezVerifier(expected);
  const streamed = await (async () => {
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random.below(bytes.length);
      await verifier.update(bytes.subarray(at, at + size));
      at += size;
    }
    await verifier.finish();
  })().then(
    () => 'accepted',
    (error: unknown) => messageOf(error),
  );
  verifier.destroy();
  // zlib finds the same fault sooner or later, as it is given the bytes: which of several is told may differ.
  if (whole !== undefined) assert.equal(streamed === 'accepted', whole === 'accepted', `whole: ${whole}; streamed: ${streamed}`);
}

const FILES = ['filez-regular', 'filez-exec', 'filez-xattr'].map(
  (id) => parseChecksum(vector(id).checksum ?? '') ?? assert.fail(`${id} has no checksum`),
);

function outcome(take: () => void): string {
  try {
    take();
    return 'accepted';
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  if (error instanceof FormatError) return error.message;
  throw error;
}

/** What a name is taken for, it is written as again; a path stays inside the repository. */
function takeName(bytes: Buffer): void {
  const text = bytes.toString('utf8');
  const object = parseObjectPath(text);
  if (object) assert.equal(objectPath(object.checksum, object.type), text);
  const delta = parseDeltaPath(text);
  if (delta)
    assert.equal(delta.file === 'superblock' ? superblockPath(delta.delta) : deltaPartPath(delta.delta, delta.file), text);
  const index = parseDeltaIndexPath(text);
  if (index) assert.equal(deltaIndexPath(index), text);
  const name = parseDeltaName(text);
  if (name) assert.equal(deltaNameText(name), text);
  if (isRefName(text)) assert.ok(!text.split('/').some((part) => part === '' || part === '.' || part === '..'), text);
}
