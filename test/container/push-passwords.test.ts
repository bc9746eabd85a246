import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeLayout } from '../support/image-layout.ts';
import { missing } from '../support/missing.ts';
import { type ClientWorld, layeredImage, PASSWORD, startClientWorld, USER } from './client-world.ts';

const IMAGE = layeredImage('one');
const LOGIN = ['-u', USER, '-p', PASSWORD];

describe('where tokens are switched off', () => {
  let world: ClientWorld;
  before(async () => {
    world = await startClientWorld({ tokens: false });
  });
  after(() => world?.stop());

  async function clientWithImage() {
    const client = await world.client();
    await writeLayout(join(client.folder, 'layout'), { one: IMAGE });
    return client;
  }

  it('skopeo pushes with a password, and pulls without one what is public', { skip: missing('skopeo') }, async () => {
    const { run } = await clientWithImage();
    const skopeo = (...words: string[]) => run('skopeo', ['--insecure-policy', ...words]);
    const to = `docker://${world.host}/skopeo/app:v1`;
    await assert.rejects(skopeo('copy', '--dest-tls-verify=false', 'oci:layout:one', to));
    await skopeo('copy', '--dest-tls-verify=false', '--dest-creds', `${USER}:${PASSWORD}`, 'oci:layout:one', to);
    assert.equal(await world.digest('skopeo/app', 'v1'), IMAGE.digest);
    const { stdout } = await skopeo('inspect', '--tls-verify=false', to);
    assert.equal((JSON.parse(stdout) as { Digest: string }).Digest, IMAGE.digest);
  });

  it('podman pushes after a login', { skip: missing('podman') }, async () => {
    const { run, folder } = await clientWithImage();
    const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'runroot'), '--storage-driver', 'vfs'];
    const podman = async (...words: string[]) => (await run('podman', [...store, ...words])).stdout.trim();
    await podman('login', '--tls-verify=false', ...LOGIN, world.host);
    const id = await podman('pull', 'oci:layout:one');
    await podman('push', '--tls-verify=false', '--digestfile', 'digest', id, `${world.host}/podman/app:v1`);
    assert.equal(await world.digest('podman/app', 'v1'), await readFile(join(folder, 'digest'), 'utf8'));
  });

  it('crane pushes, copies by mounts, and deletes after a login', { skip: missing('crane') }, async () => {
    const { run } = await clientWithImage();
    const crane = (...words: string[]) => run('crane', [...words, '--insecure']);
    await crane('auth', 'login', world.host, ...LOGIN);
    await crane('push', 'layout', `${world.host}/crane/app:v1`);
    const { stderr } = await crane('copy', `${world.host}/crane/app:v1`, `${world.host}/crane/copy:v1`);
    assert.equal([...stderr.matchAll(/mounted blob: sha256/g)].length, IMAGE.blobs.length);
    assert.equal(await world.digest('crane/copy', 'v1'), IMAGE.digest);
    await crane('delete', `${world.host}/crane/copy:v1`);
    assert.deepEqual(await world.tags('crane/copy'), []);
  });

  it('oras pushes and pulls after a login', { skip: missing('oras') }, async () => {
    const { run } = await clientWithImage();
    await run('oras', ['login', '--plain-http', ...LOGIN, world.host]);
    await run('oras', ['cp', '--from-oci-layout', '--to-plain-http', 'layout:one', `${world.host}/oras/app:v1`]);
    assert.equal(await world.digest('oras/app', 'v1'), IMAGE.digest);
    await run('oras', ['pull', '--plain-http', `${world.host}/oras/app:v1`]);
  });
});
