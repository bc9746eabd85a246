import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { missing } from '../support/missing.ts';
import { type SigningKey, signingKey } from '../support/signing-key.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { registryUser, repositoryOf, signingServiceOf, standaloneSign } from './signing-rig.ts';

const run = promisify(execFile);
const IMAGE = imageOf({ layers: [layerOf({ 'etc/motd': 'image' })] });
const UNSIGNED = imageOf({ layers: [layerOf({ 'etc/motd': 'unsigned' })] });
const INDEX = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
  layers: [layerOf({ 'etc/motd': architecture })],
}));
const NO_SIGNATURE = /A signature was required, but no signature exists/;

/** What clients make of signatures, with policies that demand one by our key. */
describe('signatures and real clients', { skip: missing('gpg', 'skopeo') }, () => {
  let app: TestApp;
  let upstream: Upstream;
  let key: SigningKey;
  let folder: string;
  let host: string;
  let policy: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-signatures-'));
    [app, upstream, key] = await Promise.all([startApp(), startUpstream(), signingKey('primary')]);
    host = new URL(app.services.config.PULP_CONTENT_ORIGIN).host;
    upstream.put('team/app', IMAGE, 'signed');
    upstream.put('team/app', UNSIGNED, 'unsigned');
    upstream.put('team/app', INDEX, 'index');
    await writeFile(join(folder, 'key.asc'), key.publicKey);
    const signedBy = [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: join(folder, 'key.asc') }];
    policy = join(folder, 'policy.json');
    const transports = { docker: { [host]: signedBy, [upstream.host]: signedBy } };
    await writeFile(policy, JSON.stringify({ default: [{ type: 'reject' }], transports }));
  });
  after(async () => {
    await upstream?.stop();
    await app?.stop();
    await key?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  /** A client's home of its own, with our key. */
  async function environment(name: string): Promise<NodeJS.ProcessEnv> {
    const HOME = join(folder, name);
    await mkdir(HOME, { recursive: true });
    const REGISTRY_AUTH_FILE = join(HOME, 'auth.json');
    await writeFile(REGISTRY_AUTH_FILE, '{}');
    return { PATH: process.env.PATH, HOME, GNUPGHOME: key.home, XDG_RUNTIME_DIR: HOME, REGISTRY_AUTH_FILE };
  }

  const skopeo = async (...words: readonly string[]) => run('skopeo', words, { env: await environment('skopeo') });
  /** Copies from the upstream to us. */
  const copyIn = (tag: string, to: string, ...options: readonly string[]) =>
    skopeo(
      '--insecure-policy',
      'copy',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      '--dest-creds=admin:password',
      ...options,
      `docker://${upstream.host}/team/app:${tag}`,
      `docker://${host}/${to}`,
    );
  let copies = 0;
  const copyOut = (from: string, ...options: readonly string[]) => {
    copies += 1;
    const to = `dir:${join(folder, `copy-${copies}`)}`;
    return skopeo('--policy', policy, ...options, 'copy', '--all', '--src-tls-verify=false', `docker://${from}`, to);
  };

  it('skopeo signs what it pushes, and pulls only what is signed', async () => {
    await copyIn('signed', 'skopeo/app:signed', '--sign-by', key.fingerprint);
    await copyIn('unsigned', 'skopeo/app:unsigned');
    await copyOut(`${host}/skopeo/app:signed`);
    await assert.rejects(copyOut(`${host}/skopeo/app:unsigned`), NO_SIGNATURE);
  });

  it('skopeo signs an index and what it lists', async () => {
    await copyIn('index', 'skopeo/index:latest', '--all', '--sign-by', key.fingerprint);
    await copyOut(`${host}/skopeo/index:latest`);
    for (const child of INDEX.children) await copyOut(`${host}/skopeo/index@${child.digest}`);
  });

  it('podman signs what it pushes, and pulls only what is signed', { skip: missing('podman') }, async () => {
    const env = await environment('podman');
    const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'runroot'), '--storage-driver', 'vfs'];
    const podman = (...words: readonly string[]) => run('podman', [...store, ...words], { env });
    const anything = join(folder, 'anything.json');
    await writeFile(anything, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
    const source = `${upstream.host}/team/app`;
    for (const tag of ['signed', 'unsigned'])
      await podman('pull', '--tls-verify=false', '--signature-policy', anything, `${source}:${tag}`);
    const push = (tag: string, ...options: readonly string[]) =>
      podman(
        'push',
        '--tls-verify=false',
        '--creds=admin:password',
        '--signature-policy',
        anything,
        ...options,
        `${source}:${tag}`,
        `docker://${host}/podman/app:${tag}`,
      );
    await push('signed', '--sign-by', key.fingerprint);
    await push('unsigned');
    const pull = (tag: string) => podman('pull', '--tls-verify=false', '--signature-policy', policy, `${host}/podman/app:${tag}`);
    await podman('rmi', '--all', '--force');
    await pull('signed');
    await assert.rejects(pull('unsigned'), NO_SIGNATURE);
  });

  it('they pull what a signing service has signed', async () => {
    const user = registryUser(app);
    await user.image('served/app', 'signed', IMAGE);
    await user.image('served/app', 'index', INDEX);
    await user.image('served/app', 'unsigned', UNSIGNED);
    const { pulp_href } = await repositoryOf(app, 'served/app');
    const manifest_signing_service = await signingServiceOf(app, key, 'clients', standaloneSign(key));
    const task = await app.run(`${pulp_href}sign/`, { manifest_signing_service, tags_list: ['signed', 'index'] });
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    await copyOut(`${host}/served/app:signed`);
    await copyOut(`${host}/served/app:index`);
    await assert.rejects(copyOut(`${host}/served/app:unsigned`), NO_SIGNATURE);
  });

  it('they find signatures here for images of a registry that keeps none', async () => {
    const identity = `${upstream.host}/team/app:signed`;
    await copyIn('signed', 'team/app:signed', '--sign-by', key.fingerprint, '--sign-identity', identity);
    const registries = join(folder, 'registries.d');
    await mkdir(registries);
    const entry = { docker: { [upstream.host]: { lookaside: `http://${host}/pulp/container/sigstore` } } };
    await writeFile(join(registries, 'upstream.yaml'), JSON.stringify(entry));
    const lookaside = ['--registries.d', registries];
    await copyOut(identity, ...lookaside);
    await assert.rejects(copyOut(identity), NO_SIGNATURE);
    await assert.rejects(copyOut(`${upstream.host}/team/app:unsigned`, ...lookaside), NO_SIGNATURE);
    if (missing('podman')) return;
    const env = await environment('podman-lookaside');
    const own = join(folder, 'podman-lookaside', '.config', 'containers', 'registries.d');
    await mkdir(own, { recursive: true });
    await writeFile(join(own, 'upstream.yaml'), JSON.stringify(entry));
    const store = ['--root', join(folder, 'root-2'), '--runroot', join(folder, 'runroot-2'), '--storage-driver', 'vfs'];
    const pull = (reference: string) =>
      run('podman', [...store, 'pull', '--tls-verify=false', '--signature-policy', policy, reference], { env });
    await pull(identity);
    await assert.rejects(pull(`${upstream.host}/team/app:unsigned`), NO_SIGNATURE);
  });
});
