import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { missing } from '../support/missing.ts';
import { type RegistryClient, registryClient } from '../support/registry-client.ts';
import { ADMIN, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const PLATFORMS = ['linux/amd64', 'linux/arm64'];
const OLD = imageOf({ layers: [layerOf({ 'etc/motd': 'old' })] });
const NEW = multiPlatformOf(PLATFORMS, ({ architecture }) => ({
  layers: [layerOf({ 'etc/motd': architecture }), largeLayer(architecture, 3 * 1024 * 1024)],
}));

let world: RegistryWorld;
const clients: RegistryClient[] = [];
let host: string;

before(async () => {
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
  for (const client of clients) await client.remove();
});

/** A client that goes with the world. */
async function newClient(): Promise<RegistryClient> {
  const client = await registryClient();
  clients.push(client);
  return client;
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
  const { run, folder } = await newClient();
  const copy = (from: string, to: string, ...options: string[]) =>
    run('skopeo', ['--insecure-policy', 'copy', '--src-tls-verify=false', ...options, `docker://${host}/${from}`, `dir:${to}`]);
  await copy('demo/app:latest', 'all', '--all');
  // Two manifests of the index have a configuration and two layers each.
  assert.equal(await checkedBlobs(join(folder, 'all')), 6);
  assert.deepEqual(await readFile(join(folder, 'all', 'manifest.json')), NEW.bytes);
  await copy(`demo/app@${NEW.digest}`, 'digest', '--all');
  await copy('demo/old:latest', 'old');
  assert.deepEqual(await readFile(join(folder, 'old', 'manifest.json')), OLD.bytes);
  const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${host}/demo/old:latest`]);
  assert.equal((JSON.parse(stdout) as { Digest: string }).Digest, OLD.digest);
  const tags = await run('skopeo', ['list-tags', '--tls-verify=false', `docker://${host}/demo/app`]);
  assert.deepEqual((JSON.parse(tags.stdout) as { Tags: string[] }).Tags, ['latest']);
});

it('skopeo pulls what is private only after a login', { skip: missing('skopeo') }, async () => {
  const { run } = await newClient();
  const inspect = () => run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${host}/demo/closed:latest`]);
  await assert.rejects(inspect());
  await assert.rejects(run('skopeo', ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', 'wrong', host]));
  await run('skopeo', ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', ADMIN.password, host]);
  assert.equal((await inspect()).stdout, NEW.bytes.toString('utf8'));
});

it('podman logs in and pulls', { skip: missing('podman') }, async () => {
  const { run, folder } = await newClient();
  const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'runroot'), '--storage-driver', 'vfs'];
  const login = ['login', '--tls-verify=false', '-u', ADMIN.username, '-p', ADMIN.password, host];
  assert.match((await run('podman', [...store, ...login])).stdout, /Login Succeeded/);
  for (const image of ['demo/closed:latest', `demo/app@${NEW.digest}`, 'demo/old:latest']) {
    await run('podman', [...store, 'pull', '--tls-verify=false', '--platform', 'linux/amd64', `${host}/${image}`]);
  }
  const { stdout } = await run('podman', [...store, 'images', '--digests', '--format', '{{.Digest}}']);
  assert.ok(stdout.includes(OLD.digest));
});

it('crane reads digest, manifest, tags, catalog and image', { skip: missing('crane') }, async () => {
  const { run, folder } = await newClient();
  const crane = async (...words: string[]) => (await run('crane', [...words, '--insecure'])).stdout;
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
  const { run, folder } = await newClient();
  const regctl = async (...words: string[]) => (await run('regctl', words)).stdout;
  await regctl('registry', 'set', host, '--tls', 'disabled');
  assert.equal((await regctl('image', 'digest', `${host}/demo/app:latest`)).trim(), NEW.digest);
  assert.equal((await regctl('tag', 'ls', `${host}/demo/app`)).trim(), 'latest');
  await regctl('image', 'export', `${host}/demo/app:latest`, join(folder, 'export.tar'));
  assert.ok((await regctl('artifact', 'list', `${host}/demo/app:latest`)).includes(NEW.digest));
  await regctl('registry', 'login', host, '-u', ADMIN.username, '-p', ADMIN.password);
  assert.equal((await regctl('image', 'digest', `${host}/demo/closed:latest`)).trim(), NEW.digest);
});
