import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { writeLayout } from '../support/image-layout.ts';
import { missing } from '../support/missing.ts';
import type { RegistryClient } from '../support/registry-client.ts';
import { type ClientWorld, layeredImage, PASSWORD, startClientWorld, USER } from './client-world.ts';

const IMAGE = layeredImage('subject');

let world: ClientWorld;
let host: string;
before(async () => {
  world = await startClientWorld();
  host = world.host;
});
after(() => world?.stop());

/** Parts of an artifact's manifest. */
interface ArtifactManifest {
  readonly artifactType?: string;
  readonly config: { readonly mediaType: string };
  readonly layers: readonly { readonly mediaType: string; readonly digest: string; readonly size: number }[];
  readonly subject?: { readonly digest: string };
}

const manifestOf = async (name: string, reference: string): Promise<ArtifactManifest> =>
  JSON.parse(String(await world.manifest(name, reference)));

/** Pushes the image that others refer to. */
async function pushSubject(client: RegistryClient, name: string): Promise<void> {
  await writeLayout(join(client.folder, 'subject'), { v1: IMAGE });
  await client.run('crane', ['auth', 'login', host, '-u', USER, '-p', PASSWORD]);
  await client.run('crane', ['push', 'subject', `${host}/${name}:v1`, '--insecure']);
}

describe('oras', { skip: missing('oras', 'crane') }, () => {
  it('pushes an artifact of two files, pulls it back, and copies it', async () => {
    const { run, folder } = await world.client();
    const oras = (command: string, ...words: string[]) => run('oras', [...command.split(' '), '--plain-http', ...words]);
    await oras('login', '-u', USER, '-p', PASSWORD, host);
    await writeFile(join(folder, 'a.json'), '{"a":1}');
    await writeFile(join(folder, 'b.txt'), 'b'.repeat(100_000));
    const type = ['--artifact-type', 'application/vnd.example.thing'];
    await oras('push', ...type, `${host}/oras/thing:v1,latest`, 'a.json:application/json', 'b.txt:text/plain');
    const manifest = await manifestOf('oras/thing', 'v1');
    assert.equal(manifest.artifactType, 'application/vnd.example.thing');
    assert.deepEqual(
      manifest.layers.map(({ mediaType, size }) => [mediaType, size]),
      [
        ['application/json', 7],
        ['text/plain', 100_000],
      ],
    );
    assert.deepEqual(await world.tags('oras/thing'), ['latest', 'v1']);
    await oras('pull', '--output', 'back', `${host}/oras/thing:latest`);
    assert.equal(await readFile(join(folder, 'back/b.txt'), 'utf8'), 'b'.repeat(100_000));
    await run('oras', ['cp', '--from-plain-http', '--to-plain-http', `${host}/oras/thing:v1`, `${host}/oras/copy:v1`]);
    assert.equal(await world.digest('oras/copy', 'v1'), await world.digest('oras/thing', 'v1'));
  });

  it('attaches to an image, discovers what is attached, and deletes it', async () => {
    const client = await world.client();
    await pushSubject(client, 'oras/app');
    const oras = (command: string, ...words: string[]) => client.run('oras', [command, '--plain-http', ...words]);
    await writeFile(join(client.folder, 'sbom.json'), '{"spdxVersion":"SPDX-2.3"}');
    const attach = ['--distribution-spec', 'v1.1-referrers-api', '--artifact-type', 'application/spdx+json'];
    await oras('attach', ...attach, `${host}/oras/app:v1`, 'sbom.json:application/spdx+json');
    const [attached, ...others] = await world.referrers('oras/app', IMAGE.digest);
    assert.ok(attached);
    assert.deepEqual(others, []);
    assert.equal(attached.artifactType, 'application/spdx+json');
    assert.equal((await manifestOf('oras/app', attached.digest)).subject?.digest, IMAGE.digest);
    // Where the list is kept by the registry, the client keeps none under a tag.
    assert.deepEqual(await world.tags('oras/app'), ['v1']);
    const found = await oras('discover', '--format', 'json', '--artifact-type', 'application/spdx+json', `${host}/oras/app:v1`);
    assert.match(found.stdout, new RegExp(attached.digest));
    await client.run('oras', ['manifest', 'delete', '--plain-http', '--force', `${host}/oras/app@${attached.digest}`]);
    assert.deepEqual(await world.referrers('oras/app', IMAGE.digest), []);
  });
});

