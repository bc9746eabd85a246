import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { type Checksum, checksumOf, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { COMMIT_TYPE, parseCommit } from '../../../src/plugins/ostree/format/commit.ts';
import { parseRepoConfig } from '../../../src/plugins/ostree/format/config.ts';
import { deltaFolder, deltaIndexPath, deltaNameText, parseDeltaPath } from '../../../src/plugins/ostree/format/delta-name.ts';
import { lookUp, parseDictionary } from '../../../src/plugins/ostree/format/dictionary.ts';
import { parseDirMeta } from '../../../src/plugins/ostree/format/dirmeta.ts';
import { parseDirTree } from '../../../src/plugins/ostree/format/dirtree.ts';
import { filezVerifier, verifyFilez } from '../../../src/plugins/ostree/format/filez.ts';
import { parseGVariant } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import {
  type MetadataType,
  ObjectType,
  objectPath,
  parseObjectPath,
  verifyMetadata,
} from '../../../src/plugins/ostree/format/object.ts';
import { makeDeltaIndex, parseSuperblock } from '../../../src/plugins/ostree/format/static-delta.ts';
import { makeSummary, parseSummary, type SummaryRef } from '../../../src/plugins/ostree/format/summary.ts';
import { missing } from '../../support/missing.ts';
import { type FixtureKind, type OstreeFixture, ostreeFixture } from '../../support/ostree-fixtures.ts';
import { vector } from './vectors.ts';

const KINDS: readonly FixtureKind[] = ['small', 'edge', 'medium', 'delta', 'signed', 'collection'];
/** What takes ten seconds to make is looked at once. */
const WITH_LARGE: readonly FixtureKind[] = [...KINDS, 'large'];
const programs = (kind: FixtureKind) => (kind === 'signed' ? ['ostree', 'gpg'] : ['ostree']);

const TYPES: Readonly<Record<MetadataType, string>> = {
  [ObjectType.commit]: COMMIT_TYPE,
  [ObjectType.dirtree]: '(a(say)a(sayay))',
  [ObjectType.dirmeta]: '(uuua(ayay))',
};
const PARSERS = { [ObjectType.commit]: parseCommit, [ObjectType.dirtree]: parseDirTree, [ObjectType.dirmeta]: parseDirMeta };

/** Each kind is made once; nothing here writes to it. */
const folder = mkdtempSync(join(tmpdir(), 'deckle-ostree-'));
const fixtures = new Map<FixtureKind, Promise<OstreeFixture>>();
after(async () => {
  await Promise.allSettled(fixtures.values());
  await rm(folder, { recursive: true, force: true });
});

async function withFixture(kind: FixtureKind, use: (fixture: OstreeFixture) => Promise<void> | void): Promise<void> {
  const making = fixtures.get(kind) ?? ostreeFixture(kind, join(folder, kind));
  fixtures.set(kind, making);
  await use(await making);
}

const pathsIn = (repository: string, folder: string): string[] =>
  readdirSync(join(repository, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(repository, join(entry.parentPath, entry.name)));

const checksum = (text: string): Checksum => parseChecksum(text.trim()) ?? assert.fail(`${text} is no checksum`);

/** A ref as the summary has to tell it, from the commit itself. */
function refOf({ path }: OstreeFixture, name: string, commit: Checksum): SummaryRef {
  const bytes = readFileSync(join(path, objectPath(commit, ObjectType.commit)));
  const { timestamp, version } = parseCommit(bytes);
  return { name, commit, commitSize: bytes.length, timestamp, version };
}

/** Refs of the collections below refs/mirrors. */
function mirrored(fixture: OstreeFixture): Map<string, SummaryRef[]> {
  const collections = new Map<string, SummaryRef[]>();
  for (const file of pathsIn(fixture.path, 'refs/mirrors')) {
    const [, , id = '', ...name] = file.split('/');
    const ref = refOf(fixture, name.join('/'), checksum(readFileSync(join(fixture.path, file), 'utf8')));
    collections.set(id, [...(collections.get(id) ?? []), ref]);
  }
  return collections;
}

function deltasOf({ path }: OstreeFixture): Map<string, Checksum> {
  const deltas = new Map<string, Checksum>();
  for (const file of pathsIn(path, '.').filter((file) => file.startsWith('deltas/'))) {
    const parsed = parseDeltaPath(file) ?? assert.fail(`${file} is no path of a delta`);
    assert.ok(file.startsWith(`${deltaFolder(parsed.delta)}/`));
    if (parsed.file === 'superblock') deltas.set(deltaNameText(parsed.delta), checksumOf(readFileSync(join(path, file))));
  }
  return deltas;
}

for (const kind of KINDS) {
  test(
    `${kind}: every object is verified and, where it is metadata, the same when written again`,
    { skip: missing(...programs(kind)) },
    () =>
      withFixture(kind, async ({ path }) => {
        const seen = new Set<ObjectType>();
        for (const file of pathsIn(path, 'objects')) {
          const object = parseObjectPath(file) ?? assert.fail(`${file} is no path of an object`);
          const bytes = readFileSync(join(path, file));
          seen.add(object.type);
          if (object.type === ObjectType.file) {
            verifyFilez(bytes, object.checksum);
            const verifier = filezVerifier(object.checksum);
            await verifier.update(bytes);
            await verifier.finish();
          } else if (object.type === ObjectType.commitMeta) {
            const dictionary = parseDictionary(bytes, file);
            assert.deepEqual(serializeGVariant(gvariantType('a{sv}'), dictionary), bytes);
          } else {
            const type = object.type as MetadataType;
            verifyMetadata(bytes, object.checksum, type);
            PARSERS[type](bytes);
            assert.deepEqual(
              serializeGVariant(gvariantType(TYPES[type]), parseGVariant(gvariantType(TYPES[type]), bytes, file)),
              bytes,
            );
          }
        }
        assert.ok([ObjectType.file, ObjectType.dirtree, ObjectType.dirmeta, ObjectType.commit].every((type) => seen.has(type)));
      }),
  );
}

for (const kind of WITH_LARGE) {
  test(`${kind}: the summary made from its refs and deltas has the bytes of ostree's`, { skip: missing(...programs(kind)) }, () =>
    withFixture(kind, (fixture) => {
      const bytes = readFileSync(join(fixture.path, 'summary'));
      const config = parseRepoConfig(readFileSync(join(fixture.path, 'config'), 'utf8'));
      const { lastModified = assert.fail('it has no time') } = parseSummary(bytes);
      const made = makeSummary({
        refs: [...fixture.refs].map(([name, commit]) => refOf(fixture, name, checksum(commit))),
        collections: mirrored(fixture),
        staticDeltas: deltasOf(fixture),
        indexedDeltas: true,
        lastModified,
        collectionId: config.collectionId,
        tombstoneCommits: config.tombstoneCommits,
      });
      assert.deepEqual(made, bytes);
    }),
  );
}

test('small: the checksums of the vectors', { skip: missing('ostree') }, () =>
  withFixture('small', ({ refs }) => {
    assert.equal(refs.get('stable'), vector('commit-with-parent').checksum);
    assert.equal(refs.get('rawhide'), vector('commit-root').checksum);
  }),
);

test('delta: superblocks, parts and indexes belong together', { skip: missing('ostree') }, () =>
  withFixture('delta', (fixture) => {
    const { path } = fixture;
    const superblocks = pathsIn(path, 'deltas').filter((file) => file.endsWith('/superblock'));
    assert.equal(superblocks.length, 2);
    for (const file of superblocks) {
      const superblock = parseSuperblock(readFileSync(join(path, file)), file);
      assert.deepEqual(parseDeltaPath(file)?.delta, { from: superblock.from, to: superblock.to });
      for (const [index, part] of superblock.parts.entries()) {
        const bytes = readFileSync(join(path, deltaFolder(superblock), String(index)));
        assert.deepEqual([checksumOf(bytes), bytes.length], [part.checksum, part.size]);
      }
    }
    const head = checksum(fixture.refs.get('os/d') ?? '');
    assert.deepEqual(makeDeltaIndex(deltasOf(fixture)), readFileSync(join(path, deltaIndexPath(head))));
    assert.deepEqual(parseSummary(readFileSync(join(path, 'summary'))).staticDeltas, deltasOf(fixture));
  }),
);

test('signed: signatures beside the commits and the summary', { skip: missing('ostree', 'gpg') }, () =>
  withFixture('signed', ({ path, refs, publicKey }) => {
    const head = checksum(refs.get('os/signed') ?? '');
    for (const file of ['summary.sig', objectPath(head, ObjectType.commitMeta)]) {
      const signatures = lookUp(parseDictionary(readFileSync(join(path, file)), file), 'ostree.gpgsigs', 'aay');
      assert.ok(Array.isArray(signatures) && signatures.length === 1);
    }
    assert.match(publicKey ?? '', /^-----BEGIN PGP PUBLIC KEY BLOCK-----/);
  }),
);
