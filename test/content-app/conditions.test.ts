import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ContentUrls } from '../../src/core/content-guards/content-url.ts';
import { OstreeRows } from '../ostree/serve/ostree-rows.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { type PlainAnswer, type PlainOptions, plainRequest } from './plain-request.ts';

/*
 * What RFC 9110 says of conditions (13) and ranges (14), of every kind of path that the content app answers with a body.
 */

const SMALL = Buffer.from('[core]\nmode=archive-z2\n');
const LARGE = Buffer.alloc(300_000, 'deckle ');
const ARTIFACT = Buffer.from('an artifact');
const COMMIT = 'c0'.repeat(32);

let app: TestApp;
/** A path of each kind, and its bytes where they are known. */
const kinds: Record<string, { path: string; bytes?: Buffer }> = {};

before(async () => {
  app = await startApp({ worker: false });
  const rows = new OstreeRows(app.services);
  const repository = await rows.repository();
  await rows.publish(repository, [
    { path: 'config', bytes: SMALL },
    { path: 'deltas/large', bytes: LARGE },
    { path: 'refs/heads/stable', bytes: Buffer.from(`${COMMIT}\n`) },
    { path: `objects/c0/${'c0'.repeat(31)}.commit`, bytes: Buffer.from('a commit') },
  ]);
  await rows.distribution('os/main', { repository_id: repository });
  const root = '/pulp/content/';
  kinds['a small file'] = { path: `${root}os/main/config`, bytes: SMALL };
  kinds['a large file'] = { path: `${root}os/main/deltas/large`, bytes: LARGE };
  kinds['an object'] = { path: `${root}os/main/objects/c0/${'c0'.repeat(31)}.commit` };
  kinds['a ref'] = { path: `${root}os/main/refs/heads/stable`, bytes: Buffer.from(`${COMMIT}\n`) };
  kinds['a folder'] = { path: `${root}os/main/` };
  kinds['a folder of distributions'] = { path: `${root}os/` };
  kinds['the root'] = { path: root };
  kinds['an artifact'] = { path: await signedArtifact(), bytes: ARTIFACT };
});
after(() => app?.stop());

