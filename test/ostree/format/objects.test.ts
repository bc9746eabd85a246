import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareBytes } from '../../../src/plugins/ostree/format/byte-order.ts';
import { checksumOf, checksumToBytes, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { COMMIT_TYPE, parseCommit } from '../../../src/plugins/ostree/format/commit.ts';
import { parseDirMeta } from '../../../src/plugins/ostree/format/dirmeta.ts';
import { parseDirTree } from '../../../src/plugins/ostree/format/dirtree.ts';
import { swap32, swap64, type Value } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import {
  MAX_METADATA_BYTES,
  ObjectType,
  objectName,
  objectPath,
  parseObjectPath,
  verifyMetadata,
} from '../../../src/plugins/ostree/format/object.ts';
import { isRefName } from '../../../src/plugins/ostree/format/ref-name.ts';
import { refusal } from './refusal.ts';
import { bytesOf } from './vectors.ts';

const SOME = checksumOf(Buffer.from('something'));
const SUM = checksumToBytes(SOME);
const written = (type: string, value: Value) => serializeGVariant(gvariantType(type), value);

const dirtree = (files: readonly string[], dirs: readonly string[] = []) =>
  written('(a(say)a(sayay))', [files.map((name) => [name, SUM]), dirs.map((name) => [name, SUM, SUM])]);

function refusedTree(bytes: Buffer): string {
  const message = refusal(() => parseDirTree(bytes));
  const name = objectName(checksumOf(bytes), ObjectType.dirtree);
  assert.ok(message.startsWith(`${name}: `), message);
  return message.slice(name.length + 2);
}

test('an object has one path, and the path one object', () => {
  for (const type of Object.values(ObjectType)) {
    assert.deepEqual(parseObjectPath(objectPath(SOME, type)), { checksum: SOME, type });
  }
  assert.equal(objectPath(SOME, ObjectType.file), `objects/${SOME.slice(0, 2)}/${SOME.slice(2)}.filez`);
  for (const path of [
    'objects/../../etc/passwd',
    `objects/${SOME}.filez`,
    `/objects/${SOME.slice(0, 2)}/${SOME.slice(2)}.filez`,
    `objects/${SOME.slice(0, 2)}/${SOME.slice(2)}.exe`,
    `objects/${SOME.slice(0, 2)}/${SOME.slice(2)}.filez\n`,
    `objects/${SOME.slice(0, 2).toUpperCase()}/${SOME.slice(2)}.commit`,
  ]) {
    assert.equal(parseObjectPath(path), undefined, path);
  }
});

test('a checksum is 64 lower-case hexadecimal digits', () => {
  assert.equal(parseChecksum(SOME), SOME);
  for (const text of ['', SOME.slice(1), `${SOME}0`, SOME.toUpperCase(), `${SOME}\n`, `../${SOME.slice(3)}`]) {
    assert.equal(parseChecksum(text), undefined);
  }
});

test('bytes of another object are refused by name and by what they are', () => {
  const bytes = bytesOf('dirmeta');
  const name = `${SOME}.dirmeta`;
  assert.equal(
    refusal(() => verifyMetadata(bytes, SOME, ObjectType.dirmeta)),
    `${name}: its bytes have the checksum ${checksumOf(bytes)}`,
  );
  const page = Buffer.from('\n<!DOCTYPE html><html><body>Log in</body></html>');
  assert.equal(
    refusal(() => verifyMetadata(page, SOME, ObjectType.dirmeta)),
    `${name}: its bytes have the checksum ${checksumOf(page)}: it is an HTML page`,
  );
  assert.equal(
    refusal(() => verifyMetadata(Buffer.alloc(MAX_METADATA_BYTES + 1), SOME, ObjectType.dirmeta)),
    `${name}: it is larger than 16777216 bytes`,
  );
});

test('a dirtree that is empty, and one of names as they may be', () => {
  assert.deepEqual(parseDirTree(dirtree([], [])), { files: [], dirs: [] });
  const names = ['...', '.a', 'a\nb', 'a b', 'naïve', '\uffee', '\u{1f600}'];
  assert.deepEqual(
    parseDirTree(dirtree(names)).files.map(({ name }) => name),
    names,
  );
});

test('a dirtree with a name that leaves it is refused', () => {
  for (const name of ['', '.', '..', '/', 'a/b', '../evil', '/etc/passwd', 'a/']) {
    const reason = `it has an entry of the name ${JSON.stringify(name)}, which is none that a file may have`;
    assert.equal(refusedTree(dirtree([name])), reason);
    assert.equal(refusedTree(dirtree([], [name])), reason);
  }
  const zero = dirtree(['abc']);
  zero[1] = 0;
  assert.match(refusedTree(zero), /has a zero byte inside$/);
});

test('a dirtree whose names are out of order, or there twice, is refused', () => {
  assert.equal(refusedTree(dirtree(['b', 'a'])), 'its entries are not sorted: "a" is after "b"');
  // In UTF-16 the first is the smaller one.
  assert.equal(refusedTree(dirtree(['\u{1f600}', '\uffee'])), 'its entries are not sorted: "\uffee" is after "\u{1f600}"');
  assert.equal(refusedTree(dirtree(['a', 'a'])), 'it has two entries of the name "a"');
  assert.equal(refusedTree(dirtree([], ['a', 'a'])), 'it has two entries of the name "a"');
  assert.equal(refusedTree(dirtree(['a', 'b'], ['b'])), 'it has both a file and a directory of the name "b"');
});

test('a dirtree with a checksum that is none is refused', () => {
  const bytes = written('(a(say)a(sayay))', [[], [['usr', SUM, SUM.subarray(1)]]]);
  assert.equal(refusedTree(bytes), 'the dirmeta of "usr" is 31 bytes long, not 32');
});

test('a dirmeta of something else, or of a mode that is none, is refused', () => {
  const dirmeta = (mode: number, xattrs: Value = []) => written('(uuua(ayay))', [swap32(7), swap32(8), swap32(mode), xattrs]);
  const name = Buffer.from('user.a\0');
  assert.deepEqual(parseDirMeta(dirmeta(0o41755, [[name, Buffer.from('v')]])), {
    uid: 7,
    gid: 8,
    mode: 0o41755,
    xattrs: [{ name: Buffer.from('user.a'), value: Buffer.from('v') }],
  });
  const refused = (bytes: Buffer) => refusal(() => parseDirMeta(bytes)).slice(64);
  assert.equal(refused(dirmeta(0o100644)), '.dirmeta: its mode, 0100644, is not that of a directory');
  assert.equal(refused(dirmeta(0o1040755)), '.dirmeta: its mode, 01040755, has bits that no mode has');
  for (const wrong of ['', '\0', 'user.a', 'a\0b\0']) {
    assert.equal(
      refused(dirmeta(0o40755, [[Buffer.from(wrong), Buffer.alloc(0)]])),
      '.dirmeta: the name of an extended attribute is malformed',
    );
  }
});

test('a commit with a checksum or a time that is none is refused', () => {
  const commit = (parts: { parent?: Buffer; time?: bigint; tree?: Buffer; meta?: Buffer }) =>
    written(COMMIT_TYPE, [
      [],
      parts.parent ?? Buffer.alloc(0),
      [],
      'subject',
      '',
      swap64(parts.time ?? 1n),
      parts.tree ?? SUM,
      parts.meta ?? SUM,
    ]);
  assert.equal(parseCommit(commit({})).timestamp, 1);
  const refused = (bytes: Buffer) => refusal(() => parseCommit(bytes)).slice(64);
  assert.equal(refused(commit({ parent: SUM.subarray(1) })), '.commit: the checksum of the parent is 31 bytes long, not 32');
  assert.equal(refused(commit({ tree: Buffer.alloc(0) })), '.commit: the checksum of the root tree is 0 bytes long, not 32');
  assert.equal(refused(commit({ meta: Buffer.alloc(33) })), '.commit: the checksum of the root meta is 33 bytes long, not 32');
  assert.equal(refused(commit({ time: 2n ** 63n })), '.commit: its time, 9223372036854775808 seconds, is no time');
  assert.equal(refused(Buffer.from('<html></html>')), '.commit: it is an HTML page');
  assert.match(refused(Buffer.from('text')), /^\.commit: it is not a GVariant of the normal form: /);
});

test('names are compared by their bytes', () => {
  const sorted = ['', 'A', 'a', 'a-b', 'a/b', 'ab', 'ä', '\uffee', '\u{10000}', '\u{1f600}'];
  assert.deepEqual(sorted.toReversed().sort(compareBytes), sorted);
});

test('a ref stays below refs/heads', () => {
  for (const name of ['stable', 'app/org.example.A/x86_64/stable', 'a_b-c.d', '...', '-']) assert.ok(isRefName(name), name);
  for (const name of [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    '../x',
    'a/../b',
    'a b',
    'a\0',
    'a\n',
    'é',
    'a\\b',
    '%2e',
    'x'.repeat(1025),
  ]) {
    assert.ok(!isRefName(name), name);
  }
});
