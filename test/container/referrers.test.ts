import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { descriptorOf, type ImageContent, indexOf, MEDIA_TYPES } from '../../src/demo/image.ts';
import { artifactOf, companionTag, referrersIndexOf, sigstoreBundleOf, simpleImage } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { ADMIN, basicHeader, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
const UNKNOWN = `sha256:${'0'.repeat(64)}`;

interface Entry {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Record<string, string>;
}

interface Listed {
  readonly response: Response;
  readonly manifests: readonly Entry[];
}

let world: RegistryWorld;
let named = 0;
before(async () => {
  world = await startRegistryWorld();
});
after(() => world?.stop());

/** A public repository that holds the images, under tags of any names unless they are given. */
async function serve(
  images: readonly ImageContent[],
  tags: Record<string, ImageContent> = {},
): Promise<{ name: string; id: string }> {
  named += 1;
  const name = `refs/r${named}`;
  const id = await world.repository(name);
  const untitled = Object.fromEntries(images.map((image, index) => [`t${index}`, image]));
  await world.publish(id, { ...untitled, ...tags });
  await world.distribution(name, { repository_id: id });
  return { name, id };
}

async function bearer(name: string): Promise<Record<string, string>> {
  const query = new URLSearchParams({ service: world.server.host, scope: `repository:${name}:pull` });
  const response = await fetch(`${world.server.origin}/token/?${query}`, { headers: { authorization: basicHeader(ADMIN) } });
  return { authorization: `Bearer ${((await response.json()) as { token: string }).token}` };
}

async function list(name: string, digest: string, query = ''): Promise<Listed> {
  return page(name, `/v2/${name}/referrers/${digest}${query}`);
}

async function page(name: string, path: string): Promise<Listed> {
  const response = await fetch(`${world.server.origin}${path}`, { headers: await bearer(name) });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), INDEX_TYPE);
  const index = (await response.json()) as { schemaVersion: number; mediaType: string; manifests: Entry[] };
  assert.equal(index.schemaVersion, 2);
  assert.equal(index.mediaType, INDEX_TYPE);
  return { response, manifests: index.manifests };
}

/** Follows the links from a page to the last one; answers the entries of each. */
async function pages(name: string, path: string): Promise<Entry[][]> {
  const found: Entry[][] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const { response, manifests } = await page(name, next);
    found.push([...manifests]);
    next = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1];
  }
  return found;
}

const digests = (entries: readonly { digest: string }[]): string[] => entries.map(({ digest }) => digest).sort();
const subjectOf = (image: ImageContent) => descriptorOf(image, image.mediaType);

