import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createDeflateRaw, deflateRawSync } from 'node:zlib';
import { type Checksum, parseChecksum } from '../../../src/plugins/ostree/format/checksum.ts';
import { filezVerifier, inflatesInHand, MAX_INFLATED_IN_HAND, verifyFilez } from '../../../src/plugins/ostree/format/filez.ts';
import { swap32, swap64, type Value } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import { laterRefusal, refusal } from './refusal.ts';
import { bytesOf } from './vectors.ts';

interface Header {
  readonly size?: bigint;
  readonly mode?: number;
  readonly rdev?: number;
  readonly target?: string;
  readonly xattrs?: Value;
}

const REGULAR = 0o100644;
const LINK = 0o120777;
const CONTENT = Buffer.from('content\n');

/** The start of a filez, as the facts on the format have it. */
function head({ size = BigInt(CONTENT.length), mode = REGULAR, rdev = 0, target = '', xattrs = [] }: Header): Buffer {
  const header = serializeGVariant(gvariantType('(tuuuusa(ayay))'), [
    swap64(size),
    0,
    0,
    swap32(mode),
    swap32(rdev),
    target,
    xattrs,
  ]);
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(header.length);
  return Buffer.concat([prefix, header]);
}

/** The checksum of a file without extended attributes. */
function checksumOf(content: Buffer, mode = REGULAR, target = ''): Checksum {
  const header = serializeGVariant(gvariantType('(uuuusa(ayay))'), [0, 0, swap32(mode), 0, target, []]);
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(header.length);
  const checksum = parseChecksum(createHash('sha256').update(prefix).update(header).update(content).digest('hex'));
  assert.ok(checksum);
  return checksum;
}

const EXPECTED = checksumOf(CONTENT);
const file = (header: Header, payload: Buffer = deflateRawSync(CONTENT)) => Buffer.concat([head(header), payload]);

/** Both ways of checking agree; the reason, without the name of the object. */
async function refused(
  bytes: Buffer,
  expected: Checksum = EXPECTED,
  pieces: readonly number[] = [bytes.length, 1, 7],
): Promise<string> {
  const message = refusal(() => verifyFilez(bytes, expected));
  for (const piece of pieces) assert.equal(await laterRefusal(() => stream(bytes, expected, piece)), message);
  const name = `${expected}.filez: `;
  assert.ok(message.startsWith(name), message);
  return message.slice(name.length);
}

async function stream(bytes: Buffer, expected: Checksum, piece: number): Promise<void> {
  const verifier = filezVerifier(expected);
  for (let at = 0; at < bytes.length; at += piece) await verifier.update(bytes.subarray(at, at + piece));
  await verifier.finish();
}

test('the same file in other bytes has the same checksum', async () => {
  for (const level of [0, 1, 9]) {
    const bytes = file({}, deflateRawSync(CONTENT, { level }));
    verifyFilez(bytes, EXPECTED);
    await stream(bytes, EXPECTED, 5);
  }
});

test('a file of another checksum', async () => {
  const expected = checksumOf(Buffer.from('other'));
  assert.equal(await refused(file({}), expected), `its header and content have the checksum ${EXPECTED}`);
});

test('owner, mode, target and attributes are part of the checksum', async () => {
  for (const header of [{ mode: 0o100755 }, { xattrs: [[Buffer.from('user.a\0'), Buffer.from('v')]] }]) {
    assert.match(await refused(file(header)), /^its header and content have the checksum /);
  }
  assert.match(
    await refused(head({ mode: LINK, target: 'a', size: 0n }), checksumOf(Buffer.alloc(0), LINK, 'b')),
    /have the checksum/,
  );
});

test('a truncated file, wherever it ends', async () => {
  const whole = file({});
  for (let length = 0; length < whole.length; length += 1) {
    assert.equal(await refused(whole.subarray(0, length), EXPECTED, [length, 3]), 'it is truncated', `${length} bytes`);
  }
});

test('bytes behind the end', async () => {
  const reason = 'it has bytes behind the end of its compressed content';
  for (const more of ['x', '\0', 'x'.repeat(100_000)]) {
    assert.equal(await refused(Buffer.concat([file({}), Buffer.from(more)])), reason);
  }
  assert.equal(await refused(Buffer.concat([file({}), deflateRawSync(CONTENT)])), reason);
});

test('content that is not compressed as it should be', async () => {
  const zlibHeader = Buffer.from([0x78, 0x9c]);
  assert.match(
    await refused(file({}, Buffer.concat([zlibHeader, deflateRawSync(CONTENT)]))),
    /^its content is not compressed as a filez is: /,
  );
  assert.match(await refused(file({}, CONTENT)), /^(?:its content is not compressed as a filez is: |it is truncated$)/);
});

test('content of another size than the header says', async () => {
  assert.equal(await refused(file({ size: 7n })), 'it inflates to more than the 7 bytes of its header');
  assert.equal(await refused(file({ size: 0n })), 'it inflates to more than the 0 bytes of its header');
  assert.equal(await refused(file({ size: 9n })), 'it inflates to 8 bytes, its header says 9');
});

