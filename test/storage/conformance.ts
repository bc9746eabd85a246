import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { artifactKey } from '../../src/storage/layout.ts';
import { type ByteRange, MissingFileError, type Storage } from '../../src/storage/storage.ts';

/** A storage to test, and how to end it with everything that belongs to it. */
export interface TestedStorage {
  readonly storage: Storage;
  readonly close: () => Promise<void>;
}

export const keyOf = (body: Uint8Array): string => artifactKey(createHash('sha256').update(body).digest('hex'));

export async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Stores one file by way of a pending one, and answers its key. */
export async function put(storage: Storage, body: Uint8Array, key = keyOf(body)): Promise<string> {
  const file = await storage.create();
  await file.write(body);
  await file.commit(key);
  return key;
}

/** Registers what every Storage has to do (src/storage/storage.ts). `open` gives an empty one. */
export function testConformance(name: string, open: () => Promise<TestedStorage>): void {
  describe(`${name} as a Storage`, () => {
    let tested: TestedStorage;
    let storage: Storage;
    before(async () => {
      tested = await open();
      storage = tested.storage;
    });
    after(() => tested?.close());
    const current = (): Storage => storage;

    testAbsentFiles(current);
    testPendingFiles(current);
    testAppending(current);
    testRanges(current);
    testSmallFiles(current);
    testKeys(current);
    testAside(current);
    testMoves(current);

    test('capacity, where it is known, adds up', async () => {
      const capacity = await storage.capacity();
      if (!capacity) return;
      assert.ok(capacity.total > 0 && capacity.free > 0 && capacity.used > 0);
      assert.ok(capacity.used + capacity.free <= capacity.total);
    });
  });
}

function testMoves(storage: () => Storage): void {
  const partKey = (): string => `push/ab/${randomUUID()}`;
  test('a file that is moved has its other key only', async () => {
    const body = randomBytes(200_000);
    const key = await put(storage(), body, partKey());
    await storage().move(key, keyOf(body));
    assert.deepEqual(await bytesOf(await storage().read(keyOf(body))), body);
    assert.equal(await storage().size(key), undefined);
  });

  test('a file that is moved to where its bytes are already goes', async () => {
    const body = randomBytes(200_000);
    await put(storage(), body);
    const key = await put(storage(), body, partKey());
    await storage().move(key, keyOf(body));
    assert.deepEqual(await bytesOf(await storage().read(keyOf(body))), body);
    assert.equal(await storage().size(key), undefined);
  });

  test('an absent file cannot be moved', async () => {
    const target = keyOf(randomBytes(10));
    await assert.rejects(storage().move(partKey(), target), MissingFileError);
    assert.equal(await storage().size(target), undefined);
  });
}

function testAbsentFiles(storage: () => Storage): void {
  test('an absent key has no size, cannot be read, and may be deleted', async () => {
    const key = keyOf(randomBytes(10));
    assert.equal(await storage().size(key), undefined);
    await assert.rejects(storage().read(key), (error) => error instanceof MissingFileError && error.key === key);
    await assert.rejects(storage().read(key, { start: 0, length: 1 }), MissingFileError);
    await storage().delete(key);
  });

  test('delete removes one file, and no other', async () => {
    const [one, other] = [await put(storage(), randomBytes(10)), await put(storage(), randomBytes(10))];
    await storage().delete(one);
    assert.equal(await storage().size(one), undefined);
    assert.equal(await storage().size(other), 10);
  });
}

async function keysOf(groups: AsyncIterable<readonly string[]>): Promise<string[]> {
  const keys: string[] = [];
  for await (const group of groups) keys.push(...group);
  return keys;
}

