import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type ImageContent, imageOf, indexOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { schema1Of } from '../support/images.ts';
import { ADMIN, basicHeader, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const IMAGE = imageOf({ layers: [layerOf({ 'etc/motd': 'one' })] });
const OTHER = imageOf({ layers: [layerOf({ 'etc/motd': 'two' })], architecture: 'arm64' });
const INDEX = indexOf({
  entries: [
    { content: IMAGE, platform: { os: 'linux', architecture: 'amd64' } },
    { content: OTHER, platform: { os: 'linux', architecture: 'arm64' } },
  ],
});
const SECRET = imageOf({ layers: [layerOf({ 'etc/motd': 'secret' })] });
const UNKNOWN_DIGEST = `sha256:${'0'.repeat(64)}`;

let world: RegistryWorld;
let origin: string;

before(async () => {
  world = await startRegistryWorld();
  origin = world.server.origin;
  const app = await world.repository('app');
  await world.publish(app, { b: IMAGE, a: IMAGE, B: OTHER, latest: INDEX, old: schema1Of('ns/app', 'old') });
  await world.distribution('ns/app', { repository_id: app });
  const secret = await world.repository('secret');
  await world.publish(secret, { latest: SECRET });
  await world.distribution('ns/secret', { repository_id: secret, private: true });
  await world.distribution('ns/nothing', {});
});
after(() => world?.stop());

const get = (path: string, init: RequestInit = {}) => fetch(`${origin}${path}`, { redirect: 'manual', ...init });

async function tokenFor(scope: string | undefined, user?: { username: string; password: string }): Promise<string> {
  const query = new URLSearchParams({ service: world.server.host, ...(scope ? { scope } : {}) });
  const response = await get(`/token/?${query}`, user ? { headers: { authorization: basicHeader(user) } } : {});
  assert.equal(response.status, 200);
  return ((await response.json()) as { token: string }).token;
}

const bearer = async (scope: string | undefined, user?: { username: string; password: string }) => ({
  authorization: `Bearer ${await tokenFor(scope, user)}`,
});

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString('utf8'));

async function assertError(response: Response, status: number, code: string, detail: Record<string, string> = {}): Promise<void> {
  assert.equal(response.status, status);
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal(response.headers.get('docker-distribution-api-version'), 'registry/2.0');
  const body = (await response.json()) as { errors: { code: string; message: string; detail: unknown }[] };
  assert.equal(body.errors.length, 1);
  assert.equal(body.errors[0]?.code, code);
  assert.deepEqual(body.errors[0]?.detail, detail);
}

