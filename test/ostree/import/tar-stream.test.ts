import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startsLikeTar, TAR_HEAD_BYTES, tarReader, tarRefusal } from '../../../src/plugins/ostree/imports/tar-stream.ts';
import { missing } from '../../support/missing.ts';
import { laterRefusal } from '../format/refusal.ts';
import { paxHeader, tarBytes, tarEntry, type WrittenEntry } from './tar-bytes.ts';

const folder = await mkdtemp(join(tmpdir(), 'deckle-tar-'));
after(() => rm(folder, { recursive: true, force: true }));

async function* inPieces(bytes: Buffer, piece: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}

/** Path -> content of what is wanted. */
async function read(source: AsyncIterable<Uint8Array>, wanted = (_: string): boolean => true): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const entry of tarReader(source, wanted)) {
    files.set(entry.path, await buffer(entry.body()));
    assert.equal(files.get(entry.path)?.length, entry.size);
  }
  return files;
}

const readBytes = (bytes: Buffer, piece = 1000) => read(inPieces(bytes, piece));
const refused = (entries: readonly WrittenEntry[]) => laterRefusal(() => readBytes(tarBytes(entries)));

const FILES = new Map([
  ['repo/config', Buffer.from('[core]\n')],
  ['repo/empty', Buffer.alloc(0)],
  ['repo/objects/large', Buffer.alloc(300_000, 'abc')],
  ['repo/refs/heads/a', Buffer.from('x')],
]);
const ENTRIES = [...FILES].map(([path, body]) => ({ path, body }));

for (const piece of [1, 511, 512, 70_000, 10_000_000]) {
  test(`files in their order, in pieces of ${piece} bytes`, async () => {
    assert.deepEqual([...(await readBytes(tarBytes(ENTRIES), piece))], [...FILES]);
    const zipped = gzipSync(tarBytes(ENTRIES));
    // The first piece tells that it is compressed.
    if (piece > 1) assert.deepEqual([...(await readBytes(zipped, piece))], [...FILES]);
  });
}

for (const options of [['cf'], ['czf'], ['--format=ustar', '-cf'], ['--format=posix', '-cf'], ['--format=gnu', '-cf']]) {
  test(`made by tar ${options.join(' ')}, with a long path`, { skip: missing('tar') }, async () => {
    const long = `${'long/'.repeat(25)}file`;
    const tree = await mkdtemp(join(folder, 'tree-'));
    await mkdir(join(tree, 'repo', 'long/'.repeat(25)), { recursive: true });
    await writeFile(join(tree, 'repo', long), 'content');
    await writeFile(join(tree, 'repo', 'naïve name'), 'x');
    const tar = join(tree, 'it.tar');
    for (const named of ['repo', './repo', './repo/']) {
      execFileSync('tar', [...options, tar, '-C', tree, named]);
      const files = await read(createReadStream(tar));
      assert.deepEqual(
        [...files].map(([path, body]) => [path, body.toString()]).sort(),
        [
          [`repo/${long}`, 'content'],
          ['repo/naïve name', 'x'],
        ].sort(),
      );
    }
  });
}

test('what is not wanted is passed over; what is not read is, too', async () => {
  const wanted = (path: string) => path !== 'repo/config';
  assert.deepEqual([...(await read(inPieces(tarBytes(ENTRIES), 1000), wanted)).keys()], [...FILES.keys()].slice(1));
  const seen: string[] = [];
  for await (const entry of tarReader(inPieces(tarBytes(ENTRIES), 1000), () => true)) {
    seen.push(entry.path);
    for await (const _ of entry.body()) break;
  }
  assert.deepEqual(seen, [...FILES.keys()]);
});

test('a source is closed where the reading ends', async () => {
  let closed = false;
  const source = (async function* () {
    try {
      for (;;) yield tarEntry({ path: 'a' });
    } finally {
      closed = true;
    }
  })();
  for await (const _ of tarReader(source, () => true)) break;
  assert.ok(closed);
});