describe('the list of referrers', () => {
  it('describes each as the specification says', async () => {
    const image = simpleImage('described');
    const typed = artifactOf({
      artifactType: 'text/spdx+json',
      subject: subjectOf(image),
      annotations: { made: 'today', 'a b': 'ü' },
    });
    const config = { mediaType: 'application/vnd.example.config.v1+json', content: '{"x":1}' };
    const byConfig = artifactOf({ config, subject: subjectOf(image) });
    const index = indexOf({
      entries: [{ content: simpleImage('in index') }],
      subject: subjectOf(image),
      artifactType: 'application/vnd.example.set',
    });
    const untypedIndex = indexOf({ entries: [{ content: simpleImage('in another') }], subject: subjectOf(image) });
    const { name } = await serve([image, typed, byConfig, index, untypedIndex]);
    const { response, manifests } = await list(name, image.digest);
    assert.equal(response.headers.get('link'), null);
    assert.equal(response.headers.get('oci-filters-applied'), null);
    const entry = (content: ImageContent, more: object) => ({
      mediaType: content.mediaType,
      digest: content.digest,
      size: content.bytes.length,
      ...more,
    });
    const expected = [
      entry(typed, { artifactType: 'text/spdx+json', annotations: { made: 'today', 'a b': 'ü' } }),
      entry(byConfig, { artifactType: config.mediaType }),
      entry(index, { artifactType: 'application/vnd.example.set' }),
      entry(untypedIndex, {}),
    ];
    const byDigest = (a: { digest: string }, b: { digest: string }) => (a.digest < b.digest ? -1 : 1);
    assert.deepEqual([...manifests].sort(byDigest), expected.sort(byDigest));
  });

  it('filters by type, and says so', async () => {
    const image = simpleImage('filtered');
    const sbom = artifactOf({ artifactType: 'text/spdx+json', subject: subjectOf(image) });
    const { name } = await serve([image, sbom, sigstoreBundleOf(image)]);
    const filtered = await list(name, image.digest, '?artifactType=text/spdx%2Bjson');
    assert.deepEqual(digests(filtered.manifests), [sbom.digest]);
    assert.equal(filtered.response.headers.get('oci-filters-applied'), 'artifactType');
    assert.deepEqual((await list(name, image.digest, '?artifactType=text/none')).manifests, []);
    assert.deepEqual((await list(name, image.digest, '?artifactType=a%00b')).manifests, []);
    assert.equal((await list(name, image.digest, '?artifactType=')).manifests.length, 2);
  });

  it('is empty for a digest that nothing refers to, and 400 for what is no digest', async () => {
    const { name } = await serve([simpleImage('lonely')]);
    assert.deepEqual((await list(name, UNKNOWN)).manifests, []);
    assert.deepEqual((await list(name, `sha512:${'0'.repeat(128)}`)).manifests, []);
    for (const wrong of ['sha256:x', 'latest', 'md5:0123', `sha256:${'A'.repeat(64)}`]) {
      const response = await fetch(`${world.server.origin}/v2/${name}/referrers/${wrong}`, { headers: await bearer(name) });
      assert.equal(response.status, 400);
      assert.equal(((await response.json()) as { errors: { code: string }[] }).errors[0]?.code, 'DIGEST_INVALID');
    }
  });

  it('is empty where there is no repository', async () => {
    assert.deepEqual((await list('refs/nothing', UNKNOWN)).manifests, []);
  });

  it('has what is in the version that is served, what is pending in its repository, and nothing of others', async () => {
    const image = simpleImage('shared');
    const [here, elsewhere, pending, pendingElsewhere] = ['here', 'elsewhere', 'pending', 'pending elsewhere'].map((text) =>
      artifactOf({ artifactType: 'text/plain', subject: subjectOf(image), annotations: { text } }),
    ) as [ImageContent, ImageContent, ImageContent, ImageContent];
    const one = await serve([image, here]);
    const other = await serve([image, elsewhere]);
    await world.pend(one.id, pending);
    await world.pend(other.id, pendingElsewhere);
    assert.deepEqual(digests((await list(one.name, image.digest)).manifests), [here.digest, pending.digest].sort());
    await world.publish(one.id, { image });
    assert.deepEqual(digests((await list(one.name, image.digest)).manifests), [pending.digest]);
  });

  it('knows subjects by sha512, in manifests and under the fallback tag', async () => {
    const digest = `sha512:${'5a'.repeat(64)}`;
    const subject = { mediaType: MEDIA_TYPES.oci.manifest, digest, size: 100 };
    const referrer = artifactOf({ artifactType: 'text/plain', subject });
    const tagged = artifactOf({ artifactType: 'text/html' });
    const fallback = referrersIndexOf([{ content: tagged, artifactType: 'text/html' }]);
    // 64 digits, however long the digest: OCI distribution-spec, "Referrers Tag Schema".
    const { name } = await serve([referrer], { [`sha512-${'5a'.repeat(32)}`]: fallback });
    assert.deepEqual(digests((await list(name, digest)).manifests), [referrer.digest, tagged.digest].sort());
  });

  it('has what the fallback tag lists, each once, and of the type that is asked for', async () => {
    const image = simpleImage('fallen back');
    const listed = artifactOf({ artifactType: 'text/spdx+json', annotations: { by: 'tag' } });
    const both = artifactOf({ artifactType: 'text/plain', subject: subjectOf(image) });
    const another = artifactOf({ artifactType: 'text/plain', subject: { ...subjectOf(image), digest: UNKNOWN } });
    const entries = [listed, both, another].map((content) => ({ content, artifactType: 'text/other' }));
    const fallback = referrersIndexOf(entries);
    // The subject itself is not here.
    const { name } = await serve([], { [companionTag(image.digest, '')]: fallback });
    const { manifests } = await list(name, image.digest);
    assert.deepEqual(digests(manifests), [listed.digest, both.digest].sort());
    const found = manifests.find(({ digest }) => digest === listed.digest);
    assert.deepEqual(
      [found?.artifactType, found?.annotations, found?.size],
      ['text/spdx+json', { by: 'tag' }, listed.bytes.length],
    );
    assert.deepEqual(digests((await list(name, image.digest, '?artifactType=text/plain')).manifests), [both.digest]);
  });

  it('takes no image under the fallback tag for a list', async () => {
    const image = simpleImage('fallback is an image');
    const { name } = await serve([image], { [companionTag(image.digest, '')]: simpleImage('no list') });
    assert.deepEqual((await list(name, image.digest)).manifests, []);
  });

  it('comes in pages, filtered ones too', async () => {
    const image = simpleImage('paged');
    const plain = Array.from({ length: 5 }, (_, n) =>
      artifactOf({ artifactType: 'text/plain; a=1&b', subject: subjectOf(image), annotations: { n: String(n) } }),
    );
    const html = Array.from({ length: 4 }, (_, n) =>
      artifactOf({ artifactType: 'text/html', subject: subjectOf(image), annotations: { n: String(n) } }),
    );
    const { name } = await serve([image, ...plain, ...html]);
    const all = await pages(name, `/v2/${name}/referrers/${image.digest}?n=4`);
    assert.deepEqual(
      all.map((entries) => entries.length),
      [4, 4, 1],
    );
    assert.deepEqual(digests(all.flat()), digests([...plain, ...html]));
    const query = new URLSearchParams({ artifactType: 'text/plain; a=1&b', n: '2' });
    const filtered = await pages(name, `/v2/${name}/referrers/${image.digest}?${query}`);
    assert.deepEqual(
      filtered.map((entries) => entries.length),
      [2, 2, 1],
    );
    assert.deepEqual(digests(filtered.flat()), digests(plain));
    assert.deepEqual((await list(name, image.digest, '?n=0')).manifests, []);
    const wrong = await fetch(`${world.server.origin}/v2/${name}/referrers/${image.digest}?n=-1`, {
      headers: await bearer(name),
    });
    assert.equal(wrong.status, 400);
  });

  it('ends a page before an index grows past what clients take', async () => {
    const image = simpleImage('heavy');
    const heavy = Array.from({ length: 5 }, (_, n) =>
      artifactOf({ artifactType: 'text/plain', subject: subjectOf(image), annotations: { text: String(n).repeat(1_400_000) } }),
    );
    const { name } = await serve([image, ...heavy]);
    const all = await pages(name, `/v2/${name}/referrers/${image.digest}`);
    assert.deepEqual(
      all.map((entries) => entries.length),
      [3, 2],
    );
    assert.deepEqual(digests(all.flat()), digests(heavy));
  });
});