describe('regctl', { skip: missing('regctl', 'crane') }, () => {
  it('puts artifacts that refer to an image, and finds them', async () => {
    const client = await world.client();
    await pushSubject(client, 'regctl/app');
    const regctl = (words: string[], input?: string) => client.run('regctl', words, input === undefined ? {} : { input });
    await regctl(['registry', 'set', host, '--tls', 'disabled']);
    await regctl(['registry', 'login', host, '-u', USER, '-p', PASSWORD]);
    for (const type of ['application/vnd.example.one', 'application/vnd.example.two'])
      await regctl(['artifact', 'put', '--artifact-type', type, '--subject', `${host}/regctl/app:v1`], `what ${type} says`);
    const found = await world.referrers('regctl/app', IMAGE.digest);
    assert.deepEqual(found.map(({ artifactType }) => artifactType).sort(), [
      'application/vnd.example.one',
      'application/vnd.example.two',
    ]);
    assert.deepEqual(await world.tags('regctl/app'), ['v1']);
    const filter = ['--filter-artifact-type', 'application/vnd.example.two'];
    const two = found.find(({ artifactType }) => artifactType.endsWith('two'));
    const { stdout } = await regctl(['artifact', 'list', `${host}/regctl/app:v1`, ...filter, '--format', '{{jsonPretty .}}']);
    assert.deepEqual(
      (JSON.parse(stdout) as { descriptors: { digest: string }[] }).descriptors.map(({ digest }) => digest),
      [two?.digest],
    );
    const got = await regctl(['artifact', 'get', '--subject', `${host}/regctl/app:v1`, ...filter]);
    assert.equal(got.stdout, 'what application/vnd.example.two says');
  });

  it('pushes an image whose digests are of SHA-512', async () => {
    const client = await world.client();
    await pushSubject(client, 'regctl/sha256');
    const regctl = async (...words: string[]) => (await client.run('regctl', words)).stdout.trim();
    await regctl('registry', 'set', host, '--tls', 'disabled');
    await regctl('registry', 'login', host, '-u', USER, '-p', PASSWORD);
    const [from, to] = [`${host}/regctl/sha256:v1`, `${host}/regctl/sha512:v1`];
    await regctl('image', 'mod', '--digest-algo', 'sha512', '--create', to, from);
    const digest = await regctl('image', 'digest', to);
    assert.match(digest, /^sha512:[0-9a-f]{128}$/);
    const manifest = await manifestOf('regctl/sha512', digest);
    for (const layer of manifest.layers) assert.match(layer.digest, /^sha512:/);
    await regctl('image', 'copy', `${host}/regctl/sha512@${digest}`, 'ocidir://back:v1');
    assert.equal(await regctl('image', 'digest', 'ocidir://back:v1'), digest);
  });
});

