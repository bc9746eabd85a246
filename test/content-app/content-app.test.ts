import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { v7 } from 'uuid';
import { ContentUrls } from '../../src/core/content-guards/content-url.ts';
import { sql } from '../../src/db/sql.ts';
import { OstreeRows, type RepositoryFile } from '../ostree/serve/ostree-rows.ts';
import { eventually } from '../queue/eventually.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { type PlainAnswer, type PlainOptions, plainRequest } from './plain-request.ts';

const ROOT = '/pulp/content/';
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const file = (path: string, body: string | Buffer): RepositoryFile => ({ path, bytes: Buffer.from(body) });

const COMMIT = 'c0'.repeat(32);
const OBJECT = 'a1'.repeat(32);
const objectPath = (checksum: string, suffix: string): string => `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${suffix}`;
const config = file('config', '[core]\nmode=archive-z2\n');
const large = file('deltas/large', Buffer.alloc(3_000_000, 'deckle '));
const FILES = [
  config,
  large,
  file('summary', 'the summary'),
  file('refs/heads/os/stable', `${COMMIT}\n`),
  file(objectPath(COMMIT, 'commit'), 'a commit'),
  file(objectPath(OBJECT, 'dirtree'), 'a dirtree'),
  file('deltas/a+b/c d', 'plus and space'),
  file('deltas/na\u00efve & <b>"quoted"</b>', 'an odd name'),
  file('deltas/empty', ''),
  file(`refs/heads/${'long/'.repeat(300)}name`, `${COMMIT}\n`),
];

let app: TestApp;
let rows: OstreeRows;
let repository: string;

before(async () => {
  app = await startApp({ worker: false });
  rows = new OstreeRows(app.services);
  repository = await rows.repository();
  await rows.publish(repository, FILES);
  await rows.distribution('os/main', { repository_id: repository });
});
after(() => app?.stop());

const ask = (path: string, options?: PlainOptions): Promise<PlainAnswer> => plainRequest(app.url, ROOT + path, options);
const status = async (path: string, options?: PlainOptions): Promise<number> => (await ask(path, options)).status;
const linksOf = ({ body }: PlainAnswer): string[] =>
  [...body.toString().matchAll(/href="([^"]*)"/g)].map(([, href]) => href as string);

test('a file is answered with what caches and clients need to know of it', async () => {
  const { status, headers, body } = await ask('os/main/config');
  assert.equal(status, 200);
  assert.deepEqual(body, config.bytes);
  assert.equal(headers['content-type'], 'application/octet-stream');
  assert.equal(headers['content-length'], String(config.bytes.length));
  assert.equal(headers['accept-ranges'], 'bytes');
  assert.equal(headers['cache-control'], 'public, max-age=0, must-revalidate');
  assert.equal(headers.etag, `"${sha256(config.bytes)}"`);
  assert.equal(headers['x-pulp-artifact-size'], String(config.bytes.length));
  assert.ok(Math.abs(Date.parse(headers['last-modified'] as string) - Date.now()) < 60_000);
  assert.ok(headers['correlation-id']);
});

test('what its checksum names may be kept for good, all else is asked for again', async () => {
  const kept = async (path: string) => (await ask(`os/main/${path}`)).headers['cache-control'];
  assert.equal(await kept(objectPath(COMMIT, 'commit')), 'public, max-age=31536000, immutable');
  assert.equal(await kept(objectPath(OBJECT, 'dirtree')), 'public, max-age=31536000, immutable');
  for (const path of ['summary', 'refs/heads/os/stable', 'deltas/empty', 'refs/']) {
    assert.equal(await kept(path), 'public, max-age=0, must-revalidate', path);
  }
});

test('HEAD tells the same and sends nothing', async () => {
  for (const path of ['os/main/config', 'os/main/deltas/large', 'os/main/refs/heads/os/stable', 'os/main/deltas/']) {
    const got = await ask(path);
    const head = await ask(path, { method: 'HEAD' });
    assert.equal(head.status, 200, path);
    assert.equal(head.headers['content-length'], String(got.body.length), path);
    assert.equal(head.headers.etag, got.headers.etag, path);
    assert.equal(head.body.length, 0, path);
  }
});

test('a ref is a file of its commit and a newline', async () => {
  const { headers, body } = await ask('os/main/refs/heads/os/stable');
  assert.equal(body.toString(), `${COMMIT}\n`);
  assert.equal(headers.etag, `"${COMMIT}"`);
  assert.equal(await status('os/main/refs/heads/os'), 301);
  assert.equal(await status('os/main/refs/heads/os/stabl'), 404);
});

