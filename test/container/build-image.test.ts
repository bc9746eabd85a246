import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { type Answer, startApp, type TestApp } from '../support/app.ts';
import { missing } from '../support/missing.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { DISTRIBUTIONS, REPOSITORIES, registryUser } from './signing-rig.ts';

const run = promisify(execFile);

describe('building an image', { skip: missing('buildah', 'setpriv', 'unshare') }, () => {
  let app: TestApp;
  let repository: string;
  before(async () => {
    app = await startApp({ env: { DECKLE_MAX_BLOB_GB: '1' } });
    repository = (await app.request('POST', REPOSITORIES, { name: 'built' })).body.pulp_href;
    const served = await app.run(DISTRIBUTIONS, { name: 'built', base_path: 'built/app', repository });
    assert.equal(served.state, 'completed');
  });
  after(() => app?.stop());

  /** Answers the artifact's path in the API. */
  async function artifact(bytes: string | Buffer): Promise<string> {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(Buffer.from(bytes))]), 'file');
    const { status, body } = await post('/pulp/api/v3/artifacts/', form);
    if (status === 201) return body.pulp_href;
    const known = await app.request('GET', '/pulp/api/v3/artifacts/?limit=100');
    return known.body.results.find((one: { size: number }) => one.size === Buffer.byteLength(bytes)).pulp_href;
  }

  async function post(path: string, form: FormData): Promise<Answer> {
    const authorization = `Basic ${Buffer.from('admin:password').toString('base64')}`;
    const response = await fetch(`${app.url}${path}`, { method: 'POST', body: form, headers: { authorization } });
    return { status: response.status, headers: response.headers, body: await response.json() };
  }

  function build(containerfile: string | undefined, fields: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields))
      form.append(name, typeof value === 'string' ? value : JSON.stringify(value));
    if (containerfile !== undefined) form.append('containerfile', new Blob([containerfile]), 'Containerfile');
    return post(`${repository}build_image/`, form);
  }

  const latest = async () => (await app.request('GET', repository)).body.latest_version_href;
  const work = () => readdirSync(join(app.services.config.DATA_DIR, 'work'));

  /** The image that is served under the tag: its config, and what is in its layers. */
  async function served(tag: string): Promise<{ config: Config; files: Map<string, string> }> {
    const user = registryUser(app);
    const manifest = (await (await user.ask('GET', 'built/app', `manifests/${tag}`)).json()) as {
      config: { digest: string };
      layers: { digest: string; mediaType: string }[];
    };
    const blob = async (digest: string) =>
      Buffer.from(await (await user.ask('GET', 'built/app', `blobs/${digest}`)).arrayBuffer());
    const files = new Map<string, string>();
    for (const { digest, mediaType } of manifest.layers) {
      const bytes = await blob(digest);
      const tar = mediaType.endsWith('+gzip') ? gunzipSync(bytes) : bytes;
      const file = join(app.services.config.DATA_DIR, 'layer.tar');
      await writeFile(file, tar);
      const { stdout } = await run('tar', ['--list', '--file', file]);
      for (const name of stdout.split('\n').filter((path) => path !== '' && !path.endsWith('/'))) {
        const content = await run('tar', ['--extract', '--to-stdout', '--file', file, name], {
          encoding: 'latin1',
          maxBuffer: 1 << 26,
        });
        files.set(name.replace(/^\.?\//, ''), content.stdout);
      }
    }
    return { config: JSON.parse((await blob(manifest.config.digest)).toString()) as Config, files };
  }
  interface Config {
    readonly architecture: string;
    readonly config: { readonly Labels: Record<string, string> };
  }

  it('makes a version with it, of a Containerfile and artifacts', async () => {
    const artifacts = { [await artifact('hello\n')]: 'etc/hello', [await artifact('bye, bye\n')]: 'bye' };
    const dispatched = await build('FROM scratch\nCOPY etc /etc\nCOPY bye /\nLABEL a=b\n', { artifacts, tag: 'first' });
    assert.equal(dispatched.status, 202, JSON.stringify(dispatched.body));
    const task = await app.finished(dispatched);
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal(task.name, 'pulp_container.app.tasks.builder.build_image');
    const version = await latest();
    assert.deepEqual(task.created_resources, [version]);
    assert.equal(task.result.pulp_href, version);
    const { added } = task.result.content_summary;
    assert.deepEqual(
      Object.entries<{ count: number }>(added)
        .map(([type, { count }]) => [type, count])
        .sort(),
      [
        ['container.blob', 2],
        ['container.manifest', 1],
        ['container.tag', 1],
      ],
    );
    const { files, config } = await served('first');
    assert.deepEqual([...files].sort(), [
      ['bye', 'bye, bye\n'],
      ['etc/hello', 'hello\n'],
    ]);
    assert.equal(config.config.Labels.a, 'b');
    const { body } = await app.request('GET', `/pulp/api/v3/content/container/manifests/?repository_version=${version}`);
    const [manifest] = body.results;
    assert.deepEqual([manifest.type, manifest.architecture, manifest.os], ['image', config.architecture, 'linux']);
    assert.equal(manifest.labels.a, 'b');
    assert.deepEqual(work(), []);
  });

  it('is tagged latest unless told, and takes the place of the last of that name', async () => {
    for (const text of ['one', 'two']) {
      const file = await artifact(`${text} more\n`);
      const task = await app.finished(await build('FROM scratch\nCOPY file /file\n', { artifacts: { [file]: 'file' } }));
      assert.equal(task.state, 'completed', JSON.stringify(task.error));
      assert.equal((await served('latest')).files.get('file'), `${text} more\n`);
    }
  });

  it('is pulled by podman', { skip: missing('podman') }, async () => {
    const folder = app.services.config.DATA_DIR;
    const host = new URL(app.services.config.PULP_CONTENT_ORIGIN).host;
    const store = ['--root', join(folder, 'client'), '--runroot', join(folder, 'client-run'), '--storage-driver', 'vfs'];
    await run('podman', [...store, 'pull', '--tls-verify=false', `${host}/built/app:first`]);
  });

  describe('that runs something', () => {
    let artifacts: Readonly<Record<string, string>>;
    const context = 'FROM scratch\nCOPY --chmod=755 . /\n';
    before(async () => {
      const { stdout } = await run('ldd', ['/bin/sh']);
      const paths = ['/bin/sh', '/bin/cat', '/bin/dd', '/bin/sleep', ...[...stdout.matchAll(/\/\S+/g)].map(([path]) => path)];
      const pairs = await Promise.all(
        paths.map(async (path) => [await artifact(readFileSync(realpathSync(path))), path.slice(1)] as const),
      );
      artifacts = Object.fromEntries(pairs);
    });

    it('has users, processes and an environment of its own', async () => {
      const script = [
        'while read -r line; do echo "$line"; done < /proc/self/uid_map > /map',
        'cat /proc/self/environ > /environment',
        'cat /proc/1/environ > /first',
        'echo /proc/[0-9]* > /processes',
        'for device in /dev/*; do if [ -b "$device" ] && [ -r "$device" ]; then echo "$device" >> /devices; fi; done',
        '(: >> /proc/sys/kernel/core_pattern) && echo core > /core',
      ].join('; ');
      const task = await app.finished(await build(`${context}RUN ${script}; true\n`, { artifacts, tag: 'isolated' }));
      assert.equal(task.state, 'completed', JSON.stringify(task.error));
      const { files } = await served('isolated');
      const [inside, outside] = (files.get('map') ?? '').trim().split(/\s+/).map(Number);
      assert.equal(inside, 0);
      assert.notEqual(outside, 0);
      assert.ok(Number(files.get('processes')?.trim().split(' ').length) < 20, files.get('processes'));
      const names = files
        .get('environment')
        ?.split('\0')
        .flatMap((entry) => entry.split('=')[0] || []);
      assert.deepEqual(names?.sort(), ['HOME', 'HOSTNAME', 'PATH', 'PWD']);
      assert.equal(files.get('first'), '');
      for (const path of ['devices', 'core']) assert.equal(files.has(path), false, files.get(path));
    });

    it('and fails: the task says what it said, and nothing is half done', async () => {
      const before = await latest();
      const task = await app.finished(
        await build(`${context}RUN echo the dog ate it >&2; exit 3\n`, { artifacts, tag: 'failing' }),
      );
      assert.equal(task.state, 'failed');
      assert.equal(task.error.error_code, 'CON0001');
      assert.match(task.error.description, /^The image was not built: .*the dog ate it.*exit status 3/s);
      assert.equal(await latest(), before);
      assert.deepEqual(work(), []);
    });

    it('and hangs: it is ended with the task, and all that it has started', async () => {
      const before = await latest();
      const seconds = 424_242;
      const dispatched = await build(`${context}RUN sleep ${seconds} & sleep ${seconds}\n`, { artifacts, tag: 'hanging' });
      const sleeping = () =>
        readdirSync('/proc').filter((id) => {
          const file = `/proc/${id}/cmdline`;
          return /^\d+$/.test(id) && existsSync(file) && readQuietly(file).startsWith(`sleep\0${seconds}`);
        });
      await eventually('the build to hang', async () => (sleeping().length >= 2 ? true : undefined));
      await app.request('PATCH', dispatched.body.task, { state: 'canceled' });
      assert.equal((await app.finished(dispatched)).state, 'canceled');
      await eventually('the build to end', async () => (sleeping().length === 0 ? true : undefined));
      assert.equal(await latest(), before);
      await eventually('its folder to go', async () => (work().length === 0 ? true : undefined));
    });

    it('and writes too much: a file is no larger than a blob may be', async () => {
      // A hole, so that the disk of the test is spared.
      const script = 'dd if=/dev/zero of=/large bs=1 count=1 seek=1G || exit 9';
      const task = await app.finished(await build(`${context}RUN ${script}\n`, { artifacts, tag: 'large' }));
      assert.equal(task.state, 'failed');
      assert.match(task.error.description, /exit status 9/);
      assert.deepEqual(work(), []);
    });
  });

  describe('that begins with another', () => {
    let upstream: Upstream;
    before(async () => {
      upstream = await startUpstream();
      upstream.put('base/image', imageOf({ layers: [layerOf({ 'etc/base': 'from the base' })] }), 'v1');
    });
    after(() => upstream?.stop());

    it('pulls it', async () => {
      const file = await artifact('on top\n');
      const registries = join(app.services.config.DATA_DIR, 'registries.conf');
      await writeFile(registries, `[[registry]]\nlocation = "${upstream.host}"\ninsecure = true\n`);
      const before = process.env.CONTAINERS_REGISTRIES_CONF;
      process.env.CONTAINERS_REGISTRIES_CONF = registries;
      try {
        const containerfile = `FROM ${upstream.host}/base/image:v1\nCOPY top /etc/top\n`;
        const task = await app.finished(await build(containerfile, { artifacts: { [file]: 'top' }, tag: 'based' }));
        assert.equal(task.state, 'completed', JSON.stringify(task.error));
      } finally {
        if (before === undefined) delete process.env.CONTAINERS_REGISTRIES_CONF;
        else process.env.CONTAINERS_REGISTRIES_CONF = before;
      }
      const { files } = await served('based');
      assert.deepEqual([files.get('etc/base'), files.get('etc/top')], ['from the base', 'on top\n']);
    });

    it('and cannot pull it: the task says so', async () => {
      const task = await app.finished(await build(`FROM ${upstream.host}/base/none:v1\n`));
      assert.equal(task.state, 'failed');
      assert.match(task.error.description, /base\/none:v1/);
    });
  });

  it('is refused where the request is wrong', async () => {
    const exactly = { non_field_errors: ["Exactly one of 'containerfile' or 'containerfile_name' must be specified."] };
    const noObject = 'Invalid hyperlink - Object does not exist.';
    const file = await artifact('wrong\n');
    const other = await artifact('wrong, too\n');
    const scratch = 'FROM scratch\n';
    const cases: readonly (readonly [Answer, unknown])[] = [
      [await build(undefined), exactly],
      [await build(undefined, { tag: 'x' }), exactly],
      [await build(scratch, { containerfile_name: 'Containerfile' }), exactly],
      [
        await build(undefined, { containerfile_name: 'Containerfile' }),
        { non_field_errors: ["A 'build_context' must be specified when 'containerfile_name' is present."] },
      ],
      [
        await build(undefined, { containerfile_name: 'x', build_context: `${repository}versions/0/` }),
        { build_context: [noObject] },
      ],
      [await build(scratch, { build_context: `${repository}versions/0/` }), { build_context: [noObject] }],
      [await build(''), { containerfile: ['The submitted file is empty.'] }],
      [await build('#'.repeat(256 * 1024 + 1)), { containerfile: ['Ensure this file has no more than 262144 bytes.'] }],
      [
        await build(undefined, { containerfile: 'FROM scratch' }),
        { containerfile: ['The submitted data was not a file. Check the encoding type on the form.'] },
      ],
      [await build(scratch, { artifacts: { [repository]: 'x' } }), { artifacts: [noObject] }],
      [
        await build(scratch, { artifacts: { '/pulp/api/v3/artifacts/01a1fdcb-0000-7a1e-a831-a2ff5c41839f/': 'x' } }),
        { artifacts: [noObject] },
      ],
      [await build(scratch, { artifacts: { [file]: '../x' } }), { artifacts: ['Relative path is not in canonical form. ../x'] }],
      [await build(scratch, { artifacts: { [file]: '/x' } }), { artifacts: ['Relative path is not in canonical form. /x'] }],
      [await build(scratch, { artifacts: { [file]: 1 } }), { artifacts: [`The path of ${file} is no text.`] }],
      [await build(scratch, { artifacts: { [file]: 'x', [other]: 'x' } }), { artifacts: ['Two artifacts have the same path.'] }],
      [
        await build(scratch, { artifacts: { [file]: 'x', [other]: 'x/y' } }),
        { artifacts: ['There is something below x, which is to be a file.'] },
      ],
    ];
    for (const [{ status, body }, expected] of cases) assert.deepEqual([status, body], [400, expected]);
    const badTag = await build(scratch, { tag: '-x' });
    assert.equal(badTag.status, 400);
    assert.match(badTag.body.tag[0], /^The provided tag is not valid\./);
    // Not a form at all, as recorded of Pulp 3.123.
    const json = await app.request('POST', `${repository}build_image/`, {});
    assert.deepEqual([json.status, json.body], [400, exactly]);
  });
});

function readQuietly(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