/** The signed path of an artifact that was uploaded. */
async function signedArtifact(): Promise<string> {
  const form = new FormData();
  form.append('file', new Blob([new Uint8Array(ARTIFACT)]), 'file');
  const made = await fetch(`${app.url}/pulp/api/v3/artifacts/`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from('admin:password').toString('base64')}` },
    body: form,
  });
  const { pulp_href } = (await made.json()) as { pulp_href: string };
  const { body } = await app.request('GET', '/pulp/api/v3/distributions/core/artifacts/');
  const urls = await ContentUrls.load(app.services);
  const { pathname, search } = new URL(urls.sign(`/pulp/content/${body.results[0].base_path}/${pulp_href.split('/').at(-2)}`));
  return pathname + search;
}

const ask = (path: string, options?: PlainOptions): Promise<PlainAnswer> => plainRequest(app.url, path, options);
const withHeaders = (path: string, headers: Record<string, string>): Promise<PlainAnswer> => ask(path, { headers });

const each = (what: string, check: (path: string, whole: PlainAnswer, bytes?: Buffer) => Promise<void>) =>
  test(what, async (context) => {
    for (const [kind, { path, bytes }] of Object.entries(kinds))
      await context.test(kind, async () => {
        const whole = await ask(path);
        assert.equal(whole.status, 200);
        await check(path, whole, bytes);
      });
  });

each('the whole is what was stored, and says what it is', async (_path, { headers, body }, bytes) => {
  if (bytes) assert.deepEqual(body, bytes);
  assert.equal(headers['content-length'], String(body.length));
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.match(headers.etag as string, /^"[0-9a-f]{64}"$/);
  assert.match(headers['cache-control'] as string, /^(public|private), max-age=(0, must-revalidate|31536000, immutable)$/);
});

each('HEAD says the same, of the whole', async (path, whole) => {
  const head = await ask(path, { method: 'HEAD', headers: { range: 'bytes=0-1' } });
  assert.equal(head.status, 200);
  assert.equal(head.body.length, 0);
  for (const name of ['content-type', 'content-length', 'etag', 'last-modified', 'cache-control', 'accept-ranges'] as const)
    assert.equal(head.headers[name], whole.headers[name], name);
});

each('If-None-Match', async (path, { headers: { etag = '' } }) => {
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(path, { method, headers: { 'if-none-match': known, range: 'bytes=0-1' } });
      assert.equal(answer.status, 304, `${method} ${known}`);
      assert.equal(answer.headers.etag, etag);
      assert.ok(answer.headers['cache-control']);
      assert.equal(answer.body.length, 0);
    }
  }
  for (const other of ['"other"', etag.replaceAll('"', ''), ''])
    assert.equal((await withHeaders(path, { 'if-none-match': other })).status, 200, other);
});

each('If-Match', async (path, { headers: { etag = '' } }) => {
  for (const wanted of [etag, `"other", ${etag}`, '*'])
    assert.equal((await withHeaders(path, { 'if-match': wanted })).status, 200, wanted);
  for (const wanted of ['"other"', `W/${etag}`]) {
    const answer = await withHeaders(path, { 'if-match': wanted, 'if-none-match': etag });
    assert.equal(answer.status, 412, wanted);
    assert.equal(answer.body.length, 0);
  }
});

each('If-Modified-Since and If-Unmodified-Since', async (path, { headers: { etag = '', 'last-modified': modified } }) => {
  const past = 'Thu, 01 Jan 1970 00:00:00 GMT';
  assert.equal((await withHeaders(path, { 'if-modified-since': past })).status, 200);
  assert.equal((await withHeaders(path, { 'if-modified-since': 'not a date' })).status, 200);
  assert.equal((await withHeaders(path, { 'if-unmodified-since': 'not a date' })).status, 200);
  if (modified === undefined) {
    // No date was told, and none is known.
    assert.equal((await withHeaders(path, { 'if-unmodified-since': past })).status, 200);
    return;
  }
  assert.equal((await withHeaders(path, { 'if-modified-since': modified })).status, 304);
  assert.equal((await withHeaders(path, { 'if-modified-since': modified, 'if-none-match': '"other"' })).status, 200);
  assert.equal((await withHeaders(path, { 'if-unmodified-since': modified })).status, 200);
  assert.equal((await withHeaders(path, { 'if-unmodified-since': past })).status, 412);
  assert.equal((await withHeaders(path, { 'if-unmodified-since': past, 'if-match': etag })).status, 200);
});

each('Range and If-Range', async (path, { body, headers: { etag = '', 'last-modified': modified } }) => {
  const last = body.length - 1;
  for (const [range, from, to] of [
    ['bytes=0-0', 0, 0],
    ['bytes=2-4', 2, 4],
    ['bytes=3-', 3, last],
    ['bytes=-2', last - 1, last],
    [`bytes=1-${body.length + 10}`, 1, last],
  ] as const) {
    const answer = await withHeaders(path, { range, 'if-range': etag });
    assert.equal(answer.status, 206, range);
    assert.equal(answer.headers['content-range'], `bytes ${from}-${to}/${body.length}`);
    assert.equal(answer.headers['content-length'], String(to - from + 1));
    assert.equal(answer.headers.etag, etag);
    assert.deepEqual(answer.body, body.subarray(from, to + 1));
  }
  const wholes = [
    { range: 'bytes=0-0,2-3' },
    { range: 'bytes=0-0, -1' },
    { range: 'bytes=x' },
    { range: 'items=0-1' },
    { range: 'bytes=0-1', 'if-range': '"other"' },
    { range: 'bytes=0-1', 'if-range': `W/${etag}` },
    { range: 'bytes=0-1', 'if-range': 'Thu, 01 Jan 1970 00:00:00 GMT' },
  ];
  for (const headers of wholes) {
    const answer = await withHeaders(path, headers);
    assert.equal(answer.status, 200, JSON.stringify(headers));
    assert.deepEqual(answer.body, body);
  }
  if (modified !== undefined) {
    assert.equal((await withHeaders(path, { range: 'bytes=0-1', 'if-range': modified })).status, 206);
  }
  const behind = await withHeaders(path, { range: `bytes=${body.length}-` });
  assert.equal(behind.status, 416);
  assert.equal(behind.headers['content-range'], `bytes */${body.length}`);
});

test('an artifact is for whoever has its signed URL', async () => {
  const path = kinds['an artifact']?.path as string;
  const { headers } = await ask(path);
  assert.equal(headers['content-type'], 'application/octet-stream');
  assert.equal(headers.etag, `"${createHash('sha256').update(ARTIFACT).digest('hex')}"`);
  assert.equal(headers['cache-control'], 'private, max-age=31536000, immutable');
  assert.equal(headers['x-pulp-artifact-size'], String(ARTIFACT.length));
  assert.equal((await ask(path.split('?')[0] as string)).status, 403);
  const urls = await ContentUrls.load(app.services);
  const [basePath] = path.slice('/pulp/content/'.length).split('/');
  for (const below of ['01a1fdab-2dcc-7f64-93d9-b743012a0b70', 'x', 'x/y', '']) {
    const { pathname, search } = new URL(urls.sign(`/pulp/content/${basePath}/${below}`));
    assert.equal((await ask(pathname + search)).status, 404, below);
  }
  assert.ok(!(await ask('/pulp/content/')).body.toString().includes(basePath as string));
});