it('regctl lists artifacts and their tree', { skip: missing('regctl') }, async (context) => {
  const image = simpleImage('regctl');
  const sbom = artifactOf({ artifactType: 'text/spdx+json', subject: subjectOf(image) });
  const signature = artifactOf({ artifactType: 'application/vnd.example.signature', subject: subjectOf(sbom) });
  const { name } = await serve([sbom, signature], { latest: image });
  const folder = await mkdtemp(join(tmpdir(), 'deckle-referrers-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, '.docker'));
  const env = { PATH: process.env.PATH, HOME: folder, DOCKER_CONFIG: join(folder, '.docker') };
  const regctl = async (...words: string[]) => (await promisify(execFile)('regctl', words, { env })).stdout;
  const { host } = world.server;
  await regctl('registry', 'set', host, '--tls', 'disabled');
  const listed = await regctl(
    'artifact',
    'list',
    `${host}/${name}:latest`,
    '--format',
    '{{range .Descriptors}}{{.Digest}} {{.ArtifactType}}\n{{end}}',
  );
  assert.equal(listed, `${sbom.digest} text/spdx+json\n`);
  const tree = await regctl('artifact', 'tree', `${host}/${name}:latest`, '--digest-tags');
  assert.match(tree, new RegExp(sbom.digest));
  assert.match(tree, new RegExp(signature.digest));
});