function testAside(storage: () => Storage): void {
  const reasons = ['doomed', 'damaged'] as const;

  test('stat knows size and time of a file, and list names it, until it goes', async () => {
    const before = Date.now();
    const key = await put(storage(), randomBytes(10));
    const found = await storage().stat(key);
    assert.equal(found?.size, 10);
    // A store keeps time in steps of its own.
    assert.ok(Math.abs((found?.modified.getTime() ?? 0) - before) < 60_000);
    assert.ok((await keysOf(storage().list('artifact'))).includes(key));
    await storage().delete(key);
    assert.equal(await storage().stat(key), undefined);
    assert.ok(!(await keysOf(storage().list('artifact'))).includes(key));
    assert.deepEqual(await keysOf(storage().list('nothing-is-here')), []);
  });

  for (const reason of reasons) {
    test(`what is set aside as ${reason} has no key any more, and is listed there until it is dropped`, async () => {
      const [key, other] = [await put(storage(), randomBytes(10)), await put(storage(), randomBytes(11))];
      await storage().setAside(key, reason);
      assert.equal(await storage().stat(key), undefined);
      await assert.rejects(storage().read(key), MissingFileError);
      assert.ok(!(await keysOf(storage().list('artifact'))).includes(key));
      for (const each of reasons)
        assert.equal((await keysOf(storage().listAside('artifact', each))).includes(key), each === reason);
      await storage().dropAside(key, reason);
      await storage().dropAside(key, reason);
      assert.ok(!(await keysOf(storage().listAside('artifact', reason))).includes(key));
      assert.equal(await storage().size(other), 11);
    });

    test(`to set aside as ${reason} what is absent is fine, and leaves what was set aside before`, async () => {
      const key = await put(storage(), randomBytes(10));
      await storage().setAside(key, reason);
      await storage().setAside(key, reason);
      assert.ok((await keysOf(storage().listAside('artifact', reason))).includes(key));
      await put(storage(), randomBytes(12), key);
      await storage().setAside(key, reason);
      assert.equal((await keysOf(storage().listAside('artifact', reason))).filter((each) => each === key).length, 1);
      await storage().dropAside(key, reason);
    });
  }

  test('what is brought back has its key and its bytes again', async () => {
    for (const store of [put, async (to: Storage, body: Buffer) => to.putSmall([{ key: keyOf(body), body }])]) {
      const body = randomBytes(5000);
      await store(storage(), body);
      await storage().setAside(keyOf(body), 'doomed');
      await storage().bringBack(keyOf(body));
      assert.ok(body.equals(await bytesOf(await storage().read(keyOf(body)))));
      assert.ok(!(await keysOf(storage().listAside('artifact', 'doomed'))).includes(keyOf(body)));
    }
  });

  test('a file that has come meanwhile is kept, and the older one goes', async () => {
    const key = await put(storage(), Buffer.from('first'));
    await storage().setAside(key, 'doomed');
    await put(storage(), Buffer.from('second'), key);
    await storage().bringBack(key);
    assert.equal(String(await bytesOf(await storage().read(key))), 'second');
    assert.ok(!(await keysOf(storage().listAside('artifact', 'doomed'))).includes(key));
  });

  test('what is in neither place cannot be brought back, nor what was damaged', async () => {
    await assert.rejects(storage().bringBack(keyOf(randomBytes(10))), MissingFileError);
    const key = await put(storage(), randomBytes(10));
    await storage().setAside(key, 'damaged');
    await assert.rejects(storage().bringBack(key), MissingFileError);
    await storage().dropAside(key, 'damaged');
  });
}

/** In pieces of these sizes. */
async function* piecesOf(body: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, turn = 0; at < body.length; turn++) {
    const size = sizes[turn % sizes.length] as number;
    yield body.subarray(at, at + size);
    at += size;
  }
}