describe('helm', { skip: missing('helm') }, () => {
  it('pushes a chart, shows it and pulls it back', async () => {
    const { run, folder } = await world.client();
    await mkdir(join(folder, 'web/templates'), { recursive: true });
    await writeFile(join(folder, 'web/Chart.yaml'), 'apiVersion: v2\nname: web\nversion: 1.2.3\ndescription: A chart\n');
    await writeFile(join(folder, 'web/templates/map.yaml'), 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n');
    await run('helm', ['registry', 'login', '--plain-http', '-u', USER, '-p', PASSWORD, host]);
    await run('helm', ['package', 'web']);
    const { stderr, stdout } = await run('helm', ['push', '--plain-http', 'web-1.2.3.tgz', `oci://${host}/charts`]);
    const digest = await world.digest('charts/web', '1.2.3');
    assert.ok(digest);
    assert.match(`${stdout}${stderr}`, new RegExp(`Digest: ${digest}`));
    const manifest = await manifestOf('charts/web', '1.2.3');
    assert.equal(manifest.config.mediaType, 'application/vnd.cncf.helm.config.v1+json');
    assert.equal(await world.latestVersion('charts/web'), 1);
    const shown = await run('helm', ['show', 'chart', '--plain-http', `oci://${host}/charts/web`, '--version', '1.2.3']);
    assert.match(shown.stdout, /^name: web$/m);
    await run('helm', ['pull', '--plain-http', `oci://${host}/charts/web`, '--version', '1.2.3', '--destination', 'home']);
    assert.deepEqual(await readFile(join(folder, 'home/web-1.2.3.tgz')), await readFile(join(folder, 'web-1.2.3.tgz')));
  });
});

/** No transparency log and no timestamps: what cosign would ask servers of the internet for. */
const SIGNING = {
  mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
  rekorTlogConfig: {},
  tsaConfig: {},
};
const TRUSTED = { mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1' };

describe('cosign', { skip: missing('cosign', 'crane') }, () => {
  it('signs an image and attests to it by referrers, and verifies both', async () => {
    const client = await world.client({ COSIGN_PASSWORD: '' });
    await pushSubject(client, 'cosign/app');
    const { run, folder } = client;
    await writeFile(join(folder, 'signing.json'), JSON.stringify(SIGNING));
    await writeFile(join(folder, 'trusted.json'), JSON.stringify(TRUSTED));
    await writeFile(join(folder, 'predicate.json'), '{"tested":true}');
    await run('cosign', ['generate-key-pair']);
    const image = `${host}/cosign/app@${IMAGE.digest}`;
    const cosign = (command: string, ...words: string[]) =>
      run('cosign', [command, '--allow-http-registry', '--trusted-root', 'trusted.json', ...words, image]);
    const sign = ['--key', 'cosign.key', '--yes', '--signing-config', 'signing.json'];
    const verify = ['--key', 'cosign.pub', '--insecure-ignore-tlog=true'];

    await assert.rejects(cosign('verify', ...verify), /no signatures found/);
    await cosign('sign', ...sign);
    const { stdout } = await cosign('verify', ...verify);
    assert.equal(JSON.parse(stdout)[0].critical.image['docker-manifest-digest'], IMAGE.digest);
    await cosign('attest', ...sign, '--type', 'custom', '--predicate', 'predicate.json');
    await cosign('verify-attestation', ...verify, '--type', 'custom');

    const referrers = await world.referrers('cosign/app', IMAGE.digest);
    assert.equal(referrers.length, 2);
    for (const { artifactType } of referrers) assert.equal(artifactType, 'application/vnd.dev.sigstore.bundle.v0.3+json');
    // As the registry lists referrers, cosign keeps no list under a tag.
    assert.deepEqual(await world.tags('cosign/app'), ['v1']);
  });
});

describe('cosign 2', { skip: missing('cosign-2', 'crane') }, () => {
  it('signs an image and attests to it under tags, and verifies both', async () => {
    const client = await world.client({ COSIGN_PASSWORD: '' });
    await pushSubject(client, 'cosign2/app');
    const { run, folder } = client;
    await writeFile(join(folder, 'predicate.json'), '{"tested":true}');
    await run('cosign-2', ['generate-key-pair']);
    const image = `${host}/cosign2/app@${IMAGE.digest}`;
    const cosign = (command: string, ...words: string[]) => run('cosign-2', [command, '--allow-http-registry', ...words, image]);
    const sign = ['--key', 'cosign.key', '--yes', '--tlog-upload=false'];
    const verify = ['--key', 'cosign.pub', '--insecure-ignore-tlog=true'];

    await cosign('sign', ...sign);
    const { stdout } = await cosign('verify', ...verify);
    assert.equal(JSON.parse(stdout)[0].critical.image['docker-manifest-digest'], IMAGE.digest);
    await cosign('attest', ...sign, '--type', 'custom', '--predicate', 'predicate.json');
    await cosign('verify-attestation', ...verify, '--type', 'custom');

    const tag = IMAGE.digest.replace(':', '-');
    assert.deepEqual(await world.tags('cosign2/app'), [`${tag}.att`, `${tag}.sig`, 'v1']);
  });
});
