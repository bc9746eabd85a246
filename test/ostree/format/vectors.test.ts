import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumOf, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { COMMIT_TYPE, parseCommit } from '../../../src/plugins/ostree/format/commit.ts';
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
import { filezVerifier, verifyFilez } from '../../../src/plugins/ostree/format/filez.ts';
import { parseGVariant, type Value } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import { ObjectType, verifyMetadata } from '../../../src/plugins/ostree/format/object.ts';
import { makeDeltaIndex, parseDeltaIndex, parseSuperblock } from '../../../src/plugins/ostree/format/static-delta.ts';
import { makeSummary, parseSummary } from '../../../src/plugins/ostree/format/summary.ts';
import { refusal } from './refusal.ts';
import { bytesOf, negative, type Vector, vector, vectors } from './vectors.ts';

const checksum = (text: string | undefined) => {
  const parsed = parseChecksum(text ?? '');
  assert.ok(parsed);
  return parsed;
};

/** A value as the vectors write it. */
function shown(value: Value): unknown {
  if (Buffer.isBuffer(value)) return `hex:${value.toString('hex')}`;
  if (typeof value === 'bigint') return `u64le:${value}`;
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value === 'object' && value !== null && 'type' in value) return { t: value.type, v: shown(value.value) };
  return value;
}

