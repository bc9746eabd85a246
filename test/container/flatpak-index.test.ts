import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ImageContent, imageOf, indexOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { type Answer, startApp, type TestApp } from '../support/app.ts';
import { FLATPAK_LABELS, simpleImage } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { imageOfLayout } from '../support/oci-layout.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';

const API = '/pulp/api/v3/';
const REF = 'label:org.flatpak.ref:exists=1';

let app: TestApp;
let upstream: Upstream;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deckle-flatpak-'));
  app = await startApp({ env: { PULP_FLATPAK_INDEX: 'true' } });
  upstream = await startUpstream();
});
after(async () => {
  await app?.stop();
  await upstream?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const flatpak = (name: string, architecture: string, labels: Record<string, string> = {}): ImageContent =>
  imageOf({ architecture, layers: [layerOf({ name })], labels: { ...FLATPAK_LABELS, name, ...labels } });

/** Syncs the upstream's repository of that name into one of its own, and serves it there. Answers the repository's href. */
async function serve(name: string, options: object = {}): Promise<string> {
  const create = async (path: string, body: object): Promise<Answer> => {
    const answer = await app.request('POST', `${API}${path}`, body);
    assert.ok(answer.status === 201 || answer.status === 202, JSON.stringify(answer.body));
    return answer;
  };
  const remote = await create('remotes/container/container/', { name, url: upstream.url, upstream_name: name });
  const repository = (await create('repositories/container/container/', { name })).body.pulp_href as string;
  const synced = await app.run(`${repository}sync/`, { remote: remote.body.pulp_href });
  assert.equal(synced.state, 'completed', JSON.stringify(synced.error));
  const distribution = await create('distributions/container/container/', { name, base_path: name, repository, ...options });
  assert.equal((await app.finished(distribution)).state, 'completed');
  return repository;
}

interface Listed {
  readonly Tags: readonly string[];
  readonly Digest: string;
  readonly MediaType: string;
  readonly OS: string;
  readonly Architecture: string;
  readonly Labels: Record<string, string>;
}

async function index(query: string, kind = 'dynamic'): Promise<{ answer: Answer; results: Record<string, readonly Listed[]> }> {
  const answer = await app.request('GET', `/index/${kind}?${REF}${query}`, undefined, { user: null });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.equal(answer.body.Registry, app.services.config.PULP_CONTENT_ORIGIN);
  const results = answer.body.Results as readonly { Name: string; Images: readonly Listed[] }[];
  return { answer, results: Object.fromEntries(results.map(({ Name, Images }) => [Name, Images])) };
}

describe('the flatpak index', () => {
  const stable = flatpak('stable', 'amd64', { channel: 'stable' });
  const arm = flatpak('arm', 'arm64', { channel: 'beta' });
  const listed = flatpak('listed', 'amd64');
  before(async () => {
    upstream.put('idx/apps', stable, 'latest');
    upstream.put('idx/apps', stable, '1.0');
    upstream.put('idx/apps', arm, 'beta');
    upstream.put('idx/apps', simpleImage('no flatpak'), 'image');
    upstream.put('idx/apps', flatpak('untagged', 'amd64'));
    const platform = { os: 'linux', architecture: 'amd64' };
    upstream.put('idx/lists', indexOf({ entries: [{ content: listed, platform }] }), 'latest');
    upstream.put('idx/hidden', flatpak('hidden', 'amd64'), 'latest');
    await serve('idx/apps');
    await serve('idx/lists');
    await serve('idx/hidden', { private: true });
  });

  it('has the tagged flatpaks of public repositories, with what flatpak wants to know', async () => {
    const { answer, results } = await index('&repository=idx/apps&repository=idx/lists&repository=idx/hidden');
    assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
    assert.deepEqual(Object.keys(results), ['idx/apps', 'idx/lists']);
    const entry = (image: ImageContent, tags: string[], architecture: string, labels: object) => ({
      Tags: tags,
      Digest: image.digest,
      MediaType: image.mediaType,
      OS: 'linux',
      Architecture: architecture,
      Labels: { ...FLATPAK_LABELS, ...labels },
    });
    const byTag = (a: { Tags: readonly string[] }, b: { Tags: readonly string[] }) => (String(a.Tags) < String(b.Tags) ? -1 : 1);
    assert.deepEqual([...(results['idx/apps'] ?? [])].sort(byTag), [
      entry(stable, ['1.0', 'latest'], 'amd64', { name: 'stable', channel: 'stable' }),
      entry(arm, ['beta'], 'arm64', { name: 'arm', channel: 'beta' }),
    ]);
    assert.deepEqual(results['idx/lists'], [entry(listed, ['latest'], 'amd64', { name: 'listed' })]);
  });

  it('has what the filters let through: any of one kind, all kinds together', async () => {
    const digests = async (query: string): Promise<string[]> =>
      Object.values((await index(`&repository=idx/apps&repository=idx/lists${query}`)).results)
        .flat()
        .map(({ Digest }) => Digest)
        .sort();
    const of = (...images: ImageContent[]) => images.map(({ digest }) => digest).sort();
    assert.deepEqual(await digests('&tag=latest'), of(stable, listed));
    assert.deepEqual((await index('&tag=latest&repository=idx/apps')).results['idx/apps']?.[0]?.Tags, ['latest']);
    assert.deepEqual(await digests('&architecture=arm64'), of(arm));
    assert.deepEqual(await digests('&architecture=arm64&architecture=amd64&os=linux'), of(stable, arm, listed));
    assert.deepEqual(await digests('&os=plan9'), []);
    assert.deepEqual(await digests('&label:channel:exists=1'), of(stable, arm));
    assert.deepEqual(await digests('&label:channel=beta&label:channel=alpha'), of(arm));
    assert.deepEqual(await digests('&label:channel=stable&label:name=arm'), []);
    assert.deepEqual(await digests('&label:channel=%00'), []);
    assert.deepEqual((await index('&repository=idx/none')).answer.body.Results, []);
  });

  it('refuses what it does not know, and to list what is no flatpak', async () => {
    for (const query of ['', 'label:org.flatpak.ref:exists=0', `${REF}&colour=red`, `${REF}&label:x:exists=yes`, 'tag=latest']) {
      const answer = await app.request('GET', `/index/static?${query}`, undefined, { user: null });
      assert.equal(answer.status, 400);
      assert.equal(typeof answer.body.detail, 'string');
    }
  });

  it('may be kept by caches where it is static, and is whole where it takes several reads', async () => {
    for (let n = 0; n < 210; n += 1) upstream.put('idx/many', flatpak(`many ${n}`, 'amd64'), `v${n}`);
    for (let n = 0; n < 7; n += 1)
      upstream.put('idx/many', flatpak(`large ${n}`, 'amd64', { icon: 'x'.repeat(1_500_000) }), `l${n}`);
    await serve('idx/many');
    const { answer, results } = await index('&repository=idx/many&repository=idx/lists', 'static');
    assert.equal(answer.headers.get('cache-control'), 'public, max-age=60');
    assert.equal((await index('')).answer.headers.get('cache-control'), 'no-cache');
    assert.equal(results['idx/lists']?.length, 1);
    assert.equal(new Set(results['idx/many']?.map(({ Digest }) => Digest)).size, 217);
    assert.equal(results['idx/many']?.length, 217);
  });

  it('tells of the version that is served: the latest, or a pinned one', async () => {
    const [first, second] = [flatpak('first', 'amd64'), flatpak('second', 'amd64')];
    upstream.put('idx/moving', first, 'latest');
    const repository = await serve('idx/moving');
    upstream.put('idx/moving', second, 'latest');
    await app.run(`${repository}sync/`, {
      remote: (await app.request('GET', `${API}remotes/container/container/?name=idx/moving`)).body.results[0].pulp_href,
    });
    const pinned = { name: 'pinned', base_path: 'idx/pinned', repository_version: `${repository}versions/1/` };
    await app.finished(await app.request('POST', `${API}distributions/container/container/`, pinned));
    const { results } = await index('&repository=idx/moving&repository=idx/pinned');
    assert.deepEqual(
      results['idx/moving']?.map(({ Digest }) => Digest),
      [second.digest],
    );
    assert.deepEqual(
      results['idx/pinned']?.map(({ Digest }) => Digest),
      [first.digest],
    );
  });
});

it('is not there unless it is switched on', async (context) => {
  const plain = await startApp({ worker: false });
  context.after(() => plain.stop());
  for (const kind of ['static', 'dynamic']) assert.equal((await plain.request('GET', `/index/${kind}?${REF}`)).status, 404);
});

describe('flatpak itself', { skip: missing('flatpak', 'dbus-run-session') }, () => {
  const RUNTIME = 'org.example.Platform';

  /** Runs a program to its end and answers what it has said. What it leaves behind, such as the services of its bus, ends with it. */
  async function run(program: string, ...words: string[]): Promise<string> {
    const home = join(folder, 'home');
    await mkdir(home, { recursive: true });
    const said = join(folder, 'said');
    const file = await open(said, 'w');
    const env = { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: home, LANG: 'C.UTF-8' };
    const child = spawn(program, words, { cwd: folder, env, detached: true, stdio: ['ignore', file.fd, file.fd] });
    try {
      const [code] = (await once(child, 'exit')) as [number | null];
      const text = await readFile(said, 'utf8');
      assert.equal(code, 0, `${program} ${words.join(' ')}: ${text}`);
      return text;
    } finally {
      await file.close();
      if (child.pid !== undefined) endGroup(child.pid);
    }
  }

  const onBus = (...words: string[]): Promise<string> => run('dbus-run-session', '--', 'flatpak', '--user', ...words);

  /** A runtime with one file, as an OCI image that flatpak has made. */
  async function runtimeImage(text: string): Promise<ImageContent> {
    const arch = (await run('flatpak', '--default-arch')).trim();
    const build = join(folder, `build ${text}`);
    await mkdir(join(build, 'usr'), { recursive: true });
    await mkdir(join(build, 'files'), { recursive: true });
    const ref = `${RUNTIME}/${arch}/stable`;
    await writeFile(join(build, 'metadata'), `[Runtime]\nname=${RUNTIME}\nruntime=${ref}\nsdk=${ref}\n`);
    await writeFile(join(build, 'usr', 'text'), text);
    const [repository, layout] = [join(folder, `repo ${text}`), join(folder, `oci ${text}`)];
    await run('flatpak', 'build-export', '--runtime', '--files=usr', repository, build, 'stable');
    await run('flatpak', 'build-bundle', '--runtime', '--oci', repository, layout, RUNTIME, 'stable');
    return imageOfLayout(layout);
  }

  it('installs and updates from a repository that was synced', async () => {
    upstream.put('fp/platform', await runtimeImage('one'), 'latest');
    const repository = await serve('fp/platform');
    await onBus('remote-add', 'deckle', `oci+${app.url}`);
    assert.match(await onBus('remote-ls', 'deckle', '--columns=application,branch'), /org\.example\.Platform\tstable/);
    await onBus('install', '--noninteractive', '-y', 'deckle', `${RUNTIME}//stable`);
    const file = async (): Promise<string> => {
      const place = (await onBus('info', '--show-location', `${RUNTIME}//stable`))
        .split('\n')
        .find((line) => line.startsWith('/'));
      return readFile(join(place ?? '', 'files', 'text'), 'utf8');
    };
    assert.equal(await file(), 'one');
    const remote = (await app.request('GET', `${API}remotes/container/container/?name=fp/platform`)).body.results[0].pulp_href;
    upstream.put('fp/platform', await runtimeImage('two'), 'latest');
    assert.equal((await app.run(`${repository}sync/`, { remote })).state, 'completed');
    // Its own copy of the index may be a minute old: a remote that it has not asked yet is asked now.
    await onBus('remote-modify', 'deckle', `--url=oci+http://localhost:${new URL(app.url).port}`);
    await onBus('update', '--noninteractive', '-y', `${RUNTIME}//stable`);
    assert.equal(await file(), 'two');
  });
});

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGTERM');
  } catch (error) {
    // Nothing of it is left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
