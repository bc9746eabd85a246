import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { readConfig } from '../../src/config.ts';
import { ContentUrls } from '../../src/core/content-guards/content-url.ts';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { Tokens } from '../../src/plugins/container/registry/token.ts';
import { loadTokenKeys, TokenKeyError } from '../../src/plugins/container/registry/token-keys.ts';
import { missing } from '../support/missing.ts';
import { ADMIN, basicHeader, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const run = promisify(execFile);
const LAYER = layerOf({ 'etc/motd': 'one' });
const IMAGE = imageOf({ layers: [LAYER] });
const clock = () => new Date();

async function serve(env: Record<string, string>): Promise<RegistryWorld> {
  const world = await startRegistryWorld(env);
  const repository = await world.repository('app');
  await world.publish(repository, { latest: IMAGE });
  await world.distribution('open', { repository_id: repository });
  await world.distribution('closed', { repository_id: repository, private: true });
  return world;
}

describe('with PULP_TOKEN_AUTH_DISABLED', () => {
  let world: RegistryWorld;
  before(async () => {
    world = await serve({ PULP_TOKEN_AUTH_DISABLED: 'true' });
  });
  after(() => world?.stop());
  const get = async (path: string, user?: { username: string; password: string }) =>
    fetch(`${world.server.origin}${path}`, user ? { headers: { authorization: basicHeader(user) } } : {});

  it('asks for Basic, lets anybody read what is public and users what they may', async () => {
    const base = await get('/v2/');
    assert.equal(base.status, 401);
    assert.equal(base.headers.get('www-authenticate'), 'Basic realm="registry"');
    assert.equal((await get('/v2/', ADMIN)).status, 200);
    assert.equal((await get('/v2/open/manifests/latest')).status, 200);
    assert.equal((await get('/v2/closed/manifests/latest')).status, 401);
    assert.equal((await get('/v2/closed/manifests/latest', ADMIN)).status, 200);
    const denied = await get('/v2/closed/manifests/latest', { username: 'reader', password: 'reading' });
    assert.equal(denied.status, 403);
    assert.equal(((await denied.json()) as { errors: { code: string }[] }).errors[0]?.code, 'DENIED');
    assert.equal((await get('/v2/closed/manifests/latest', { ...ADMIN, password: 'wrong' })).status, 401);
    assert.deepEqual(await (await get('/v2/_catalog', ADMIN)).json(), { repositories: ['closed', 'open'] });
  });

  it('answers guesses with 429 in the OCI shape', async () => {
    // At once, so that a busy machine does not give back what the first have used up before the last are looked at.
    const guesses = Array.from({ length: 40 }, (_, n) => get('/v2/', { username: 'guessed', password: `guess ${n}` }));
    const response = (await Promise.all(guesses)).find(({ status }) => status === 429);
    assert.ok(response, 'a guess is refused');
    assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
    assert.equal(((await response.json()) as { errors: { code: string }[] }).errors[0]?.code, 'TOOMANYREQUESTS');
  });

  it('serves skopeo with and without credentials', { skip: missing('skopeo') }, async () => {
    const { host } = world.server;
    const inspect = (name: string, ...options: string[]) =>
      run('skopeo', ['inspect', '--raw', '--tls-verify=false', ...options, `docker://${host}/${name}:latest`]);
    const credentials = ['--creds', `${ADMIN.username}:${ADMIN.password}`];
    assert.equal((await inspect('open', '--no-creds')).stdout, IMAGE.bytes.toString('utf8'));
    assert.equal((await inspect('closed', ...credentials)).stdout, IMAGE.bytes.toString('utf8'));
    await assert.rejects(inspect('closed', '--no-creds'));
  });
});

describe('with PULP_CACHE_ENABLED=false', () => {
  let world: RegistryWorld;
  before(async () => {
    world = await serve({ PULP_CACHE_ENABLED: 'false' });
  });
  after(() => world?.stop());

  it('serves the same, and nothing from memory', async () => {
    const { server } = world;
    const answer = await fetch(`${server.origin}/token/?service=${server.host}&scope=repository:open:pull`);
    const headers = { authorization: `Bearer ${((await answer.json()) as { token: string }).token}` };
    for (const path of ['manifests/latest', `blobs/${LAYER.digest}`, 'manifests/latest', `blobs/${LAYER.digest}`]) {
      assert.equal((await fetch(`${server.origin}/v2/open/${path}`, { headers })).status, 200);
    }
    assert.equal(server.fast(), 0);
  });

  it('serves blobs under signed URLs of the content app only (recorded answers 208, 209)', async () => {
    const { server } = world;
    const path = `/pulp/container/closed/blobs/${LAYER.digest}`;
    const urls = await ContentUrls.load(server.services);
    const unsigned = await fetch(`${server.origin}${path}`);
    assert.equal(unsigned.status, 403);
    assert.equal(await unsigned.text(), '403: Access not authenticated');
    const signed = urls.sign(path);
    const answer = await fetch(signed, { headers: { range: 'bytes=0-3' } });
    assert.equal(answer.status, 206);
    assert.equal(answer.headers.get('docker-content-digest'), LAYER.digest);
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), (LAYER.bytes as Buffer).subarray(0, 4));
    assert.equal((await fetch(signed.replace('/closed/', '/open/'))).status, 403, 'another path');
    assert.equal((await fetch(signed.replace(/expires=\d+/, 'expires=9999999999'))).status, 403, 'another time');
    const late = await ContentUrls.load({ ...server.services, clock: () => new Date(Date.now() - 3_601_000) });
    assert.equal((await fetch(late.sign(path))).status, 403, 'expired');
  });
});