const isGVariant = ({ gvariantType: type }: Vector) => type !== undefined && /^[a({]\S*$/.test(type);

for (const { id, gvariantType: type } of vectors.filter(isGVariant)) {
  test(`${id}: read and written again, the bytes are the same`, () => {
    const parsed = gvariantType(type ?? '');
    assert.deepEqual(serializeGVariant(parsed, parseGVariant(parsed, bytesOf(id), id)), bytesOf(id));
  });
}

for (const id of ['commit-with-parent', 'commit-root', 'commit-typed-metadata']) {
  test(`${id}: every field`, () => {
    const bytes = bytesOf(id);
    verifyMetadata(bytes, checksum(vector(id).checksum), ObjectType.commit);
    const commit = parseCommit(bytes);
    const [metadata, , related, subject, body] = parseGVariant(gvariantType(COMMIT_TYPE), bytes, id) as readonly Value[];
    assert.deepEqual(
      {
        metadata: shown(metadata as Value),
        parent: commit.parent ?? null,
        related,
        subject,
        body,
        timestamp: commit.timestamp,
        tree: commit.rootTree,
        meta: commit.rootMeta,
      },
      vector(id).parsed,
    );
    assert.equal(commit.version, id === 'commit-with-parent' ? '3.0' : undefined);
  });
}

for (const id of ['dirtree-dirs', 'dirtree-utf8']) {
  test(`${id}: every entry`, () => {
    verifyMetadata(bytesOf(id), checksum(vector(id).checksum), ObjectType.dirtree);
    assert.deepEqual(parseDirTree(bytesOf(id)), vector(id).parsed);
  });
}

test('dirmeta: owner and mode', () => {
  verifyMetadata(bytesOf('dirmeta'), checksum(vector('dirmeta').checksum), ObjectType.dirmeta);
  assert.deepEqual(parseDirMeta(bytesOf('dirmeta')), vector('dirmeta').parsed);
});

for (const { id } of vectors.filter(({ id }) => id.startsWith('filez-'))) {
  test(`${id}: has its checksum, whole or a byte at a time`, async () => {
    const expected = checksum(vector(id).checksum);
    verifyFilez(bytesOf(id), expected);
    const verifier = filezVerifier(expected);
    for (const byte of bytesOf(id)) await verifier.update(Uint8Array.of(byte));
    await verifier.finish();
  });
}

for (const id of ['summary', 'summary-deltas']) {
  test(`${id}: every field, and made anew the same bytes`, () => {
    const summary = parseSummary(bytesOf(id));
    const { refs, metadata } = vector(id).parsed as {
      refs: { name: string; size: number; checksum: string; metadata: unknown }[];
      metadata: unknown;
    };
    assert.deepEqual(
      summary.refs.map(({ name, commit, commitSize }) => ({ name, size: commitSize, checksum: commit })),
      refs.map(({ name, size, checksum }) => ({ name, size, checksum })),
    );
    assert.deepEqual(shown(summary.metadata as Value), metadata);
    assert.equal(summary.mode, 'archive-z2');
    assert.equal(summary.indexedDeltas, true);
    assert.equal(summary.tombstoneCommits, false);
    assert.ok(summary.lastModified);
    assert.deepEqual(makeSummary({ ...summary, lastModified: summary.lastModified }), bytesOf(id));
  });
}

test('summary: times and versions of the commits', () => {
  const { refs } = parseSummary(bytesOf('summary'));
  assert.deepEqual(
    refs.map(({ name, timestamp, version }) => [name, timestamp, version]),
    [
      ['rawhide', 1704326400, undefined],
      ['stable', 1704240000, '3.0'],
    ],
  );
});

test('superblock: parts, objects and the commit inside', () => {
  const { superblock } = (vector('delta-paths').cases ?? [])[0] ?? assert.fail();
  const parsed = parseSuperblock(bytesOf('superblock'), superblock);
  const expected = vector('superblock').parsed as Record<string, unknown>;
  assert.deepEqual(
    {
      timestamp: parsed.timestamp,
      from: parsed.from,
      to: parsed.to,
      metadataKeys: parsed.metadata.map(([key]) => key),
      parts: parsed.parts.map(({ checksum, size, unpackedSize, objects }) => ({
        version: 0,
        checksum,
        size,
        usize: unpackedSize,
        objects: objects.map(({ type, checksum }) => [type, checksum]),
      })),
      fallbacks: parsed.fallbacks,
    },
    Object.fromEntries(Object.entries(expected).filter(([key]) => !['endianness', 'commitChecksum'].includes(key))),
  );
  assert.equal(parsed.commit.parent, parsed.from);
  assert.equal(parsed.signed, false);
  assert.deepEqual(
    parsed.parts.map(({ inline }) => inline),
    [false],
  );
});

test('delta-index: the deltas, and made anew the same bytes', () => {
  const deltas = parseDeltaIndex(bytesOf('delta-index'), 'an index');
  assert.deepEqual(deltas, parseSummary(bytesOf('summary-deltas')).staticDeltas);
  assert.deepEqual(makeDeltaIndex(deltas), bytesOf('delta-index'));
});

test('delta-paths: names and paths, both ways', () => {
  for (const { name, from, to, superblock, part0, index } of vector('delta-paths').cases ?? assert.fail()) {
    const delta = { from: from === null ? undefined : checksum(from), to: checksum(to) };
    assert.deepEqual(parseDeltaName(name), delta);
    assert.equal(deltaNameText(delta), name);
    assert.deepEqual([superblockPath(delta), deltaPartPath(delta, 0), deltaIndexPath(delta.to)], [superblock, part0, index]);
    assert.deepEqual(parseDeltaPath(superblock), { delta, file: 'superblock' });
    assert.deepEqual(parseDeltaPath(part0), { delta, file: 0 });
    assert.equal(parseDeltaIndexPath(index), to);
  }
});

for (const id of ['commitmeta', 'commitmeta-gpg', 'summary.sig', 'tombstone-commit']) {
  test(`${id}: a dictionary`, () => {
    assert.deepEqual(shown(parseDictionary(bytesOf(id), id) as Value), vector(id).parsed);
  });
}

for (const { id, hex, type, want } of negative) {
  test(`refused: ${id}`, () => {
    const bytes = Buffer.from(hex, 'hex');
    const expected = checksum(want ?? '0'.repeat(64));
    const message = refusal(() => (type === 'dirtree' ? parseDirTree(bytes) : verifyFilez(bytes, expected)));
    assert.ok(message.startsWith(type === 'dirtree' ? `${checksumOf(bytes)}.dirtree: ` : `${expected}.filez: `), message);
  });
}