test('parts of a file are answered as parts', async () => {
  for (const { path, bytes } of [config, large]) {
    for (const [range, from, to] of [
      ['bytes=0-3', 0, 4],
      ['bytes=5-', 5, bytes.length],
      ['bytes=-6', bytes.length - 6, bytes.length],
    ] as const) {
      const { status, headers, body } = await ask(`os/main/${path}`, { headers: { range } });
      assert.equal(status, 206, range);
      assert.deepEqual(body, bytes.subarray(from, to), range);
      assert.equal(headers['content-range'], `bytes ${from}-${to - 1}/${bytes.length}`);
    }
    const behind = await ask(`os/main/${path}`, { headers: { range: `bytes=${bytes.length}-` } });
    assert.equal(behind.status, 416);
    assert.equal(behind.headers['content-range'], `bytes */${bytes.length}`);
    const changed = await ask(`os/main/${path}`, { headers: { range: 'bytes=0-3', 'if-range': '"another"' } });
    assert.equal(changed.status, 200);
    assert.equal(changed.body.length, bytes.length);
  }
});

test('what a client has already is not sent again', async () => {
  for (const path of ['os/main/config', 'os/main/deltas/large', 'os/main/refs/heads/os/stable']) {
    const { headers } = await ask(path);
    const etag = headers.etag as string;
    const modified = headers['last-modified'] as string;
    for (const known of [{ 'if-none-match': `"x", W/${etag}` }, { 'if-none-match': '*' }, { 'if-modified-since': modified }]) {
      const again = await ask(path, { headers: known as Record<string, string> });
      assert.equal(again.status, 304, JSON.stringify(known));
      assert.equal(again.headers.etag, etag);
      assert.equal(again.body.length, 0);
    }
    assert.equal(await status(path, { headers: { 'if-none-match': '"x"', 'if-modified-since': modified } }), 200);
    assert.equal(await status(path, { headers: { 'if-modified-since': new Date(0).toUTCString() } }), 200);
  }
});

test('a path is read as it is written', async () => {
  assert.equal((await ask('os/main/deltas/a+b/c%20d')).body.toString(), 'plus and space');
  assert.equal((await ask('os/main/deltas/a%2Bb/c%20d?v=1')).body.toString(), 'plus and space');
  assert.equal(await status('os/main/deltas/a%20b/c%20d'), 404);
  assert.equal(await status('os/main/deltas/a+b/c+d'), 404);
  assert.equal((await ask(`os/main/refs/heads/${'long/'.repeat(300)}name`)).body.toString(), `${COMMIT}\n`);
  assert.equal((await ask('os%2Fmain/%63onfig')).body.toString(), config.bytes.toString());
  assert.equal(await status('os/main/%2563onfig'), 404);
});

test('nothing leads out of a distribution', async () => {
  for (const path of [
    'os/main/../main/config',
    'os/main/%2e%2e/main/config',
    'os/main/./config',
    'os/main//config',
    'os/main/config%00',
  ]) {
    assert.equal(await status(path), 404, path);
  }
  for (const path of [
    '/pulp/content/../content/os/main/config',
    '/pulp%2Fcontent/os/main/config',
    '/%70ulp/content/os/main/config',
  ]) {
    assert.equal((await plainRequest(app.url, path)).status, 404, path);
  }
  assert.equal(await status('os/main/%zz'), 400);
  assert.equal(await status(`os/main/${'a/'.repeat(3000)}`), 404);
});

test('folders are pages of what is in them', async () => {
  assert.deepEqual(linksOf(await ask('os/main/')), ['../', './config', './deltas/', './objects/', './refs/', './summary']);
  assert.deepEqual(linksOf(await ask('os/main/objects/')), ['../', './a1/', './c0/']);
  assert.deepEqual(linksOf(await ask('os/main/objects/c0/')), ['../', `./${COMMIT.slice(2)}.commit`]);
  assert.deepEqual(linksOf(await ask('os/main/refs/heads/')), ['../', './long/', './os/']);
  const { headers } = await ask('os/main/');
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
});

test('a folder tells since when the repository has what is in it, and how large that is', async () => {
  const own = await rows.repository();
  await rows.publish(own, [config]);
  await app.services.db.execute(sql`
    update repository_version set pulp_created = '2025-03-04T05:06:07Z' where repository_id = ${own}::uuid and number = 1`);
  await rows.publish(own, [config, file('deltas/x', 'x')]);
  await app.services.db.execute(sql`
    update repository_version set pulp_created = '2025-06-07T08:09:10Z' where repository_id = ${own}::uuid and number = 2`);
  await rows.distribution('dated', { repository_id: own, hidden: true });
  const lines = (await ask('dated/')).body
    .toString()
    .replace(/<[^>]*>/g, '')
    .split('\n')
    .filter((line) => line.includes('-'));
  assert.deepEqual(
    lines.map((line) => line.split(/ {2,}/)),
    [
      ['config', '04-Mar-2025 05:06', `${config.bytes.length} Bytes`],
      ['deltas/', '07-Jun-2025 08:09'],
    ],
  );
});

