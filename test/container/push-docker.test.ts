import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type DockerDaemon, startDocker } from '../support/docker-daemon.ts';
import { missing } from '../support/missing.ts';
import { type ClientWorld, PASSWORD, startClientWorld, USER } from './client-world.ts';

const notRoot = process.getuid?.() === 0 ? false : 'dockerd has to be run by root';

describe('docker', { skip: missing('dockerd', 'docker', 'ctr') || notRoot }, () => {
  let world: ClientWorld;
  let daemon: DockerDaemon | undefined;
  before(async () => {
    world = await startClientWorld();
  });
  after(async () => {
    await daemon?.stop();
    await world?.stop();
  });

  it('builds an image, pushes it under two tags, and pulls it back', async () => {
    const { host } = world;
    // BuildKit builds in containers, which this daemon cannot run.
    const client = await world.client({ DOCKER_BUILDKIT: '0' });
    daemon = await startDocker(client);
    const { docker, ctr } = daemon;
    for (const name of ['first', 'second']) await writeFile(join(client.folder, name), `the ${name} layer`);
    const dockerfile = 'FROM scratch\nCOPY first /first\nCOPY second /second\nCMD ["/first"]\n';
    await writeFile(join(client.folder, 'Dockerfile'), dockerfile);
    await writeFile(join(client.folder, '.dockerignore'), '*\n!first\n!second\n');
    const image = `${host}/docker/app`;
    await docker('build', '-t', `${image}:v1`, '.');
    await docker('tag', `${image}:v1`, `${image}:v2`);
    const id = await docker('image', 'inspect', '--format', '{{.Id}}', `${image}:v1`);

    await assert.rejects(docker('push', `${image}:v1`));
    await docker('login', '-u', USER, '-p', PASSWORD, host);
    assert.match(await docker('push', `${image}:v1`), new RegExp(`v1: digest: ${await world.digest('docker/app', 'v1')} `));
    assert.equal(await world.latestVersion('docker/app'), 1);
    await docker('push', `${image}:v2`);
    assert.deepEqual(await world.tags('docker/app'), ['v1', 'v2']);
    const manifest = JSON.parse(String(await world.manifest('docker/app', 'v1')));
    assert.equal(manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
    assert.equal(manifest.layers.length, 2);
    assert.equal(manifest.config.digest, id);

    // To another repository its layers are mounted.
    await docker('tag', `${image}:v1`, `${host}/docker/copy:v1`);
    assert.match(await docker('push', `${host}/docker/copy:v1`), /Mounted from docker\/app/);
    assert.equal(await world.digest('docker/copy', 'v1'), await world.digest('docker/app', 'v1'));

    await docker('rmi', `${image}:v1`, `${image}:v2`, `${host}/docker/copy:v1`);
    await assert.rejects(docker('image', 'inspect', id));
    await docker('pull', `${host}/docker/copy:v1`);
    assert.equal(await docker('image', 'inspect', '--format', '{{.Id}}', `${host}/docker/copy:v1`), id);

    // The daemon's own containerd is a client of another make.
    const images = (...words: string[]) => ctr('images', ...words, '--plain-http', '--user', `${USER}:${PASSWORD}`);
    await images('pull', '--snapshotter', 'native', `${image}:v1`);
    await images('push', `${host}/docker/containerd:v1`, `${image}:v1`);
    assert.equal(await world.digest('docker/containerd', 'v1'), await world.digest('docker/app', 'v1'));

    // A list of platforms is made of what is in the registry.
    await docker('manifest', 'create', '--insecure', `${image}:list`, `${image}:v1`);
    await docker('manifest', 'push', '--insecure', `${image}:list`);
    const list = JSON.parse(String(await world.manifest('docker/app', 'list')));
    assert.equal(list.mediaType, 'application/vnd.docker.distribution.manifest.list.v2+json');
    assert.deepEqual(
      list.manifests.map(({ digest }: { digest: string }) => digest),
      [await world.digest('docker/app', 'v1')],
    );
  });
});