describe('token keys', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-keys-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const tokensOf = async (dataDir: string, now = clock) =>
    new Tokens({ config: readConfig({ DATA_DIR: dataDir }), clock: now }, await loadTokenKeys(dataDir));

  it('are made once, private, and agreed upon by processes that start at once', async () => {
    const dataDir = join(folder, 'once');
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadTokenKeys(dataDir)));
    assert.equal(new Set(keys.map((one) => one.id)).size, 1);
    assert.deepEqual(await readdir(join(dataDir, 'keys')), ['token.pem']);
    assert.equal((await stat(join(dataDir, 'keys', 'token.pem'))).mode & 0o777, 0o600);
    assert.equal((await loadTokenKeys(dataDir)).id, keys[0]?.id);
  });

  it('are rotated with the previous one accepted', async () => {
    const dataDir = join(folder, 'rotated');
    const { token } = await (await tokensOf(dataDir)).issue('admin', []);
    await rename(join(dataDir, 'keys', 'token.pem'), join(dataDir, 'keys', 'token.previous.pem'));
    const rotated = await tokensOf(dataDir);
    assert.equal((await rotated.verify(token))?.subject, 'admin');
    await rm(join(dataDir, 'keys', 'token.previous.pem'));
    assert.equal(await (await tokensOf(dataDir)).verify(token), undefined);
  });

  it('lets a token end when its time is over, remembered or not', async () => {
    const dataDir = join(folder, 'time');
    let now = new Date();
    const tokens = await tokensOf(dataDir, () => now);
    const { token } = await tokens.issue('', [{ type: 'repository', name: 'a', actions: ['pull'] }]);
    assert.ok((await tokens.verify(token))?.pull.has('a'));
    now = new Date(now.getTime() + 301_000);
    assert.equal(tokens.cached(token), undefined);
    assert.equal(await tokens.verify(token), undefined);
  });

  it('stop the start when they are of another kind', async () => {
    const dataDir = join(folder, 'wrong');
    await loadTokenKeys(dataDir);
    await writeFile(join(dataDir, 'keys', 'token.pem'), 'no key');
    await assert.rejects(loadTokenKeys(dataDir), TokenKeyError);
  });
});
