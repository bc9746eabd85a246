import assert from 'node:assert/strict';
import test from 'node:test';
import { parseRange, type RequestedRange } from '../../src/lib/http-range.ts';

/** For a body of 10,000 bytes, as in the examples of RFC 9110, 14.1.2. */
const CASES: readonly [header: string | undefined, expected: RequestedRange][] = [
  [undefined, 'whole'],
  ['bytes=0-499', { start: 0, length: 500 }],
  ['bytes=500-999', { start: 500, length: 500 }],
  ['bytes=-500', { start: 9500, length: 500 }],
  ['bytes=9500-', { start: 9500, length: 500 }],
  ['bytes=0-0', { start: 0, length: 1 }],
  ['bytes=-1', { start: 9999, length: 1 }],
  ['bytes=0-', { start: 0, length: 10_000 }],
  ['bytes=9990-20000', { start: 9990, length: 10 }],
  ['bytes=0-99999999999999999999999999', { start: 0, length: 10_000 }],
  ['bytes=-20000', { start: 0, length: 10_000 }],
  ['Bytes=0-499', { start: 0, length: 500 }],
  ['bytes=10000-', 'unsatisfiable'],
  ['bytes=10000-10001', 'unsatisfiable'],
  ['bytes=99999999999999999999999999-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=500-499', 'whole'],
  ['bytes=0-0,-1', 'whole'],
  ['bytes=0-1, 3-4', 'whole'],
  ['bytes=', 'whole'],
  ['bytes=-', 'whole'],
  ['bytes=a-b', 'whole'],
  ['bytes=1.5-3', 'whole'],
  ['bytes=--5', 'whole'],
  ['bytes 0-499', 'whole'],
  ['lines=0-5', 'whole'],
  ['', 'whole'],
];

for (const [header, expected] of CASES) {
  test(`Range: ${header}`, () => assert.deepEqual(parseRange(header, 10_000), expected));
}

test('an empty body has no bytes to begin at', () => {
  assert.equal(parseRange('bytes=0-', 0), 'unsatisfiable');
  assert.equal(parseRange('bytes=-5', 0), 'whole');
  assert.equal(parseRange(undefined, 0), 'whole');
});
