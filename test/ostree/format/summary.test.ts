import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumToBytes, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { swap64, type Value, type Variant } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import { MAX_SUMMARY_BYTES, makeSummary, parseSummary, type SummaryParts } from '../../../src/plugins/ostree/format/summary.ts';
import { refusal } from './refusal.ts';

const COMMIT = parseChecksum('ab'.repeat(32)) ?? assert.fail();
const SUM = checksumToBytes(COMMIT);
const REFS = 'a(s(taya{sv}))';

type Ref = readonly [name: string, commit: readonly [size: bigint, checksum: Buffer, metadata: Value]];
const ref = (name: string, { size = 5n, checksum = SUM, metadata = [] as Value } = {}): Ref => [name, [size, checksum, metadata]];
const summary = (refs: readonly Ref[], metadata: readonly (readonly [string, Variant])[] = []): Buffer =>
  serializeGVariant(gvariantType(`(${REFS}a{sv})`), [refs, metadata]);
const deltas = (name: string, value: Variant): Buffer =>
  summary([], [['ostree.static-deltas', { type: 'a{sv}', value: [[name, value]] }]]);

test('a summary of nothing', () => {
  assert.deepEqual(parseSummary(summary([])), {
    refs: [],
    collections: new Map(),
    staticDeltas: new Map(),
    indexedDeltas: false,
    lastModified: undefined,
    collectionId: undefined,
    mode: undefined,
    tombstoneCommits: false,
    metadata: [],
  });
});

test('the size of a commit is read in either byte order', () => {
  assert.equal(parseSummary(summary([ref('a', { size: 300n })])).refs[0]?.commitSize, 300);
  assert.equal(parseSummary(summary([ref('a', { size: swap64(300n) })])).refs[0]?.commitSize, 300);
});

test('metadata of another type counts as none', () => {
  const bytes = summary([], [['ostree.summary.collection-id', { type: 'u', value: 1 }]]);
  assert.equal(parseSummary(bytes).collectionId, undefined);
});

test('made in any order, the bytes are the same', () => {
  const parts: SummaryParts = {
    refs: ['b', 'a/b', 'a'].map((name) => ({ name, commit: COMMIT, commitSize: 5, timestamp: 6, version: '1' })),
    collections: new Map([
      ['org.example.B', [{ name: 'x', commit: COMMIT, commitSize: 5, timestamp: undefined, version: undefined }]],
      ['org.example.A', []],
    ]),
    staticDeltas: new Map([1, 2, 3].map((digit) => [String(digit).repeat(64), COMMIT])),
    indexedDeltas: true,
    lastModified: 7,
    collectionId: 'org.example.A',
    tombstoneCommits: false,
  };
  const bytes = makeSummary(parts);
  const turned = {
    ...parts,
    refs: parts.refs.toReversed(),
    collections: new Map([...(parts.collections ?? [])].reverse()),
    staticDeltas: new Map([...parts.staticDeltas].reverse()),
  };
  assert.deepEqual(makeSummary(turned), bytes);
  const parsed = parseSummary(bytes);
  assert.deepEqual(
    parsed.refs.map(({ name }) => name),
    ['a', 'a/b', 'b'],
  );
  assert.deepEqual([...parsed.collections.keys()], ['org.example.A', 'org.example.B']);
});

const REFUSED: readonly [name: string, bytes: Buffer, message: RegExp | string][] = [
  ['a web page', Buffer.from('<!DOCTYPE html>\n<html></html>'), 'summary: it is an HTML page'],
  ['text', Buffer.from('Not found\n'), /^summary: it is not a GVariant of the normal form: /],
  ['nothing', Buffer.alloc(0), /^summary: it is not a GVariant of the normal form: /],
  ['half of it', summary([ref('a'), ref('b')]).subarray(0, 60), /^summary: it is not a GVariant of the normal form: /],
  ['a ref above refs/heads', summary([ref('../../config')]), 'summary: "../../config" is not the name of a ref'],
  ['a ref without a name', summary([ref('')]), 'summary: "" is not the name of a ref'],
  ['an absolute ref', summary([ref('/etc')]), 'summary: "/etc" is not the name of a ref'],
  ['a ref twice', summary([ref('a'), ref('a')]), 'summary: it names the ref a twice'],
  [
    'a commit of no checksum',
    summary([ref('a', { checksum: Buffer.alloc(0) })]),
    'summary: the checksum of the ref a is 0 bytes long, not 32',
  ],
  [
    'a commit of an endless size',
    summary([ref('a', { size: 0xff000000000000ffn })]),
    /^summary: the commit of the ref a is said to have [0-9]+ bytes$/,
  ],
  [
    'a time that is none',
    summary([], [['ostree.summary.last-modified', { type: 't', value: swap64(2n ** 63n) }]]),
    'summary: its time, 9223372036854775808 seconds, is no time',
  ],
  [
    'a commit of a time that is none',
    summary([ref('a', { metadata: [['ostree.commit.timestamp', { type: 't', value: swap64(2n ** 63n) }]] })]),
    'summary: its time, 9223372036854775808 seconds, is no time',
  ],
  [
    'a ref of a collection above refs/heads',
    summary([], [['ostree.summary.collection-map', { type: `a{s${REFS}}`, value: [['org.example', [ref('..')]]] }]]),
    'summary: ".." is not the name of a ref',
  ],
  ['a delta of no name', deltas('../x', { type: 'ay', value: SUM }), 'summary: "../x" is not the name of a static delta'],
  [
    'a delta without a checksum',
    deltas(COMMIT, { type: 's', value: 'x' }),
    `summary: the superblock of the static delta ${COMMIT} has no checksum`,
  ],
];

for (const [name, bytes, message] of REFUSED) {
  test(`refused: ${name}`, () => {
    const actual = refusal(() => parseSummary(bytes));
    if (typeof message === 'string') assert.equal(actual, message);
    else assert.match(actual, message);
  });
}

test('refused: more bytes than any summary has', () => {
  assert.equal(
    refusal(() => parseSummary(Buffer.alloc(MAX_SUMMARY_BYTES + 1))),
    'summary: it is larger than 67108864 bytes',
  );
});