function testAppending(storage: () => Storage): void {
  const hex = (name: string, body: Buffer): string => createHash(name).update(body).digest('hex');

  test('what is appended is in the file, and its checksums are those that were wanted', async () => {
    // More files at once than are on their way to the disk at once, in pieces that fit nothing.
    const bodies = Array.from({ length: 9 }, (_, number) => randomBytes(3_000_001 + number));
    await Promise.all(
      bodies.map(async (body, number) => {
        const file = storage().reserve();
        const appended = await file.append(piecesOf(body, [65_536, 1, 700_000 + number]), ['sha256', 'md5']);
        assert.deepEqual(appended, { size: body.length, checksums: { sha256: hex('sha256', body), md5: hex('md5', body) } });
        assert.equal(await storage().size(keyOf(body)), undefined);
        await file.commit(keyOf(body));
        assert.ok(body.equals(await bytesOf(await storage().read(keyOf(body)))));
      }),
    );
  });

  test('nothing can be appended, too', async () => {
    const file = storage().reserve();
    const appended = await file.append(piecesOf(Buffer.alloc(0), [1]), ['sha256']);
    assert.deepEqual(appended, { size: 0, checksums: { sha256: hex('sha256', Buffer.alloc(0)) } });
    await file.abort();
  });

  test('bytes that break off fail the file, and no other', async () => {
    const broken = async function* (): AsyncGenerator<Buffer> {
      yield randomBytes(1_000_000);
      throw new Error('the client went away');
    };
    const body = randomBytes(1_000_000);
    const [whole, failed] = [storage().reserve(), storage().reserve()];
    const appending = whole.append(piecesOf(body, [10_000]), ['sha256']);
    await assert.rejects(failed.append(broken(), ['sha256']), /the client went away/);
    await assert.rejects(failed.commit(keyOf(body)), /already committed, aborted/);
    await appending;
    await whole.commit(keyOf(body));
    assert.ok(body.equals(await bytesOf(await storage().read(keyOf(body)))));
  });
}

function testPendingFiles(storage: () => Storage): void {
  test('a reserved file is made by the first write; one that nothing was written to needs no end', async () => {
    storage().reserve();
    const file = storage().reserve();
    const [first, second] = [randomBytes(1000), randomBytes(1000)];
    await file.write(first);
    await file.write(second);
    const body = Buffer.concat([first, second]);
    await file.commit(keyOf(body));
    assert.deepEqual(await bytesOf(await storage().read(keyOf(body))), body);
    const aborted = storage().reserve();
    await aborted.abort();
    await assert.rejects(aborted.write(first), /already committed, aborted/);
  });

  test('a file is there after commit, whole, and not before', async () => {
    const chunks = [randomBytes(3_000_001), randomBytes(1), Buffer.alloc(0), randomBytes(2_500_000)];
    const body = Buffer.concat(chunks);
    const key = keyOf(body);
    const file = await storage().create();
    for (const chunk of chunks) await file.write(chunk);
    assert.equal(await storage().size(key), undefined);
    await assert.rejects(storage().read(key), MissingFileError);
    await file.commit(key);
    assert.equal(await storage().size(key), body.length);
    assert.ok(body.equals(await bytesOf(await storage().read(key))));
  });

  test('a chunk may be reused when write has resolved', async () => {
    const chunk = Buffer.alloc(70_000);
    const file = await storage().create();
    for (const value of [1, 2, 3]) await file.write(chunk.fill(value));
    const expected = Buffer.concat([1, 2, 3].map((value) => Buffer.alloc(70_000, value)));
    await file.commit(keyOf(expected));
    assert.ok(expected.equals(await bytesOf(await storage().read(keyOf(expected)))));
  });

  test('an empty file can be stored', async () => {
    const key = await put(storage(), Buffer.alloc(0));
    assert.equal(await storage().size(key), 0);
    assert.equal((await bytesOf(await storage().read(key))).length, 0);
  });

  test('abort drops it, twice as well, and nothing can be done with it afterwards', async () => {
    const key = keyOf(randomBytes(10));
    const file = await storage().create();
    await file.write(randomBytes(10));
    await file.abort();
    await file.abort();
    await assert.rejects(file.commit(key));
    await assert.rejects(file.write(Buffer.from('late')));
    assert.equal(await storage().size(key), undefined);
  });

  test('abort after commit keeps the file', async () => {
    const body = randomBytes(10);
    const file = await storage().create();
    await file.write(body);
    await file.commit(keyOf(body));
    await file.abort();
    assert.equal(await storage().size(keyOf(body)), 10);
  });

  test('an existing file of the same key is kept', async () => {
    const key = await put(storage(), Buffer.from('first'));
    await put(storage(), Buffer.from('second'), key);
    await storage().putSmall([{ key, body: Buffer.from('third') }]);
    assert.equal((await bytesOf(await storage().read(key))).toString(), 'first');
  });

  test('many files of one key may be committed at once', async () => {
    const body = randomBytes(100_000);
    await Promise.all(Array.from({ length: 20 }, () => put(storage(), body)));
    assert.ok(body.equals(await bytesOf(await storage().read(keyOf(body)))));
  });
}

