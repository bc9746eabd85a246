import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';
import { insertCommit, insertObjects, sha256 } from './commit-rows.ts';

/*
 * Units are written as rows here: many more than a test can mirror. What a sync makes of a real repository is looked at in sync/ and in
 * the acceptance tests.
 */

const CONTENT = '/pulp/api/v3/content/ostree/';
const COMMITS = [
  { checksum: sha256('a'), objects: 120_000 },
  { checksum: sha256('b'), objects: 3 },
  { checksum: sha256('c'), objects: 0 },
  { checksum: sha256('d'), objects: 30_000 },
  { checksum: sha256('e'), objects: 30_000 },
];

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false });
  for (const { checksum, objects } of COMMITS) {
    await insertCommit(app.services, checksum, await insertObjects(app.services, objects));
  }
});
after(() => app?.stop());

const list = async (query: string): Promise<Answer['body']> => {
  const { status, body } = await app.request('GET', `${CONTENT}commits/?${query}`);
  assert.equal(status, 200, JSON.stringify(body).slice(0, 500));
  return body;
};

test('commits name all their objects, however many', async () => {
  const { count, results } = await list('ordering=pk');
  assert.equal(count, COMMITS.length);
  assert.deepEqual(
    results.map((commit: Answer['body']) => [commit.checksum, commit.objs.length, new Set(commit.objs).size]),
    COMMITS.map(({ checksum, objects }) => [checksum, objects, objects]),
  );
  const [object] = results[1].objs;
  assert.equal((await app.request('GET', object)).body.pulp_href, object);
});

test('a page of large commits is sent in pieces', async () => {
  const response = await fetch(`${app.url}${CONTENT}commits/`, {
    headers: { authorization: `Basic ${Buffer.from('admin:password').toString('base64')}` },
  });
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal(response.headers.get('content-length'), null);
  let size = 0;
  assert.ok(response.body);
  for await (const chunk of response.body) size += (chunk as Uint8Array).byteLength;
  assert.ok(size > 180_000 * 70, String(size));
});

test('one commit is answered whole, or without what is not wanted', async () => {
  const { results } = await list(`checksum=${sha256('d')}&fields=pulp_href,objs`);
  const { pulp_href: href, objs } = results[0];
  assert.equal(objs.length, 30_000);
  assert.deepEqual((await app.request('GET', href)).body.objs.length, 30_000);
  assert.deepEqual(Object.keys((await app.request('GET', `${href}?exclude_fields=objs`)).body).includes('objs'), false);
  assert.deepEqual((await list('exclude_fields=objs&limit=1')).results.length, 1);
});

test('a page without commits has the form of every page', async () => {
  assert.deepEqual(await list('checksum=nobody'), { count: 0, next: null, previous: null, results: [] });
  assert.deepEqual((await list('offset=100')).results, []);
  const page = await list('limit=2&offset=1&fields=objs');
  assert.equal(page.results.length, 2);
  assert.match(page.next, /offset=3/);
});

test('HEAD of a large page has no body', async () => {
  const { status, body } = await app.request('HEAD', `${CONTENT}commits/`);
  assert.deepEqual([status, body], [200, '']);
});

test('units of an on-demand remote have no artifact yet', async () => {
  const { body } = await app.request('GET', `${CONTENT}objects/?limit=1`);
  const [object] = body.results;
  assert.deepEqual([object.artifact, object.typ], [null, 1]);
  assert.match(object.relative_path, /^objects\/[0-9a-f]{2}\/[0-9a-f]{62}\.filez$/);
});

test('content is labelled', async () => {
  for (const kind of ['commits', 'objects']) {
    const { body } = await app.request('GET', `${CONTENT}${kind}/?limit=1&fields=pulp_href`);
    const href = body.results[0].pulp_href;
    const [key, value] = [randomUUID(), 'v'];
    assert.equal((await app.request('POST', `${href}set_label/`, { key, value })).status, 201);
    const found = await app.request('GET', `${CONTENT}${kind}/?pulp_label_select=${key}&fields=pulp_href`);
    assert.deepEqual(found.body.results, [{ pulp_href: href }]);
    assert.equal((await app.request('POST', `${href}unset_label/`, { key })).status, 201);
  }
});

/** Uploads random bytes; answers the artifact's href. */
async function artifact(): Promise<string> {
  const form = new FormData();
  form.append('file', new Blob([randomUUID()]), 'file');
  const response = await fetch(`${app.url}/pulp/api/v3/artifacts/`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from('admin:password').toString('base64')}` },
    body: form,
  });
  return ((await response.json()) as { pulp_href: string }).pulp_href;
}

for (const path of ['/abs', 'a/../b', './a', 'a//b', 'trail/']) {
  test(`a file is not made at the path ${path}`, async () => {
    const unit = { artifact: await artifact(), relative_path: path, digest: '0' };
    const { status, body } = await app.request('POST', `${CONTENT}content/`, unit);
    assert.deepEqual([status, body], [400, { relative_path: [`Relative path is not in canonical form. ${path}`] }]);
  });
}

for (const [path, kind] of [
  ['config', 'config'],
  ['summary', 'summary'],
  ['refs/heads/stable', 'ref'],
  [`objects/aa/${'0'.repeat(62)}.commit`, 'commit'],
  [`objects/aa/${'0'.repeat(62)}.filez`, 'object'],
] as const) {
  test(`a file does not take the place of a ${kind}`, async () => {
    const unit = { artifact: await artifact(), relative_path: path, digest: '0' };
    const { status, body } = await app.request('POST', `${CONTENT}content/`, unit);
    assert.deepEqual([status, body], [400, { relative_path: [`${path} is the place of a ${kind}: it cannot be any file.`] }]);
  });
}

test('a file is made once, and says which one is there', async () => {
  const unit = { artifact: await artifact(), relative_path: 'once/more', digest: '0' };
  const first = await app.finished(await app.request('POST', `${CONTENT}content/`, unit));
  const again = await app.finished(await app.request('POST', `${CONTENT}content/`, unit));
  const id = first.created_resources[0].split('/').at(-2);
  assert.equal(again.state, 'failed');
  assert.equal(again.error.description, `There is a file with relative_path "once/more" and digest "0" already: ${id}`);
});

test('a file is put into OSTree repositories only', async () => {
  const { body: other } = await app.request('POST', '/pulp/api/v3/repositories/container/container/', { name: 'other' });
  const unit = { artifact: await artifact(), relative_path: 'in', digest: '0', repository: other.pulp_href };
  const { status, body } = await app.request('POST', `${CONTENT}content/`, unit);
  assert.deepEqual([status, body], [400, { repository: ['Invalid hyperlink - Object does not exist.'] }]);
});