const LEADS_OUT: readonly string[] = ['../x', '/etc/passwd', 'repo/../../x', 'repo/..', '..', './../x', '//x'];
for (const path of LEADS_OUT) {
  test(`refused: ${path}`, async () => {
    const message = `tar: its entry ${JSON.stringify(path)} leads out of it`;
    assert.equal(await refused([{ path, body: 'x' }]), message);
    assert.equal(await refused([{ path, type: '5' }]), message);
    assert.equal(await refused([paxHeader({ path }), { path: 'repo/config', body: 'x' }]), message);
    assert.equal(
      await refused([
        { path: 'long', type: 'L', body: `${path}\0` },
        { path: 'repo/config', body: 'x' },
      ]),
      message,
    );
  });
}

test('refused: links, devices, and what is not known', async () => {
  const reason = (kind: string) => `tar: its entry "repo/a" is ${kind}: only files and folders can be imported`;
  const kinds: readonly [type: string, kind: string][] = [
    ['1', 'a hard link'],
    ['2', 'a symbolic link'],
    ['3', 'a character device'],
    ['4', 'a block device'],
    ['6', 'a named pipe'],
  ];
  for (const [type, kind] of kinds) {
    const link = type < '3' ? '/etc/passwd' : '';
    assert.equal(await refused([{ path: 'repo/a', type, link }]), reason(kind));
  }
  assert.equal(await refused([{ path: 'repo/a', type: 'S' }]), reason('of the type "SparseFile"'));
  assert.equal(await refused([{ path: 'repo/a', type: 'M' }]), reason('of the type "ContinuationFile"'));
});

test('refused: truncated in a file, or in what it is compressed to', async () => {
  const whole = tarEntry({ path: 'repo/a', body: Buffer.alloc(2000) });
  // In the body, in what fills its last block up, and at whatever is no block's end.
  for (const length of [513, 1024, 2000, 2512, 2513, whole.length - 1]) {
    assert.match(await laterRefusal(() => readBytes(whole.subarray(0, length))), /^tar: Truncated input /);
  }
  const zipped = gzipSync(tarBytes(ENTRIES));
  assert.match(await laterRefusal(() => readBytes(zipped.subarray(0, zipped.length - 20))), /^tar: it cannot be inflated: /);
});

test('a tar without an end has the files that it has', async () => {
  const whole = tarEntry({ path: 'repo/a', body: 'a' });
  assert.deepEqual([...(await readBytes(whole)).keys()], ['repo/a']);
  assert.deepEqual([...(await readBytes(Buffer.concat([whole, whole.subarray(0, 100)]))).keys()], ['repo/a']);
});

test('refused: numbers that are none', async () => {
  const negative = Buffer.alloc(12, 0xff).toString('latin1');
  const endless = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0xff)]).toString('latin1');
  for (const size of ['hello world\0', negative, endless]) {
    const outcome = await readBytes(tarBytes([{ path: 'repo/a', body: 'x', size }])).then(
      (files) => [...files.values()].every((body) => body.length === 0),
      (error: Error) => error.message.startsWith('tar: '),
    );
    assert.ok(outcome, size);
  }
});

test('refused: a header of many bytes, and a damaged one', async () => {
  assert.equal(
    await refused([paxHeader({ comment: 'x'.repeat(70_000) }), { path: 'a' }]),
    'tar: it has a header of more than 65536 bytes',
  );
  const damaged = tarBytes(ENTRIES);
  damaged[3] = 0x41;
  assert.match(await laterRefusal(() => readBytes(damaged)), /^tar: checksum failure$/);
});

test('refused: more entries than any repository has', async () => {
  const entries = Buffer.concat(Array.from({ length: 128 }, () => tarEntry({ path: 'repo/tmp/x' })));
  const many = (async function* () {
    for (;;) yield entries;
  })();
  assert.equal(await laterRefusal(() => read(many, () => false)), 'tar: it has more than 1000000 entries');
});

test('refused: what inflates without end', async () => {
  const bomb = gzipSync(tarEntry({ path: 'a', body: Buffer.alloc(80 * 1024 * 1024) }));
  const before = process.memoryUsage().rss;
  const take = async () => {
    for await (const entry of tarReader(inPieces(bomb, 16_384), () => true)) for await (const _ of entry.body());
  };
  assert.equal(await laterRefusal(take), 'tar: it inflates to more than 100 times its size');
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
});

