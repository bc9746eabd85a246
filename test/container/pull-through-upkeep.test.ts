import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type ImageContent, multiPlatformOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { startServer } from '../../src/server.ts';
import { eventually } from '../queue/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { missing } from '../support/missing.ts';
import { API, type PullThroughWorld, startPullThroughWorld } from './pull-through-world.ts';

const run = promisify(execFile);

let world: PullThroughWorld;
before(async () => {
  world = await startPullThroughWorld({ PULP_CONTENT_ORIGIN: 'http://registry.test' });
});
after(() => world?.stop());

async function repositoryOf(name: string): Promise<{ pulp_href: string; latest_version_href: string }> {
  const { body } = await world.app.request('GET', `${API}repositories/container/container/?name=${name}`);
  assert.equal(body.count, 1);
  return body.results[0];
}

/** An index of which one image was pulled, and its layers not yet. */
async function pulledIndex(): Promise<{ name: string; repository: string; image: ImageContent; pulled: ImageContent }> {
  const { path } = await world.cache();
  const repository = `up/${world.name()}`;
  const image = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
    layers: [layerOf({ 'etc/arch': `${repository} ${architecture}` })],
  }));
  world.upstream.put(repository, image, 'latest');
  const name = `${path}/${repository}`;
  const pulled = image.children[0] as ImageContent;
  for (const reference of ['latest', pulled.digest])
    assert.equal((await world.pull(`${name}/manifests/${reference}`)).status, 200);
  return { name, repository, image, pulled };
}

describe('upkeep of what was pulled through', () => {
  it('orphan cleanup leaves it, blobs that are only known and configs too', async () => {
    const { name, repository, pulled } = await pulledIndex();
    await world.change('POST', `${API}orphans/cleanup/`, { orphan_protection_time: 0 });
    await world.pullImage(name, pulled.digest, pulled);
    const [config, layer] = pulled.blobs.map(({ digest }) => digest);
    assert.deepEqual(
      world.asked(repository).filter((request) => request.includes('blob')),
      [`GET blob ${config}`, `GET blob ${layer}`],
    );
  });

  it('orphan cleanup takes what a deleted cache had', async () => {
    const { path, href } = await world.cache();
    const { repository, image } = world.image();
    await world.pullImage(`${path}/${repository}`, 'latest', image);
    const units = async (): Promise<number> =>
      (await world.app.request('GET', `${API}content/container/manifests/?digest=${image.digest}`)).body.count;
    assert.equal(await units(), 1);
    await world.change('DELETE', href);
    await world.change('POST', `${API}orphans/cleanup/`, { orphan_protection_time: 0 });
    assert.equal(await units(), 0);
  });

  it('what was reclaimed is fetched again', async () => {
    const { name, repository, pulled } = await pulledIndex();
    await world.pullImage(name, pulled.digest, pulled);
    const { pulp_href } = await repositoryOf(name);
    const layer = pulled.blobs[1]?.digest;
    // No client waits for what it has pulled to be stored.
    await eventually('the layer is stored', async () => {
      const { body } = await world.app.request('GET', `${API}content/container/blobs/?digest=${layer}`);
      return body.results[0]?.artifact;
    });
    await world.change('POST', `${API}repositories/reclaim_space/`, { repo_hrefs: [pulp_href] });
    await world.pullImage(name, pulled.digest, pulled);
    assert.equal(world.asked(repository).filter((request) => request === `GET blob ${layer}`).length, 2);
  });

  it('an older version that is deleted takes nothing away', async () => {
    const { name, image } = await pulledIndex();
    const older = (await repositoryOf(name)).latest_version_href;
    await world.change('PATCH', (await repositoryOf(name)).pulp_href, { retain_repo_versions: null });
    assert.equal((await world.pull(`${name}/manifests/${image.children[1]?.digest}`)).status, 200);
    const { latest_version_href } = await repositoryOf(name);
    await world.change('DELETE', older);
    assert.equal((await repositoryOf(name)).latest_version_href, latest_version_href);
    for (const child of image.children) await world.pullImage(name, child.digest, child);
    await world.pullImage(name, 'latest', image);
  });

  it('repair finds it whole', async () => {
    const { name, pulled } = await pulledIndex();
    await world.pullImage(name, pulled.digest, pulled);
    const task = await world.change('POST', `${(await repositoryOf(name)).latest_version_href}repair/`, {});
    assert.equal(task.state, 'completed');
  });
});