test('odd names in a folder are links to their files', async () => {
  const page = await ask('os/main/deltas/');
  assert.ok(!page.body.toString().includes('<b>'));
  for (const link of linksOf(page).filter((href) => href !== '../' && !href.endsWith('/'))) {
    const { pathname } = new URL(link.replaceAll('&#39;', "'"), `${app.url}${ROOT}os/main/deltas/`);
    const answer = await plainRequest(app.url, pathname);
    assert.equal(answer.status, 200, link);
    assert.ok(
      FILES.some(({ path, bytes }) => path === decodeURIComponent(pathname).split('main/')[1] && bytes.equals(answer.body)),
    );
  }
});

test('a folder without its slash is sent to it, and an empty one is not there', async () => {
  for (const path of ['os/main', 'os/main/objects', 'os/main/deltas/a+b', 'os']) {
    const { status, headers } = await ask(`${path}?x=1`);
    assert.equal(status, 301, path);
    assert.equal(headers.location, `${ROOT}${path}/`);
  }
  assert.equal((await plainRequest(app.url, '/pulp/content')).headers.location, ROOT);
  for (const path of [
    'os/main/objects/bb/',
    'os/main/objects/a1/x/',
    'os/main/config/',
    'os/main/nope',
    'os/main/nope/',
    'nope/',
    'os/mai/',
  ]) {
    assert.equal(await status(path), 404, path);
  }
});

test('the root lists distributions, save for hidden ones and those that are served otherwise', async () => {
  await rows.distribution('os/hidden', { repository_id: repository, hidden: true });
  await rows.distribution('zoo', { repository_id: repository });
  await app.services.db.execute(sql`
    insert into distribution (id, domain_id, pulp_type, name, base_path, repository_id, pulp_last_updated)
    values (${v7()}::uuid, ${app.services.domain.id}::uuid, 'container.container', 'images', 'images', ${repository}::uuid, now())`);
  assert.deepEqual(linksOf(await ask('')), ['./os/', './zoo/']);
  assert.deepEqual(linksOf(await ask('os/')), ['../', './main/']);
  assert.equal(await status('os/hidden/config'), 200);
  assert.equal(await status('images/config'), 404);
});

test('what is served is what the distribution says now', async () => {
  const own = await rows.repository();
  const first = await rows.publish(own, [file('config', 'first'), file('deltas/x', 'x')]);
  const id = await rows.distribution('turning', { repository_id: own });
  const shows = (text: string) =>
    eventually(`${text} to be served`, async () => (await ask('turning/config')).body.toString() === text);
  await shows('first');
  assert.equal(await status('turning/deltas/y'), 404);
  await rows.publish(own, [file('config', 'second'), file('deltas/y', 'y')]);
  await shows('second');
  assert.equal(await status('turning/deltas/x'), 404);
  assert.equal(await status('turning/deltas/y'), 200);
  await rows.serve(id, { repository_version_id: first });
  await shows('first');
  assert.equal(await status('turning/deltas/x'), 200);
  await rows.serve(id, {});
  await eventually('nothing to be served', async () => (await status('turning/config')) === 404);
  assert.match((await ask('turning/config')).body.toString(), /serves no repository/);
});

test('what is known is told to be', async () => {
  const cache = async (path: string) => (await ask(path)).headers['x-pulp-cache'];
  for (const path of ['os/main/deltas/empty', 'os/main/deltas/', 'os/main/not-there', 'os/main/not/there/']) {
    await cache(path);
    assert.equal(await cache(path), 'HIT', path);
  }
});

test('other methods are refused', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await ask('os/main/config', { method });
    assert.equal(status, 405, method);
    assert.equal(headers.allow, 'GET,HEAD');
  }
});

test('a guard is asked before anything is told', async () => {
  const [guard] = await app.services.db.query<{ id: string }>(sql`select id from content_guard`);
  await rows.distribution('guarded', { repository_id: repository, content_guard_id: (guard as { id: string }).id });
  for (const path of ['guarded/config', 'guarded/', 'guarded', 'guarded/nope']) {
    const { status, body } = await ask(path);
    assert.equal(status, 403, path);
    assert.equal(body.toString(), '403: Access not authenticated');
  }
  const urls = await ContentUrls.load(app.services);
  const { pathname, search } = new URL(urls.sign('/pulp/content/guarded/config'));
  const signed = await plainRequest(app.url, pathname + search);
  assert.equal(signed.status, 200);
  assert.equal(signed.headers['cache-control'], 'private, max-age=0, must-revalidate');
  assert.equal(await status(`guarded/summary${search}`), 403);
});