for (const program of ['bzip2', 'xz']) {
  test(`compressed by ${program}: whole, truncated, and without the program`, { skip: missing(program) }, async () => {
    const tar = tarBytes([...ENTRIES, { path: 'repo/random', body: randomBytes(200_000) }]);
    const zipped = execFileSync(program, ['-c'], { input: tar });
    assert.equal((await readBytes(zipped, 10_000)).get('repo/objects/large')?.length, 300_000);
    const truncated = zipped.subarray(0, zipped.length - 50_000);
    assert.match(await laterRefusal(() => readBytes(truncated, 10_000)), /^tar: it cannot be inflated: /);
    const garbage = Buffer.concat([zipped.subarray(0, 10), Buffer.alloc(100_000, 'x')]);
    assert.match(await laterRefusal(() => readBytes(garbage, 10_000)), /^tar: it cannot be inflated: /);
    const failing = (async function* () {
      yield zipped.subarray(0, 10_000);
      throw new Error('the storage is away');
    })();
    await assert.rejects(read(failing), /^Error: the storage is away$/);
    for await (const entry of tarReader(inPieces(zipped, 10_000), () => true)) if (entry.path === 'repo/empty') break;
    const { PATH } = process.env;
    process.env.PATH = folder;
    try {
      const reason = `tar: it is compressed by ${program}, and the program ${program} is not installed on this worker: `;
      assert.ok((await laterRefusal(() => readBytes(zipped, 10_000))).startsWith(reason));
    } finally {
      process.env.PATH = PATH;
    }
  });

  test(`refused: what ${program} inflates without end`, { skip: missing(program) }, async () => {
    const bomb = execFileSync(program, ['-c'], { input: tarEntry({ path: 'a', body: Buffer.alloc(80 * 1024 * 1024) }) });
    const take = async () => {
      for await (const entry of tarReader(inPieces(bomb, 16_384), () => true)) for await (const _ of entry.body());
    };
    assert.equal(await laterRefusal(take), 'tar: it inflates to more than 100 times its size');
  });
}

test('refused: nothing, text, twice compressed', async () => {
  assert.equal(await laterRefusal(() => readBytes(Buffer.alloc(0))), 'tar: it is empty');
  assert.match(await laterRefusal(() => readBytes(Buffer.alloc(2000, 'text'))), /^tar: /);
  assert.equal(await laterRefusal(() => readBytes(gzipSync(gzipSync(tarBytes(ENTRIES))))), 'tar: it is compressed twice');
});

test('refused: a tar of nothing', async () => {
  assert.equal(await laterRefusal(() => readBytes(tarBytes([]))), 'tar: Unrecognized archive format');
});

test('what is a tar is told from its start', () => {
  const tar = tarBytes(ENTRIES);
  const head = (bytes: Buffer) => bytes.subarray(0, TAR_HEAD_BYTES);
  for (const bytes of [tar, tarBytes([]), gzipSync(tar), gzipSync(tarBytes([]))])
    assert.equal(tarRefusal(head(bytes)), undefined);
  assert.ok(startsLikeTar(tar));
  // As bzip2 does, and yet a tar.
  assert.equal(tarRefusal(head(tarBytes([{ path: 'BZh9/config' }]))), undefined);
  assert.ok(startsLikeTar(tarBytes([{ path: 'BZh9/config' }])));
  const notTar = 'The artifact is not a tar archive file';
  for (const bytes of ['', 'hello', 'x'.repeat(10_000)].map((text) => Buffer.from(text))) {
    assert.equal(tarRefusal(head(bytes)), notTar);
    assert.equal(tarRefusal(head(gzipSync(bytes))), notTar);
  }
  assert.equal(tarRefusal(head(gzipSync(gzipSync(tar)))), notTar);
  assert.equal(tarRefusal(Buffer.concat([Buffer.from('1f8b', 'hex'), Buffer.alloc(600)])), notTar);
  assert.equal(tarRefusal(Buffer.from('28b52ffd00', 'hex')), notTar);
  // What these hold is seen when they are inflated.
  for (const magic of ['fd377a585a000004', '425a6839314159265359'])
    assert.equal(tarRefusal(Buffer.from(magic, 'hex')), undefined);
});
