import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { sql } from '../../../src/db/sql.ts';
import { type ImageContent, imageOf } from '../../../src/demo/image.ts';
import { layerOf } from '../../../src/demo/layer.ts';
import { type Server, startServer } from '../../../src/server.ts';
import { type PlainAnswer, plainRequest } from '../../content-app/plain-request.ts';
import { OstreeRows } from '../../ostree/serve/ostree-rows.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { freePort } from '../../support/free-port.ts';
import { missing } from '../../support/missing.ts';
import { type Nginx, startNginx } from '../../support/nginx.ts';
import { startUpstream, type Upstream } from '../../support/upstream-registry.ts';

const API = '/pulp/api/v3/';
const LARGE = randomBytes(300_000);
const IMAGE: ImageContent = imageOf({ layers: [layerOf({ large: randomBytes(300_000).toString('base64') })] });
const [, LAYER] = IMAGE.blobs;
const BEHIND = '/deckle-media/';

/** Headers that a connection has, that differ from one answer to the next, or that nginx leaves out of a part. */
const OF_ONE_ANSWER = new Set(['accept-ranges', 'date', 'connection', 'keep-alive', 'server', 'correlation-id', 'x-pulp-cache']);

describe('behind nginx', { skip: missing('nginx') }, () => {
  let upstream: Upstream;
  let app: TestApp;
  let plain: Server;
  let nginx: Nginx;
  let folder: string;
  let authorization: string;
  const paths: { readonly blob: string; readonly file: string } = {
    blob: `/v2/app/blobs/${LAYER?.digest}`,
    file: '/pulp/content/os/main/deltas/large',
  };

  before(async () => {
    upstream = await startUpstream();
    upstream.put('app', IMAGE, 'latest');
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    app = await startApp({
      env: {
        DECKLE_X_ACCEL_REDIRECT: BEHIND,
        DECKLE_TRUSTED_PROXIES: '127.0.0.1',
        DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8',
        PULP_CONTENT_ORIGIN: origin,
      },
    });
    const { config } = app.services;
    plain = await startServer(
      { ...config, DECKLE_X_ACCEL_REDIRECT: undefined, PORT: await freePort() },
      pino({ level: 'silent' }),
    );
    const repository = (await app.request('POST', `${API}repositories/container/container/`, { name: 'app' })).body.pulp_href;
    const from = { name: 'upstream', url: upstream.url, upstream_name: 'app' };
    const remote = (await app.request('POST', `${API}remotes/container/container/`, from)).body.pulp_href;
    assert.equal((await app.run(`${repository}sync/`, { remote })).state, 'completed');
    await app.run(`${API}distributions/container/container/`, { name: 'app', base_path: 'app', repository });
    const rows = new OstreeRows(app.services);
    const trees = await rows.repository();
    await rows.publish(trees, [{ path: 'deltas/large', bytes: LARGE }]);
    await rows.distribution('os/main', { repository_id: trees });

    // A copy, of which a test can take something away that the server has.
    folder = await mkdtemp(join(tmpdir(), 'deckle-media-'));
    await cp(join(config.DATA_DIR, 'media'), folder, { recursive: true });
    nginx = await startNginx(port, Number(new URL(app.url).port), folder);
    const { token } = (await app.request('GET', `/token/?service=127.0.0.1:${port}&scope=repository:app:pull`)).body;
    authorization = `Bearer ${token}`;
  });
  after(async () => {
    await nginx?.stop();
    await plain?.stop();
    await app?.stop();
    await upstream?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const ask = (origin: string, path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') =>
    plainRequest(origin, path, { method, headers: { authorization, ...headers } });
  const bytesOf = (): Buffer => {
    const bytes = Buffer.alloc(LAYER?.size ?? 0);
    for (let at = 0; at < bytes.length; ) at += LAYER?.copy(at, bytes.subarray(at)) ?? bytes.length;
    return bytes;
  };
  const comparable = ({ status, headers, body }: PlainAnswer) => ({
    status,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ONE_ANSWER.has(name))),
    body: body.toString('base64'),
  });

  it('files are handed over, with nothing but what is said of them', async () => {
    for (const path of Object.values(paths)) {
      const { status, headers, body } = await ask(app.url, path);
      assert.equal(status, 200);
      assert.match(String(headers['x-accel-redirect']), /^\/deckle-media\/[\w/]+$/);
      assert.equal(body.length, 0);
      const whole = await ask(nginx.origin, path);
      assert.equal(whole.headers['x-accel-redirect'], undefined);
    }
    assert.deepEqual((await ask(nginx.origin, paths.blob)).body, bytesOf());
    assert.deepEqual((await ask(nginx.origin, paths.file)).body, LARGE);
  });

  const etags: Record<string, string> = { blob: `"${LAYER?.digest}"` };
  const requests: readonly (readonly [string, (of: { etag: string; modified: string }) => Record<string, string>, string?])[] = [
    ['the whole', () => ({})],
    ['HEAD', () => ({}), 'HEAD'],
    ['HEAD of a range', () => ({ range: 'bytes=0-9' }), 'HEAD'],
    ['a range', () => ({ range: 'bytes=100-65636' })],
    ['a range of one byte', () => ({ range: 'bytes=0-0' })],
    ['a range to the end', () => ({ range: 'bytes=299000-' })],
    ['the last bytes', () => ({ range: 'bytes=-10' })],
    ['more last bytes than there are', () => ({ range: 'bytes=-9000000' })],
    ['a range beyond the end', () => ({ range: 'bytes=9000000-' })],
    ['a range that ends before it begins', () => ({ range: 'bytes=5-2' })],
    ['several ranges', () => ({ range: 'bytes=0-1,5-6' })],
    ['a range of something else', () => ({ range: 'lines=1-2' })],
    ['what the client has', ({ etag }) => ({ 'if-none-match': etag })],
    ['what the client has not', () => ({ 'if-none-match': '"another"' })],
    ['anything', () => ({ 'if-none-match': '*' })],
    ['what it was', ({ etag }) => ({ 'if-match': etag })],
    ['what it never was', () => ({ 'if-match': '"another"' })],
    ['a range of what the client has', ({ etag }) => ({ range: 'bytes=0-9', 'if-range': etag })],
    ['a range of what the client has not', () => ({ range: 'bytes=0-9', 'if-range': '"another"' })],
    ['a range of what has the date', ({ modified }) => ({ range: 'bytes=0-9', 'if-range': modified })],
    ['a range of what has another date', () => ({ range: 'bytes=0-9', 'if-range': 'Thu, 01 Jan 2026 00:00:00 GMT' })],
    ['what has changed since', ({ modified }) => ({ 'if-modified-since': modified })],
    ['what has changed since long ago', () => ({ 'if-modified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' })],
    ['what has not changed since', ({ modified }) => ({ 'if-unmodified-since': modified })],
    ['what has not changed since long ago', () => ({ 'if-unmodified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' })],
  ];
  for (const kind of ['blob', 'file'] as const) {
    for (const [what, headersFor, method] of requests) {
      it(`a ${kind}: ${what} is answered as without it`, async () => {
        const { headers: known } = await ask(plain.url, paths[kind], {}, 'HEAD');
        const headers = headersFor({ etag: String(known.etag), modified: String(known['last-modified'] ?? '') });
        const expected = await ask(plain.url, paths[kind], headers, method);
        if (kind === 'blob') assert.equal(known.etag, etags.blob);
        assert.deepEqual(comparable(await ask(nginx.origin, paths[kind], headers, method)), comparable(expected));
      });
    }
  }

  it('the folder of the files cannot be asked for', async () => {
    const { headers } = await ask(app.url, paths.blob);
    const within = String(headers['x-accel-redirect']);
    const encoded = within.replace('/deckle-media', '/%64eckle-media');
    const around = [
      `/v2/..${within}`,
      `/v2/%2e%2e${within}`,
      `//${within.slice(1)}`,
      `${BEHIND}../keys/token.pem`,
      `${BEHIND}..%2fkeys/token.pem`,
    ];
    for (const path of [within, encoded, BEHIND, ...around]) {
      const { status, body } = await ask(nginx.origin, path, { 'x-accel-redirect': within });
      assert.ok(status === 404 || status === 400, `${path}: ${status}`);
      assert.ok(body.length < 1_000, path);
    }
    assert.equal((await plainRequest(nginx.origin, paths.blob)).status, 401);
  });

  it('what nginx cannot read is sent by the server', async () => {
    const { headers } = await ask(app.url, paths.file);
    await rm(join(folder, String(headers['x-accel-redirect']).slice(BEHIND.length)));
    const expected = await ask(plain.url, paths.file, { range: 'bytes=1000-200000' });
    const answer = await ask(nginx.origin, paths.file, { range: 'bytes=1000-200000' });
    assert.deepEqual(comparable(answer), comparable(expected));
    assert.deepEqual((await ask(nginx.origin, paths.file)).body, LARGE);
  });

  it('a blob that repair has set aside is fetched again', async () => {
    const { db, storage } = app.services;
    const [row] = await db.query<{ file: string }>(sql`
      select a.file from container_blob b join content c on c.id = b.id join artifact a on a.id = c.artifact_id
      where b.digest = ${LAYER?.digest}`);
    assert.ok(row);
    await ask(nginx.origin, paths.blob);
    await storage.setAside(row.file, 'damaged');
    const answer = await ask(nginx.origin, paths.blob);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, bytesOf());
  });
});
