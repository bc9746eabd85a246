import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filtered } from '../../../src/core/content-guards/header-secret.ts';
import { parseJsonPath } from '../../../src/core/content-guards/json-path.ts';

const JSON_TEXT = JSON.stringify({
  identity: {
    org_id: 'acme',
    orgs: [{ name: 'first' }, { name: 'last' }],
    'a b': { 'c"d': 'quoted' },
    n: 1,
    none: null,
  },
  list: ['zero', ['deep']],
}).replace('"n"', '"__proto__":"own","n"');

/** What jq 1.7 answers; undefined where it answers no text, or fails. */
const ANSWERS: readonly [filter: string, answer: string | undefined][] = [
  ['.', undefined],
  ['.identity.org_id', 'acme'],
  ['.identity["org_id"]', 'acme'],
  ['.identity."org_id"', 'acme'],
  ['."identity".org_id', 'acme'],
  ['.["identity"]["org_id"]', 'acme'],
  ['.identity.["org_id"]', 'acme'],
  ['.identity .org_id', 'acme'],
  ['.identity.org_id?', 'acme'],
  ['.identity.org_id | .', 'acme'],
  ['.identity | . | .org_id', 'acme'],
  ['.|.identity.org_id', 'acme'],
  ['.identity.orgs[0].name', 'first'],
  ['.identity.orgs[-1].name', 'last'],
  ['.identity.orgs.[1].name', 'last'],
  [' .identity | .orgs | .[ 0 ] | .name ', 'first'],
  ['.identity."a b"["c\\"d"]', 'quoted'],
  ['.["list"][1][0]', 'deep'],
  ['.list|.[0]', 'zero'],
  ['.identity.__proto__', 'own'],
  ['.identity.orgs[5].name', undefined],
  ['.identity.n', undefined],
  ['.identity.none', undefined],
  ['.nope.deeper', undefined],
  ['.identity.org_id.x', undefined],
  ['.identity.org_id.x?', undefined],
  ['.list.x?', undefined],
  ['.list.length', undefined],
  ['.identity[0]', undefined],
  ['.[0]', undefined],
  ['.toString', undefined],
];

for (const [filter, answer] of ANSWERS) {
  test(`jq's answer to ${filter}`, () => {
    assert.ok(parseJsonPath(filter));
    assert.equal(filtered(JSON_TEXT, filter), answer);
  });
}

for (const filter of [
  '',
  ' ',
  'a',
  '|',
  '.a|',
  '|.a',
  '.a||.b',
  '.a.',
  '.a..b',
  '..',
  '..a',
  '.["a"',
  '.a[',
  '.a[b]',
  '[0]',
  '.1a',
  '.a-b',
  '.identity. org_id',
]) {
  test(`no filter of jq: ${JSON.stringify(filter)}`, () => assert.equal(parseJsonPath(filter), undefined));
}

for (const filter of [
  '.a[]',
  '.a[0:1]',
  '.a|tostring',
  '.a//.b',
  '.a,.b',
  '."a\\(1)"',
  '$ENV.HOME',
  'env.HOME',
  'input',
  'def f: f; f',
  '[limit(3; repeat(1))]',
]) {
  test(`more than a path: ${filter}`, () => assert.equal(parseJsonPath(filter), undefined));
}

test('what is no JSON has nothing', () => {
  for (const text of ['', 'acme', '{', '{"identity":']) assert.equal(filtered(text, '.identity.org_id'), undefined);
});

test('a filter of any length is read in a time that follows its length', () => {
  const started = performance.now();
  for (const part of ['.a', '|.', '["', ' ', '."\\', '[0']) parseJsonPath(`.${part.repeat(500_000)}`);
  assert.ok(performance.now() - started < 5_000);
});
