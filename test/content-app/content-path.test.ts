import assert from 'node:assert/strict';
import test from 'node:test';
import { basePathsOf, contentPath } from '../../src/content-app/content-path.ts';

const below = (path: string): string | undefined => contentPath(`/pulp/content/${path}`);

test('a path is decoded once, and a plus sign is no space', () => {
  assert.equal(below('os/config?a=b'), 'os/config');
  assert.equal(below('os/refs/heads/na%C3%AFve%20name'), 'os/refs/heads/naïve name');
  assert.equal(below('os/deltas/a+/b%2Bc'), 'os/deltas/a+/b+c');
  assert.equal(below('os/%2541'), 'os/%41');
  assert.equal(below('os/objects/'), 'os/objects/');
  assert.equal(contentPath('/pulp/content'), '');
});

test('what is malformed or leads elsewhere is no path', () => {
  for (const path of [
    'os/../x',
    'os/%2e%2e/x',
    'os/./x',
    'os//x',
    'os/x//',
    '/os',
    'os/%00',
    'os/%zz',
    'os/%ff',
    'a'.repeat(4097),
  ]) {
    assert.equal(below(path), undefined, path);
  }
});

test('the base path is looked for among all beginnings of the path', () => {
  assert.deepEqual(basePathsOf('a/b/c'), ['a', 'a/b', 'a/b/c']);
  assert.deepEqual(basePathsOf('a/b/'), ['a', 'a/b']);
});