test('a bomb is stopped at the size of its header', async () => {
  const bomb = file({ size: 100n }, deflateRawSync(Buffer.alloc(64 * 1024 * 1024)));
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(await refused(bomb, EXPECTED, [bomb.length]), 'it inflates to more than the 100 bytes of its header');
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024);
});

test('headers that are too long, or none', async () => {
  const huge = file({});
  huge.writeUInt32BE(1024 * 1024 + 1);
  assert.equal(await refused(huge), 'its header says to be 1048577 bytes long: 1048576 is the most');
  const marked = file({});
  marked[7] = 1;
  assert.equal(await refused(marked), 'it does not start as a filez object does');
  const odd = file({});
  odd.writeUInt32BE(25);
  assert.match(await refused(odd), /^it is not a GVariant of the normal form: /);
  const page = Buffer.from('<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>');
  assert.equal(await refused(page, EXPECTED, [page.length]), 'it is an HTML page');
});

test('an unreasonable size', async () => {
  assert.equal(await refused(file({ size: 2n ** 63n })), 'its header says that it holds 9223372036854775808 bytes');
});

test('links: no content, and a target', async () => {
  const link = head({ mode: LINK, target: 'hi', size: 0n });
  const expected = checksumOf(Buffer.alloc(0), LINK, 'hi');
  verifyFilez(link, expected);
  await stream(link, expected, 1);
  assert.equal(
    await refused(Buffer.concat([link, deflateRawSync(Buffer.alloc(0))]), expected),
    'it is a symbolic link with bytes behind its header',
  );
  assert.equal(await refused(head({ mode: LINK, target: '', size: 0n })), 'it is a symbolic link without a target');
  assert.equal(await refused(head({ mode: LINK, target: 'hi', size: 1n })), 'it is a symbolic link with content');
  assert.equal(await refused(file({ target: 'hi' })), 'it is a regular file with the target of a symbolic link');
});

test('what is neither a file nor a link is refused and said', async () => {
  const kinds: readonly [mode: number, kind: string][] = [
    [0o010644, 'a named pipe'],
    [0o020644, 'a character device'],
    [0o040755, 'a directory'],
    [0o060644, 'a block device'],
    [0o140644, 'a socket'],
    [0o644, 'a file of the unknown mode 0644'],
  ];
  for (const [mode, kind] of kinds) {
    const reason = `it is ${kind}: only regular files and symbolic links can be mirrored`;
    assert.equal(await refused(head({ mode, size: 0n })), reason);
  }
  assert.equal(await refused(file({ rdev: 1 })), 'it has a device number, which only a device has');
  assert.equal(await refused(file({ mode: 0o1100644 })), 'its mode, 01100644, has bits that no mode has');
});

test('a malformed extended attribute', async () => {
  assert.equal(
    await refused(file({ xattrs: [[Buffer.from('user.a'), Buffer.from('v')]] })),
    'the name of an extended attribute is malformed',
  );
});

test('a small body that inflates to a large file is for the streaming check', async () => {
  const size = MAX_INFLATED_IN_HAND + 1;
  const content = Buffer.alloc(size);
  const bytes = file({ size: BigInt(size) }, deflateRawSync(content));
  assert.equal(inflatesInHand(bytes), false);
  assert.match(
    refusal(() => verifyFilez(bytes, EXPECTED)),
    /it is larger than 67108864 bytes$/,
  );
  await stream(bytes, checksumOf(content), bytes.length);
  assert.equal(inflatesInHand(bytesOf('filez-regular')), true);
});

test('a large file in a stream takes no memory', async () => {
  const chunk = Buffer.alloc(1024 * 1024);
  const chunks = 128;
  const hash = createHash('sha256');
  const header = serializeGVariant(gvariantType('(uuuusa(ayay))'), [0, 0, swap32(REGULAR), 0, '', []]);
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(header.length);
  hash.update(prefix).update(header);
  for (let index = 0; index < chunks; index += 1) hash.update(chunk);
  const verifier = filezVerifier(parseChecksum(hash.digest('hex')) ?? assert.fail());
  await verifier.update(head({ size: BigInt(chunk.length * chunks) }));
  const deflate = createDeflateRaw({ level: 0 });
  const before = process.memoryUsage().rss;
  let most = 0;
  const feed = (async () => {
    for (let index = 0; index < chunks; index += 1) {
      if (!deflate.write(chunk)) await new Promise((resolve) => deflate.once('drain', resolve));
    }
    deflate.end();
  })();
  for await (const piece of deflate) {
    await verifier.update(piece);
    most = Math.max(most, process.memoryUsage().rss - before);
  }
  await feed;
  await verifier.finish();
  assert.ok(most < 64 * 1024 * 1024, `${most} bytes more`);
});

test('once refused, a stream stays refused; one that is left can be let go of', async () => {
  const verifier = filezVerifier(EXPECTED);
  const first = await laterRefusal(() => verifier.update(file({ size: 7n })));
  assert.equal(await laterRefusal(() => verifier.update(CONTENT)), first);
  assert.equal(await laterRefusal(() => verifier.finish()), first);
  const left = filezVerifier(EXPECTED);
  await left.update(file({}).subarray(0, 40));
  left.destroy();
});
