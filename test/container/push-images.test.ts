import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeLayout } from '../support/image-layout.ts';
import { missing } from '../support/missing.ts';
import { type ClientWorld, layeredImage, PASSWORD, startClientWorld, twoPlatforms, USER } from './client-world.ts';

const IMAGE = layeredImage('one');
const INDEX = twoPlatforms('two');
const OF_A_PLATFORM = INDEX.children.map(({ digest }) => digest);

let world: ClientWorld;
let host: string;
before(async () => {
  world = await startClientWorld();
  host = world.host;
});
after(() => world?.stop());

/** A client with the images in its folder `layout`, as tags `one` and `two`. */
async function clientWithImages() {
  const client = await world.client();
  await writeLayout(join(client.folder, 'layout'), { one: IMAGE, two: INDEX });
  return client;
}

describe('skopeo', { skip: missing('skopeo') }, () => {
  it('pushes an image, pulls it back, and deletes it', async () => {
    const { run, folder } = await clientWithImages();
    const skopeo = (...words: string[]) => run('skopeo', ['--insecure-policy', ...words]);
    await assert.rejects(skopeo('copy', '--dest-tls-verify=false', 'oci:layout:one', `docker://${host}/skopeo/app:v1`));
    await skopeo('login', '--tls-verify=false', '-u', USER, '-p', PASSWORD, host);
    await skopeo('copy', '--dest-tls-verify=false', 'oci:layout:one', `docker://${host}/skopeo/app:v1`);
    assert.equal(await world.digest('skopeo/app', 'v1'), IMAGE.digest);
    assert.equal(await world.latestVersion('skopeo/app'), 1);

    await skopeo('copy', '--src-tls-verify=false', `docker://${host}/skopeo/app:v1`, 'dir:back');
    assert.deepEqual(await readFile(join(folder, 'back/manifest.json')), IMAGE.bytes);
    for (const { digest, bytes } of IMAGE.blobs)
      if (bytes) assert.deepEqual(await readFile(join(folder, 'back', digest.slice(7))), bytes);

    await skopeo('delete', '--tls-verify=false', `docker://${host}/skopeo/app:v1`);
    assert.equal(await world.digest('skopeo/app', 'v1'), undefined);
    assert.deepEqual(await world.tags('skopeo/app'), []);
  });

  it('pushes an index with its platforms, and an image converted for Docker', async () => {
    const { run, folder } = await clientWithImages();
    const skopeo = (...words: string[]) => run('skopeo', ['--insecure-policy', ...words]);
    await skopeo('login', '--tls-verify=false', '-u', USER, '-p', PASSWORD, host);
    await skopeo('copy', '--all', '--dest-tls-verify=false', 'oci:layout:two', `docker://${host}/skopeo/index:v2`);
    assert.equal(await world.digest('skopeo/index', 'v2'), INDEX.digest);
    for (const digest of OF_A_PLATFORM) assert.equal(await world.digest('skopeo/index', digest), digest);
    assert.equal(await world.latestVersion('skopeo/index'), 1);
    await skopeo('copy', '--all', '--src-tls-verify=false', `docker://${host}/skopeo/index:v2`, 'oci:back:v2');
    const blobs = await readdir(join(folder, 'back/blobs/sha256'));
    for (const digest of [INDEX.digest, ...OF_A_PLATFORM]) assert.ok(blobs.includes(digest.slice(7)));

    await skopeo('copy', '--format', 'v2s2', '--dest-tls-verify=false', 'oci:layout:one', `docker://${host}/skopeo/docker:v1`);
    const manifest = JSON.parse(String(await world.manifest('skopeo/docker', 'v1')));
    assert.equal(manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
    assert.equal(manifest.layers.length, 3);
  });
});

describe('podman', { skip: missing('podman') }, () => {
  it('pushes an image and a list of images, and pulls them back', async () => {
    const { run, folder } = await clientWithImages();
    const podmanIn = (storage: string) => {
      const store = ['--root', join(folder, storage), '--runroot', join(folder, `${storage}-run`), '--storage-driver', 'vfs'];
      return async (...words: string[]) => (await run('podman', [...store, ...words])).stdout.trim();
    };
    const podman = podmanIn('here');
    await podman('login', '--tls-verify=false', '-u', USER, '-p', PASSWORD, host);
    const id = await podman('pull', 'oci:layout:one');
    await podman('push', '--tls-verify=false', '--digestfile', join(folder, 'digest'), id, `${host}/podman/app:v1`);
    const digest = await readFile(join(folder, 'digest'), 'utf8');
    assert.equal(await world.digest('podman/app', 'v1'), digest);
    assert.equal(await world.latestVersion('podman/app'), 1);

    await podman('manifest', 'create', 'list');
    for (const platform of OF_A_PLATFORM) {
      const child = INDEX.children.find((one) => one.digest === platform);
      assert.ok(child);
      await writeLayout(join(folder, platform.slice(7)), { it: child });
      await podman('manifest', 'add', 'list', `oci:${join(folder, platform.slice(7))}:it`);
    }
    await podman('manifest', 'push', '--all', '--tls-verify=false', 'list', `docker://${host}/podman/list:v1`);
    const list = JSON.parse(String(await world.manifest('podman/list', 'v1')));
    assert.equal(list.manifests.length, 2);

    const elsewhere = podmanIn('there');
    assert.equal(await elsewhere('pull', '--tls-verify=false', `${host}/podman/app:v1`), id);
    await elsewhere('pull', '--tls-verify=false', '--platform', 'linux/arm64', `${host}/podman/list:v1`);
    assert.equal(await elsewhere('image', 'inspect', '--format', '{{.Architecture}}', `${host}/podman/list:v1`), 'arm64');
  });
});

describe('buildah', { skip: missing('buildah') }, () => {
  it('builds an image of two layers, pushes it, and pulls it back', async () => {
    const { run, folder } = await world.client();
    const buildahIn = (storage: string) => {
      const store = ['--root', join(folder, storage), '--runroot', join(folder, `${storage}-run`), '--storage-driver', 'vfs'];
      return async (...words: string[]) => (await run('buildah', [...store, ...words])).stdout.trim();
    };
    const buildah = buildahIn('here');
    await writeFile(join(folder, 'first'), 'the first layer');
    await writeFile(join(folder, 'second'), 'the second layer');
    await writeFile(join(folder, 'Containerfile'), 'FROM scratch\nCOPY first /first\nCOPY second /second\nCMD ["/first"]\n');
    await buildah('login', '--tls-verify=false', '-u', USER, '-p', PASSWORD, host);
    const id = (await buildah('bud', '--layers', '--quiet', '-t', 'built', '.')).split('\n').at(-1) as string;
    const to = `docker://${host}/buildah/app:v1`;
    await buildah('push', '--tls-verify=false', '--digestfile', join(folder, 'digest'), 'built', to);
    assert.equal(await world.digest('buildah/app', 'v1'), await readFile(join(folder, 'digest'), 'utf8'));
    const manifest = JSON.parse(String(await world.manifest('buildah/app', 'v1')));
    assert.equal(manifest.layers.length, 2);
    assert.equal(await world.latestVersion('buildah/app'), 1);

    assert.equal(await buildahIn('there')('pull', '--quiet', '--tls-verify=false', to), id);
  });
});

describe('crane', { skip: missing('crane') }, () => {
  it('pushes an image and an index, copies by mounts, tags, deletes', async () => {
    const { run, folder } = await clientWithImages();
    const crane = (...words: string[]) => run('crane', [...words, '--insecure']);
    await crane('auth', 'login', host, '-u', USER, '-p', PASSWORD);
    await writeLayout(join(folder, 'image'), { one: IMAGE });
    await writeLayout(join(folder, 'index'), { two: INDEX });
    await crane('push', 'image', `${host}/crane/app:v1`);
    assert.equal(await world.digest('crane/app', 'v1'), IMAGE.digest);
    assert.equal(await world.latestVersion('crane/app'), 1);

    // It pushes the layout's own index, in which ours is the only entry.
    await crane('push', '--index', 'index', `${host}/crane/index:v1`);
    const pushed = JSON.parse(String(await world.manifest('crane/index', 'v1')));
    assert.deepEqual(
      pushed.manifests.map(({ digest }: { digest: string }) => digest),
      [INDEX.digest],
    );
    assert.equal(await world.digest('crane/index', INDEX.digest), INDEX.digest);

    // What it mounts it says; nothing is sent again.
    const { stderr } = await crane('copy', `${host}/crane/app:v1`, `${host}/crane/copy:v1`);
    assert.equal([...stderr.matchAll(/mounted blob: sha256/g)].length, IMAGE.blobs.length);
    assert.doesNotMatch(stderr, /pushed blob/);
    assert.equal(await world.digest('crane/copy', 'v1'), IMAGE.digest);

    await crane('tag', `${host}/crane/app:v1`, 'v2');
    assert.deepEqual(await world.tags('crane/app'), ['v1', 'v2']);
    await crane('validate', '--remote', `${host}/crane/copy:v1`);
    await crane('pull', `${host}/crane/copy:v1`, 'back', '--format', 'oci');
    assert.ok((await readdir(join(folder, 'back/blobs/sha256'))).includes(IMAGE.digest.slice(7)));

    await crane('delete', `${host}/crane/app:v1`);
    assert.deepEqual(await world.tags('crane/app'), ['v2']);
    await crane('delete', `${host}/crane/app@${IMAGE.digest}`);
    assert.equal(await world.digest('crane/app', IMAGE.digest), undefined);
    assert.deepEqual(await world.tags('crane/app'), []);
  });
});

describe('regctl', { skip: missing('regctl') }, () => {
  it('pushes an index in chunks, copies it, makes an index, removes tag and manifest', async () => {
    const { run } = await clientWithImages();
    const regctl = (...words: string[]) => run('regctl', words);
    await regctl('registry', 'set', host, '--tls', 'disabled', '--blob-chunk', '500000', '--blob-max', '600000');
    await regctl('registry', 'login', host, '-u', USER, '-p', PASSWORD);
    const { stderr } = await regctl('image', 'copy', '-v', 'trace', 'ocidir://layout:two', `${host}/regctl/app:v1`);
    const chunks = [...stderr.matchAll(/Content-Range/gi)].length;
    assert.ok(chunks >= 8, `two layers of 2 MiB in chunks of 500000 bytes: ${chunks} were seen`);
    assert.equal(await world.digest('regctl/app', 'v1'), INDEX.digest);
    for (const digest of OF_A_PLATFORM) assert.equal(await world.digest('regctl/app', digest), digest);
    assert.equal(await world.latestVersion('regctl/app'), 1);

    await regctl('image', 'copy', `${host}/regctl/app:v1`, `${host}/regctl/copy:v1`);
    assert.equal(await world.digest('regctl/copy', 'v1'), INDEX.digest);
    await regctl('image', 'copy', `${host}/regctl/copy:v1`, 'ocidir://back:v1');
    assert.equal((await regctl('image', 'digest', 'ocidir://back:v1')).stdout.trim(), INDEX.digest);

    await regctl('index', 'create', `${host}/regctl/app:made`, ...OF_A_PLATFORM.flatMap((digest) => ['--digest', digest]));
    const made = JSON.parse(String(await world.manifest('regctl/app', 'made')));
    assert.deepEqual(
      made.manifests.map(({ digest }: { digest: string }) => digest),
      OF_A_PLATFORM,
    );

    await regctl('tag', 'rm', `${host}/regctl/app:v1`);
    assert.deepEqual(await world.tags('regctl/app'), ['made']);
    assert.equal(await world.digest('regctl/app', INDEX.digest), INDEX.digest);
    await regctl('manifest', 'rm', `${host}/regctl/app@${INDEX.digest}`);
    assert.equal(await world.digest('regctl/app', INDEX.digest), undefined);
  });
});