describe('challenge and token', () => {
  it('sends an anonymous client to the token server, in the words of the recorded answers 191 and 192', async () => {
    const base = await get('/v2/');
    assert.equal(base.headers.get('www-authenticate'), `Bearer realm="${origin}/token/",service="${world.server.host}"`);
    assert.equal(base.headers.get('x-registry-supports-signatures'), '1');
    assert.deepEqual(await base.json(), {
      errors: [{ code: 'UNAUTHORIZED', message: 'Authentication credentials were not provided.', detail: {} }],
    });
    const manifest = await get('/v2/ns/app/manifests/a');
    assert.equal(
      manifest.headers.get('www-authenticate'),
      `Bearer realm="${origin}/token/",service="${world.server.host}",scope="repository:ns/app:pull"`,
    );
    await assertError(manifest, 401, 'UNAUTHORIZED');
    await assertError(await get('/v2/ns/missing/tags/list'), 401, 'UNAUTHORIZED');
  });

  it('does not take the realm from the Host header', async () => {
    const response = await get('/v2/', { headers: { host: 'evil.example' } });
    assert.equal(response.headers.get('www-authenticate'), `Bearer realm="${origin}/token/",service="${world.server.host}"`);
  });

  it('issues ES256 tokens with the claims of recorded answer 194', async () => {
    const response = await get(`/token/?service=${world.server.host}&scope=repository:ns/app:pull,push`);
    const body = (await response.json()) as Record<string, unknown>;
    assert.equal(body.expires_in, 300);
    assert.equal(body.token, body.access_token);
    assert.match(String(body.issued_at), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
    const header = JSON.parse(Buffer.from(String(body.token).split('.')[0] as string, 'base64url').toString('utf8'));
    assert.equal(header.alg, 'ES256');
    assert.equal(header.typ, 'JWT');
    const claims = claimsOf(String(body.token));
    assert.deepEqual(claims.access, [{ type: 'repository', name: 'ns/app', actions: ['pull'] }]);
    assert.equal(claims.aud, world.server.host);
    assert.equal(claims.iss, `${origin}/token/`);
    assert.equal(claims.sub, '');
    assert.equal(claims.exp - claims.iat, 300);
    assert.equal(claims.nbf, claims.iat);
  });

  it('grants what was asked for and is permitted, never an error', async () => {
    const access = async (scope: string, user?: typeof ADMIN) => claimsOf(await tokenFor(scope, user)).access;
    assert.deepEqual(await access('repository:ns/secret:pull'), [{ type: 'repository', name: 'ns/secret', actions: [] }]);
    assert.deepEqual(await access('repository:ns/secret:pull,push', ADMIN), [
      { type: 'repository', name: 'ns/secret', actions: ['pull', 'push'] },
    ]);
    assert.deepEqual(await access('repository:ns/app:pull repository:ns/secret:pull'), [
      { type: 'repository', name: 'ns/app', actions: ['pull'] },
      { type: 'repository', name: 'ns/secret', actions: [] },
    ]);
    assert.deepEqual(await access('registry:catalog:*'), [{ type: 'registry', name: 'catalog', actions: [] }]);
    assert.deepEqual(await access('registry:catalog:*', { username: 'reader', password: 'reading' }), [
      { type: 'registry', name: 'catalog', actions: ['*'] },
    ]);
    assert.deepEqual(await access('nonsense'), []);
  });

  it('refuses wrong credentials, a missing and a foreign service (recorded answers 198, 199)', async () => {
    const wrong = await get(`/token/?service=${world.server.host}`, { headers: { authorization: 'Basic YTpi' } });
    assert.equal(wrong.status, 401);
    assert.equal(wrong.headers.get('www-authenticate'), 'Basic realm="api"');
    assert.deepEqual(await wrong.json(), { detail: 'Invalid username/password.' });
    const none = await get('/token/');
    assert.equal(none.status, 400);
    assert.deepEqual(await none.json(), { detail: 'No service name provided.' });
    assert.equal((await get('/token/?service=other.example')).status, 400);
  });

  it('takes an empty name with an empty password for nobody, as clients without credentials send them', async () => {
    const headers = { authorization: basicHeader({ username: '', password: '' }) };
    const response = await get(`/token/?service=${world.server.host}&scope=repository:ns/app:pull,push`, { headers });
    assert.equal(response.status, 200);
    const claims = claimsOf(((await response.json()) as { token: string }).token);
    assert.equal(claims.sub, '');
    assert.deepEqual(claims.access, [{ type: 'repository', name: 'ns/app', actions: ['pull'] }]);
  });

  it('gives tokens by OAuth2 for a password and for a refresh token, which is no access token', async () => {
    const post = (form: Record<string, string>) =>
      get('/token/', { method: 'POST', body: new URLSearchParams({ service: world.server.host, client_id: 'test', ...form }) });
    const first = await post({ grant_type: 'password', access_type: 'offline', scope: 'repository:ns/secret:pull', ...ADMIN });
    assert.equal(first.status, 200);
    const { access_token, refresh_token, scope } = (await first.json()) as Record<string, string>;
    assert.equal(scope, 'repository:ns/secret:pull');
    assert.deepEqual(claimsOf(access_token as string).access, [{ type: 'repository', name: 'ns/secret', actions: ['pull'] }]);
    await assertError(await get('/v2/', { headers: { authorization: `Bearer ${refresh_token}` } }), 401, 'UNAUTHORIZED');

    const again = await post({
      grant_type: 'refresh_token',
      refresh_token: refresh_token as string,
      scope: 'repository:ns/secret:pull',
    });
    assert.equal(again.status, 200);
    const renewed = (await again.json()) as Record<string, string>;
    const headers = { authorization: `Bearer ${renewed.access_token}` };
    assert.equal((await get('/v2/ns/secret/tags/list', { headers })).status, 200);

    assert.equal((await post({ grant_type: 'refresh_token', refresh_token: access_token as string })).status, 401);
    assert.equal((await post({ grant_type: 'password', username: 'admin', password: 'no' })).status, 401);
    assert.equal((await post({ grant_type: 'implicit' })).status, 400);
    assert.equal((await post({ grant_type: 'password' })).status, 400);
  });

  it('accepts any token of its own at /v2/', async () => {
    for (const scope of [undefined, 'repository:ns/app:pull']) {
      const response = await get('/v2/', { headers: await bearer(scope) });
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), {});
    }
  });

  it('tells an invalid token from one with too small a scope (recorded answers 211, 212)', async () => {
    const invalid = await get('/v2/ns/app/tags/list', { headers: { authorization: 'Bearer abc' } });
    assert.match(invalid.headers.get('www-authenticate') ?? '', /,scope="repository:ns\/app:pull",error="invalid_token"$/);
    await assertError(invalid, 401, 'UNAUTHORIZED');
    const small = await get('/v2/ns/secret/tags/list', { headers: await bearer('repository:ns/app:pull') });
    assert.match(small.headers.get('www-authenticate') ?? '', /,scope="repository:ns\/secret:pull",error="insufficient_scope"$/);
    await assertError(small, 401, 'UNAUTHORIZED');
  });

  it('refuses a token whose signature, algorithm, audience or time is not right', async () => {
    const token = await tokenFor('repository:ns/app:pull');
    const [header, payload, signature] = token.split('.') as [string, string, string];
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
    const otherClaims = Buffer.from(JSON.stringify({ ...claimsOf(token), exp: 9_999_999_999 })).toString('base64url');
    for (const forged of [
      `${none}.${payload}.`,
      `${header}.${otherClaims}.${signature}`,
      `${header}.${payload}.${'A'.repeat(86)}`,
    ]) {
      await assertError(await get('/v2/', { headers: { authorization: `Bearer ${forged}` } }), 401, 'UNAUTHORIZED');
    }
    const other = await world.join();
    const foreign = await fetch(`${other.origin}/v2/`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(foreign.status, 401, 'a token of another audience');
  });
});

