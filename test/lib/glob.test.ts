import assert from 'node:assert/strict';
import test from 'node:test';
import { glob } from '../../src/lib/glob.ts';

/** Pattern, text, and what Python's fnmatch.fnmatchcase says, which is what Pulp asks. */
const CASES: readonly [pattern: string, text: string, expected: boolean][] = [
  ['*', '', true],
  ['*', 'v1', true],
  ['v1.*', 'v1.2', true],
  ['v1.*', 'v10', false],
  ['v?', 'v1', true],
  ['v?', 'v', false],
  ['v?', 'v12', false],
  ['1.[0-9]', '1.5', true],
  ['1.[0-9]', '1.a', false],
  ['[abc]', 'b', true],
  ['[abc]', 'd', false],
  ['[!abc]', 'd', true],
  ['[!abc]', 'a', false],
  ['[!abc]', '', false],
  ['latest', 'latest', true],
  ['latest', 'Latest', false],
  ['latest', 'latest2', false],
  ['', '', true],
  ['', 'a', false],
  ['sha256-*', 'sha256-ab.sig', true],
  ['*.s?g', 'sha256-ab.sig', true],
  ['a*b*c', 'a-b-b-c', true],
  ['a*b*c', 'a-b-b', false],
  ['**', 'x', true],
  ['[', '[', true],
  ['[abc', '[abc', true],
  ['[]]', ']', true],
  ['[]a]', 'a', true],
  ['[!]]', ']', false],
  ['[!]]', 'a', true],
  ['[]', '[]', true],
  ['[!]', '[!]', true],
  ['[a-]', '-', true],
  ['[-a]', '-', true],
  ['[z-a]', 'm', false],
  ['[!z-a]', 'm', true],
  ['[^a]', '^', true],
  ['[^a]', 'b', false],
  ['[a-c-e]', 'b', true],
  ['[a-c-e]', '-', true],
  ['[a-c-e]', 'd', false],
  ['[a-c-e]', 'e', true],
  ['[--0]', '.', true],
  ['a.c', 'abc', false],
  ['a+', 'aa', false],
  ['(a|b)', 'a', false],
  ['\\*', '\\x', true],
  ['[*]', '*', true],
  ['[*]', 'a', false],
  ['[?]x', '?x', true],
  ['*b', 'a\nb', true],
  ['?', 'é', true],
  ['?', '😀', true],
];

for (const [pattern, text, expected] of CASES) {
  test(`${JSON.stringify(pattern)} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(text)}`, () => {
    assert.equal(glob(pattern)(text), expected);
  });
}

test('no pattern takes long', { timeout: 60_000 }, () => {
  const text = 'a'.repeat(5_000);
  assert.equal(glob(`${'*a'.repeat(500)}b`)(text), false);
  assert.equal(glob(`${'*a'.repeat(500)}`)(text), true);
});