it('two servers that pull a repository for the first time at once make one', async () => {
  const port = await freePort();
  const second = await startServer({ ...world.app.services.config, PORT: port }, world.app.services.log);
  try {
    for (let time = 0; time < 5; time += 1) {
      const { path } = await world.cache();
      const { repository, image } = world.image();
      const reference = `${path}/${repository}/manifests/latest`;
      const token = await world.authorizationOf(`${path}/${repository}`, 'admin:password');
      const from = async (origin: string) => {
        const response = await fetch(`${origin}/v2/${reference}`, { headers: token });
        assert.deepEqual([response.status, Buffer.from(await response.arrayBuffer())], [200, image.bytes]);
      };
      await Promise.all([world.app.url, `http://127.0.0.1:${port}`].flatMap((origin) => [from(origin), from(origin)]));
      assert.equal((await world.madeBelow(path)).length, 3);
    }
  } finally {
    await second.stop();
  }
});

describe('real clients', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-pull-through-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** A client's home of its own, so that nothing of the machine's is read or written. */
  async function home(name: string): Promise<NodeJS.ProcessEnv> {
    const path = join(folder, name);
    await mkdir(path, { recursive: true });
    return { PATH: process.env.PATH, HOME: path, REGISTRY_AUTH_FILE: join(path, 'auth.json'), XDG_RUNTIME_DIR: path };
  }
  const login = (program: string, host: string, env: NodeJS.ProcessEnv) =>
    run(program, ['login', '--tls-verify=false', '-u', 'admin', '-p', 'password', host], { env });

  it('podman pulls an image of a platform, by tag and by digest, and nothing is asked for twice', {
    skip: missing('podman'),
  }, async () => {
    const own = await startPullThroughWorld();
    try {
      const { path } = await own.cache();
      const image = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
        layers: [layerOf({ 'etc/arch': architecture })],
      }));
      own.upstream.put('library/app', image, 'latest');
      const env = await home('podman');
      await login('podman', own.app.host, env);
      const store = ['--root', join(folder, 'root'), '--runroot', join(folder, 'runroot'), '--storage-driver', 'vfs'];
      const name = `${own.app.host}/${path}/library/app`;
      for (const reference of [':latest', `@${image.digest}`]) {
        const platform = ['--tls-verify=false', '--platform', 'linux/amd64'];
        await run('podman', [...store, 'pull', ...platform, `${name}${reference}`], { env });
      }
      const child = image.children[0] as ImageContent;
      assert.deepEqual(
        [...own.asked('library/app')].sort(),
        ['GET manifest latest', `GET manifest ${child.digest}`, ...child.blobs.map(({ digest }) => `GET blob ${digest}`)].sort(),
      );
    } finally {
      await own.stop();
    }
  });

  it('skopeo copies all platforms, and what is cached without an upstream', { skip: missing('skopeo') }, async () => {
    const own = await startPullThroughWorld({ DECKLE_PULL_THROUGH_FRESH_SECONDS: '0' });
    try {
      const { path } = await own.cache();
      const image = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
        layers: [layerOf({ 'etc/arch': architecture })],
      }));
      own.upstream.put('library/app', image, 'latest');
      const env = await home('skopeo');
      await login('skopeo', own.app.host, env);
      const from = `docker://${own.app.host}/${path}/library/app:latest`;
      for (const to of ['online', 'offline']) {
        const options = ['--insecure-policy', 'copy', '--all', '--src-tls-verify=false'];
        await run('skopeo', [...options, from, `dir:${join(folder, to)}`], { env });
        assert.deepEqual(await readFile(join(folder, to, 'manifest.json')), image.bytes);
        await own.upstream.stop();
      }
    } finally {
      await own.stop();
    }
  });
});