describe('lists', () => {
  it('lists tags in ASCII order, by pages', async () => {
    const headers = await bearer('repository:ns/app:pull');
    const all = await get('/v2/ns/app/tags/list', { headers });
    assert.deepEqual(await all.json(), { name: 'ns/app', tags: ['B', 'a', 'b', 'latest', 'old'] });
    assert.equal(all.headers.get('link'), null);
    const page = await get('/v2/ns/app/tags/list?n=2&last=aa', { headers });
    assert.deepEqual(await page.json(), { name: 'ns/app', tags: ['b', 'latest'] });
    assert.equal(page.headers.get('link'), '</v2/ns/app/tags/list?n=2&last=latest>; rel="next"');
    const end = await get('/v2/ns/app/tags/list?n=1&last=latest', { headers });
    assert.deepEqual(await end.json(), { name: 'ns/app', tags: ['old'] });
    assert.equal(end.headers.get('link'), null);
    const none = await get('/v2/ns/app/tags/list?n=0', { headers });
    assert.deepEqual(await none.json(), { name: 'ns/app', tags: [] });
    assert.equal(none.headers.get('link'), null);
    await assertError(await get('/v2/ns/app/tags/list?n=-1', { headers }), 400, 'PAGINATION_NUMBER_INVALID', { n: '-1' });
  });

  it('lists the repositories that the user may pull', async () => {
    const catalog = async (query: string, user?: typeof ADMIN) =>
      get(`/v2/_catalog${query}`, { headers: await bearer('registry:catalog:*', user) });
    assert.deepEqual(await (await catalog('', ADMIN)).json(), { repositories: ['ns/app', 'ns/nothing', 'ns/secret'] });
    assert.deepEqual(await (await catalog('', { username: 'reader', password: 'reading' })).json(), {
      repositories: ['ns/app', 'ns/nothing'],
    });
    const page = await catalog('?n=1&last=ns/a', ADMIN);
    assert.deepEqual(await page.json(), { repositories: ['ns/app'] });
    assert.equal(page.headers.get('link'), '</v2/_catalog?n=1&last=ns%2Fapp>; rel="next"');
    await assertError(await catalog(''), 401, 'UNAUTHORIZED');
  });

  it('answers the signature extension, and 404 for a manifest that is not there', async () => {
    const headers = await bearer('repository:ns/app:pull');
    const response = await get(`/extensions/v2/ns/app/signatures/${IMAGE.digest}`, { headers });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { signatures: [] });
    await assertError(await get(`/extensions/v2/ns/app/signatures/${UNKNOWN_DIGEST}`, { headers }), 404, 'MANIFEST_UNKNOWN', {
      reference: UNKNOWN_DIGEST,
    });
  });
});

