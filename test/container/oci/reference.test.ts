import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRepositoryName, isTag, parseReference, upstreamRepositoryName } from '../../../src/plugins/container/oci/reference.ts';

test('names (OCI distribution-spec)', () => {
  for (const name of ['a', 'library/alpine', 'a.b/c_d/e__f/g-h', 'a--b', '0', 'a'.repeat(255)])
    assert.ok(isRepositoryName(name), name);
  const wrong = [
    '',
    'A',
    '/a',
    'a/',
    'a//b',
    'a..b',
    '.a',
    'a___b',
    'a_',
    '../x',
    'a/../b',
    'a b',
    'a%2Fb',
    'a'.repeat(256),
    'a\n',
  ];
  for (const name of wrong) assert.ok(!isRepositoryName(name), JSON.stringify(name));
});

test('tags and digests', () => {
  for (const tag of ['latest', '1.0', '_x', 'A-b_C.d', 'a'.repeat(128)]) assert.ok(isTag(tag), tag);
  for (const tag of ['', '.a', '-a', 'a/b', 'a:b', '..', 'a'.repeat(129), 'a\n']) assert.ok(!isTag(tag), JSON.stringify(tag));
  const digest = `sha256:${'a'.repeat(64)}`;
  assert.deepEqual(parseReference(digest), { digest });
  assert.deepEqual(parseReference('latest'), { tag: 'latest' });
  for (const text of ['sha256:abc', `sha256:${'A'.repeat(64)}`, 'sha256:../../x']) assert.equal(parseReference(text), undefined);
});

test('library/ is for Docker Hub alone (spec: sync, URL handling)', () => {
  assert.equal(upstreamRepositoryName('alpine', 'registry-1.docker.io'), 'library/alpine');
  assert.equal(upstreamRepositoryName('alpine', 'registry.docker.io'), 'library/alpine');
  assert.equal(upstreamRepositoryName('me/app', 'registry-1.docker.io'), 'me/app');
  assert.equal(upstreamRepositoryName('alpine', 'quay.io'), 'alpine');
  assert.equal(upstreamRepositoryName('alpine', 'registry-1.docker.io.evil.example'), 'alpine');
});
