import assert from 'node:assert/strict';
import test from 'node:test';
import { algorithmOf, digestOf, digestSchema, hexOf, parseDigest } from '../../src/lib/digest.ts';

// NIST's example values for the message "abc" (FIPS 180-2, appendices B.1 and C.1).
const ABC_256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
const ABC_512 =
  'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f';

test('computes the digest of bytes in both algorithms', () => {
  assert.equal(digestOf(Buffer.from('abc')), `sha256:${ABC_256}`);
  assert.equal(digestOf(Buffer.from('abc'), 'sha512'), `sha512:${ABC_512}`);
});

test('takes a digest apart', () => {
  const digest = parseDigest(`sha512:${ABC_512}`);
  assert.ok(digest);
  assert.equal(algorithmOf(digest), 'sha512');
  assert.equal(hexOf(digest), ABC_512);
});

for (const [what, text] of [
  ['upper case', `sha256:${ABC_256.toUpperCase()}`],
  ['a digit too few', `sha256:${ABC_256.slice(1)}`],
  ['a digit too many', `sha256:${ABC_256}0`],
  ['the length of another algorithm', `sha256:${ABC_512}`],
  ['an algorithm that is not registered', `md5:${ABC_256.slice(0, 32)}`],
  ['no algorithm', ABC_256],
  ['a line end', `sha256:${ABC_256}\n`],
  ['a path', 'sha256:../../etc/passwd'],
  ['nothing', ''],
] as const) {
  test(`refuses a digest with ${what}`, () => {
    assert.equal(parseDigest(text), undefined);
    assert.equal(digestSchema.safeParse(text).success, false);
  });
}

test('the schema answers the digest', () => {
  assert.equal(digestSchema.parse(`sha256:${ABC_256}`), `sha256:${ABC_256}`);
});