describe('manifests', () => {
  const check = async (response: Response, image: ImageContent, mediaType = image.mediaType) => {
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), mediaType);
    assert.equal(response.headers.get('docker-content-digest'), image.digest);
    assert.equal(response.headers.get('etag'), `"${image.digest}"`);
    assert.equal(response.headers.get('content-length'), String(image.bytes.byteLength));
    assert.equal(response.headers.get('x-registry-supports-signatures'), '1');
    assert.equal(response.headers.get('docker-distribution-api-version'), 'registry/2.0');
  };

  it('serves the stored bytes by tag and by digest, first and from memory alike', async () => {
    const headers = await bearer('repository:ns/app:pull');
    const before = world.server.fast();
    for (const round of ['first', 'second']) {
      for (const [reference, image] of [
        ['a', IMAGE],
        ['latest', INDEX],
        [OTHER.digest, OTHER],
      ] as const) {
        const response = await get(`/v2/ns/app/manifests/${reference}`, { headers });
        await check(response, image);
        assert.deepEqual(Buffer.from(await response.arrayBuffer()), image.bytes, round);
        await check(await get(`/v2/ns/app/manifests/${reference}`, { headers, method: 'HEAD' }), image);
      }
    }
    assert.ok(world.server.fast() - before >= 6, 'the second round goes past the framework');
  });

  it('sends what is stored whatever Accept says, schema 1 as signed', async () => {
    const headers = { ...(await bearer('repository:ns/app:pull')), accept: 'application/vnd.oci.image.manifest.v1+json' };
    await check(await get('/v2/ns/app/manifests/latest', { headers }), INDEX);
    const old = schema1Of('ns/app', 'old');
    await check(
      await get('/v2/ns/app/manifests/old', { headers }),
      old,
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    );
  });

  it('answers 304 to a client that has it', async () => {
    const headers = await bearer('repository:ns/app:pull');
    for (const match of [`"${IMAGE.digest}"`, `W/"${IMAGE.digest}"`, `"x", "${IMAGE.digest}"`, '*']) {
      const response = await get('/v2/ns/app/manifests/a', { headers: { ...headers, 'if-none-match': match } });
      assert.equal(response.status, 304);
    }
    assert.equal((await get('/v2/ns/app/manifests/a', { headers: { ...headers, 'if-none-match': '"x"' } })).status, 200);
  });

  it('names what is unknown or malformed (recorded answer 206)', async () => {
    const headers = await bearer('repository:ns/app:pull');
    await assertError(await get('/v2/ns/app/manifests/nope', { headers }), 404, 'MANIFEST_UNKNOWN', { reference: 'nope' });
    await assertError(await get(`/v2/ns/app/manifests/${SECRET.digest}`, { headers }), 404, 'MANIFEST_UNKNOWN', {
      reference: SECRET.digest,
    });
    await assertError(await get('/v2/ns/app/manifests/sha256:xyz', { headers }), 400, 'DIGEST_INVALID', { digest: 'sha256:xyz' });
    await assertError(await get('/v2/NS/app/manifests/a', { headers }), 400, 'NAME_INVALID', { name: 'NS/app' });
    await assertError(await get('/v2/ns/..%2fapp/tags/list', { headers }), 400, 'NAME_INVALID', { name: 'ns/../app' });
    await assertError(
      await get('/v2/ns/nothing/tags/list', { headers: await bearer('repository:ns/nothing:pull') }),
      404,
      'NAME_UNKNOWN',
      {
        name: 'ns/nothing',
      },
    );
    await assertError(
      await get('/v2/ns/missing/tags/list', { headers: await bearer('repository:ns/missing:pull', ADMIN) }),
      404,
      'NAME_UNKNOWN',
      {
        name: 'ns/missing',
      },
    );
    assert.equal((await get('/v2/ns/app/nonsense/x', { headers })).status, 404);
  });
});