function testRanges(storage: () => Storage): void {
  const body = randomBytes(2_500_000);
  const ranges: readonly (readonly [what: string, range: ByteRange])[] = [
    ['the first byte', { start: 0, length: 1 }],
    ['the middle', { start: 1_000_000, length: 1_200_000 }],
    ['the last byte', { start: body.length - 1, length: 1 }],
    ['everything', { start: 0, length: body.length }],
    ['nothing', { start: 5, length: 0 }],
  ];
  for (const [what, range] of ranges) {
    test(`reads a range: ${what}`, async () => {
      const key = await put(storage(), body);
      const expected = body.subarray(range.start, range.start + range.length);
      assert.ok(expected.equals(await bytesOf(await storage().read(key, range))));
    });
  }

  test('a reader may leave early', async () => {
    const key = await put(storage(), body);
    const stream = await storage().read(key);
    for await (const chunk of stream) {
      assert.ok((chunk as Buffer).length > 0);
      break;
    }
    assert.equal(stream.destroyed, true);
  });
}

function testSmallFiles(storage: () => Storage): void {
  test('stores many small files in one call', async () => {
    const files = Array.from({ length: 1000 }, (_, index) => {
      const body = randomBytes(index);
      return { key: keyOf(body), body };
    });
    await storage().putSmall(files);
    for (const { key, body } of files) assert.ok(body.equals(await bytesOf(await storage().read(key))), key);
  });

  test('stores small files of many calls at once', async () => {
    const files = Array.from({ length: 300 }, () => {
      const body = randomBytes(200);
      return { key: keyOf(body), body };
    });
    await Promise.all(
      files.map(async (file) => {
        await storage().putSmall([file]);
        assert.equal(await storage().size(file.key), 200);
      }),
    );
  });

  test('a body may be a part of a larger buffer, and is given back unchanged', async () => {
    const buffer = randomBytes(10_000);
    const copy = Buffer.from(buffer);
    const bodies = [buffer.subarray(0, 10), buffer.subarray(5_000, 9_000), buffer.subarray(10, 10)];
    await storage().putSmall(bodies.map((body) => ({ key: keyOf(body), body })));
    for (const body of bodies) assert.ok(body.equals(await bytesOf(await storage().read(keyOf(body)))));
    assert.ok(copy.equals(buffer));
  });

  test('the same file twice in a call, files that are there, and no file at all, are fine', async () => {
    const body = randomBytes(10);
    const file = { key: keyOf(body), body };
    await storage().putSmall([file, file]);
    await storage().putSmall([file]);
    await storage().putSmall([]);
    assert.equal(await storage().size(file.key), 10);
  });

  test('bodies of some megabytes go too', async () => {
    const files = Array.from({ length: 5 }, () => {
      const body = randomBytes(7_000_000);
      return { key: keyOf(body), body };
    });
    await storage().putSmall(files);
    for (const { key, body } of files) assert.ok(body.equals(await bytesOf(await storage().read(key))));
  });
}

function testKeys(storage: () => Storage): void {
  const body = randomBytes(10);
  for (const key of [
    '',
    '.',
    '..',
    '../outside',
    'artifact/../../outside',
    'artifact/..',
    'artifact//ab',
    'artifact/ab/',
    '/etc/passwd',
    'artifact/\0',
    'artifact\\..\\outside',
    'artifact/.hidden',
    'artifact/ab\n',
    'tmp/someone/file-1',
    'journal/someone/1',
    `artifact/${'a'.repeat(600)}`,
  ]) {
    test(`refuses the key ${JSON.stringify(key.slice(0, 40))} everywhere`, async () => {
      const options = { filename: 'f', contentType: 'text/plain', expiresInSeconds: 60 };
      await assert.rejects(put(storage(), body, key), RangeError);
      await assert.rejects(storage().putSmall([{ key, body }]), RangeError);
      await assert.rejects(storage().size(key), RangeError);
      await assert.rejects(storage().read(key), RangeError);
      await assert.rejects(storage().delete(key), RangeError);
      await assert.rejects(storage().redirectUrl(key, options), RangeError);
      assert.throws(() => storage().localPath(key), RangeError);
    });
  }
}
