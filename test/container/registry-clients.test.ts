import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { promisify } from 'node:util';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { missing } from '../support/missing.ts';
import { ADMIN, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const run = promisify(execFile);
const PLATFORMS = ['linux/amd64', 'linux/arm64'];
const OLD = imageOf({ layers: [layerOf({ 'etc/motd': 'old' })] });
const NEW = multiPlatformOf(PLATFORMS, ({ architecture }) => ({
  layers: [layerOf({ 'etc/motd': architecture }), largeLayer(architecture, 3 * 1024 * 1024)],
}));

let world: RegistryWorld;
let folder: string;
let host: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deckle-clients-'));
  world = await startRegistryWorld();
  host = world.server.host;
  const repository = await world.repository('app');
  const old = await world.publish(repository, { latest: OLD });
  await world.publish(repository, { latest: NEW });
  await world.distribution('demo/app', { repository_id: repository });
  await world.distribution('demo/old', { repository_version_id: old });
  await world.distribution('demo/closed', { repository_id: repository, private: true });
});
after(async () => {
  await world?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A client's home of its own, so that nothing of the machine's is read or written. */
async function home(name: string): Promise<NodeJS.ProcessEnv> {
  const path = join(folder, name);
  await mkdir(join(path, '.docker'), { recursive: true });
  const { PATH } = process.env;
  const auth = join(path, 'auth.json');
  return { PATH, HOME: path, DOCKER_CONFIG: join(path, '.docker'), REGISTRY_AUTH_FILE: auth, XDG_RUNTIME_DIR: path };
}

const sha256 = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/** Every file of a `dir:` image that is named by its digest has that digest. */
async function checkedBlobs(path: string): Promise<number> {
  const names = (await readdir(path)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  for (const name of names) assert.equal(await sha256(join(path, name)), name);
  return names.length;
}

it('skopeo copies by tag and by digest, all platforms, and inspects', { skip: missing('skopeo') }, async () => {
  const env = await home('skopeo');
  const copy = (from: string, to: string, ...options: string[]) =>
    run(
      'skopeo',
      ['--insecure-policy', 'copy', '--src-tls-verify=false', ...options, `docker://${host}/${from}`, `dir:${join(folder, to)}`],
      { env },
    );
  await copy('demo/app:latest', 'all', '--all');
  // Two manifests of the index have a configuration and two layers each.
  assert.equal(await checkedBlobs(join(folder, 'all')), 6);
  assert.deepEqual(await readFile(join(folder, 'all', 'manifest.json')), NEW.bytes);
  await copy(`demo/app@${NEW.digest}`, 'digest', '--all');
  await copy('demo/old:latest', 'old');
  assert.deepEqual(await readFile(join(folder, 'old', 'manifest.json')), OLD.bytes);
  const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${host}/demo/old:latest`], { env });
  assert.equal((JSON.parse(stdout) as { Digest: string }).Digest, OLD.digest);
  const tags = await run('skopeo', ['list-tags', '--tls-verify=false', `docker://${host}/demo/app`], { env });
  assert.deepEqual((JSON.parse(tags.stdout) as { Tags: string[] }).Tags, ['latest']);
});

it('skopeo pulls what is private only after a login', { skip: missing('skopeo') }, async () => {
  const env = await home('skopeo-private');
  const inspect = () => run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${host}/demo/closed:latest`], { env });
  await assert.rejects(inspect());
  await assert.rejects(run('skopeo', ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', 'wrong', host], { env }));
  await run('skopeo', ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', ADMIN.password, host], { env });
  assert.equal((await inspect()).stdout, NEW.bytes.toString('utf8'));
});

it('podman logs in and pulls', { skip: missing('podman') }, async () => {
  const env = await home('podman');
  const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'runroot'), '--storage-driver', 'vfs'];
  const login = ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', ADMIN.password, host];
  assert.match((await run('podman', [...store, ...login], { env })).stdout, /Login Succeeded/);
  for (const image of ['demo/closed:latest', `demo/app@${NEW.digest}`, 'demo/old:latest']) {
    await run('podman', [...store, 'pull', '--tls-verify=false', '--platform', 'linux/amd64', `${host}/${image}`], { env });
  }
  const { stdout } = await run('podman', [...store, 'images', '--digests', '--format', '{{.Digest}}'], { env });
  assert.ok(stdout.includes(OLD.digest));
});

it('crane reads digest, manifest, tags, catalog and image', { skip: missing('crane') }, async () => {
  const env = await home('crane');
  const crane = async (...words: string[]) => (await run('crane', [...words, '--insecure'], { env, maxBuffer: 1 << 24 })).stdout;
  assert.equal((await crane('digest', `${host}/demo/app:latest`)).trim(), NEW.digest);
  assert.equal(await crane('manifest', `${host}/demo/old:latest`), OLD.bytes.toString('utf8'));
  assert.equal((await crane('ls', `${host}/demo/app`)).trim(), 'latest');
  await crane('validate', '--remote', `${host}/demo/app:latest`);
  await crane('pull', `${host}/demo/app:latest`, join(folder, 'layout'), '--format', 'oci');
  assert.ok((await readdir(join(folder, 'layout', 'blobs', 'sha256'))).includes(NEW.digest.slice(7)));
  await crane('auth', 'login', host, '-u', ADMIN.username, '-p', ADMIN.password);
  assert.deepEqual((await crane('catalog', host)).trim().split('\n'), ['demo/app', 'demo/closed', 'demo/old']);
  assert.equal((await crane('digest', `${host}/demo/closed:latest`)).trim(), NEW.digest);
});

it('regctl reads manifest, tags, referrers and image', { skip: missing('regctl') }, async () => {
  const env = await home('regctl');
  const regctl = async (...words: string[]) => (await run('regctl', words, { env, maxBuffer: 1 << 24 })).stdout;
  await regctl('registry', 'set', host, '--tls', 'disabled');
  assert.equal((await regctl('image', 'digest', `${host}/demo/app:latest`)).trim(), NEW.digest);
  assert.equal((await regctl('tag', 'ls', `${host}/demo/app`)).trim(), 'latest');
  await regctl('image', 'export', `${host}/demo/app:latest`, join(folder, 'export.tar'));
  assert.ok((await regctl('artifact', 'list', `${host}/demo/app:latest`)).includes(NEW.digest));
  await regctl('registry', 'login', host, '-u', ADMIN.username, '-p', ADMIN.password);
  assert.equal((await regctl('image', 'digest', `${host}/demo/closed:latest`)).trim(), NEW.digest);
});