describe('blobs', () => {
  const layer = layerOf({ 'etc/motd': 'one' });
  const bytes = layer.bytes as Buffer;

  it('serves whole blobs, ranges and heads', async () => {
    const headers = await bearer('repository:ns/app:pull');
    const url = `/v2/ns/app/blobs/${layer.digest}`;
    for (let round = 0; round < 2; round += 1) {
      const whole = await get(url, { headers });
      assert.equal(whole.status, 200);
      assert.equal(whole.headers.get('docker-content-digest'), layer.digest);
      assert.equal(whole.headers.get('accept-ranges'), 'bytes');
      assert.equal(whole.headers.get('etag'), `"${layer.digest}"`);
      assert.deepEqual(Buffer.from(await whole.arrayBuffer()), bytes);
      const head = await get(url, { headers, method: 'HEAD' });
      assert.equal(head.headers.get('content-length'), String(bytes.byteLength));
      const part = await get(url, { headers: { ...headers, range: 'bytes=2-5' } });
      assert.equal(part.status, 206);
      assert.equal(part.headers.get('content-range'), `bytes 2-5/${bytes.byteLength}`);
      assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(2, 6));
      const end = await get(url, { headers: { ...headers, range: 'bytes=-3' } });
      assert.deepEqual(Buffer.from(await end.arrayBuffer()), bytes.subarray(-3));
      const behind = await get(url, { headers: { ...headers, range: `bytes=${bytes.byteLength}-` } });
      assert.equal(behind.headers.get('content-range'), `bytes */${bytes.byteLength}`);
      await assertError(behind, 416, 'SIZE_INVALID');
      const malformed = await get(url, { headers: { ...headers, range: 'bytes=5-2' } });
      assert.equal(malformed.status, 200);
      await malformed.arrayBuffer();
      const stale = await get(url, { headers: { ...headers, range: 'bytes=2-5', 'if-range': '"other"' } });
      assert.equal(stale.status, 200);
      await stale.arrayBuffer();
      assert.equal((await get(url, { headers: { ...headers, 'if-none-match': `"${layer.digest}"` } })).status, 304);
    }
  });

  it('does not know a blob that only another repository has', async () => {
    const headers = await bearer('repository:ns/app:pull');
    const hidden = layerOf({ 'etc/motd': 'secret' }).digest;
    await assertError(await get(`/v2/ns/app/blobs/${hidden}`, { headers }), 404, 'BLOB_UNKNOWN', { digest: hidden });
    await assertError(await get(`/v2/ns/app/blobs/${UNKNOWN_DIGEST}`, { headers }), 404, 'BLOB_UNKNOWN', {
      digest: UNKNOWN_DIGEST,
    });
    assert.equal((await get(`/v2/ns/app/blobs/${encodeURIComponent(layer.digest)}`, { headers })).status, 200);
  });
});
