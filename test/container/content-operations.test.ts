import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ImageContent } from '../../src/demo/image.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { atomicSigner } from '../support/atomic-signature.ts';
import { indexOfImages, schema1Of, simpleImage } from '../support/images.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';

/*
 * What content operations do beyond the real Pulp, which test/acceptance/container-content.test.ts shares with it: signatures, nested indexes, and
 * content that the caller does not see.
 */

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const PASSWORD = 'Kiesel-7-Wolke';
const signer = atomicSigner('content operations');

let app: TestApp;
let upstream: Upstream;
before(async () => {
  [app, upstream] = await Promise.all([startApp(), startUpstream()]);
});
after(async () => {
  await app?.stop();
  await upstream?.stop();
});

let made = 0;
const unique = (word: string): string => `${word}-${++made}`;
const newRepository = async (user?: string): Promise<string> => {
  const { status, body } = await app.request('POST', REPOSITORIES, { name: unique('images') }, user ? { user } : {});
  assert.equal(status, 201, JSON.stringify(body));
  return body.pulp_href;
};
async function change(path: string, body: unknown): Promise<void> {
  const task = await app.run(path, body);
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
}

/** A repository of these images, with a signature of each of the `signed` ones. */
async function synced(images: Readonly<Record<string, ImageContent>>, signed: readonly ImageContent[] = []): Promise<string> {
  const name = unique('source');
  for (const [tag, image] of Object.entries(images)) upstream.put(name, image, tag);
  for (const { digest } of signed) {
    upstream.content.addLookasideSignature(name, digest, signer.sign(`registry.example/${name}`, digest));
  }
  const remote = {
    name,
    url: upstream.url,
    upstream_name: name,
    ...(signed.length > 0 ? { sigstore: `${upstream.url}/sigstore` } : {}),
  };
  const { body } = await app.request('POST', `${API}remotes/container/container/`, remote);
  const repository = await newRepository();
  await change(`${repository}sync/`, { remote: body.pulp_href });
  return repository;
}

type Kind = 'tags' | 'manifests' | 'blobs' | 'signatures';

/** Hrefs of what the latest version has of a kind, by the value of a field. */
async function units(repository: string, kind: Kind, key: string): Promise<Record<string, string>> {
  const path = `${API}content/container/${kind}/?repository_version=${repository}&limit=1000`;
  const { body } = await app.request('GET', path);
  return Object.fromEntries(body.results.map((unit: Record<string, string>) => [unit[key], unit.pulp_href]));
}
const present = async (repository: string): Promise<Record<string, number>> => {
  const { latest_version_href: latest } = (await app.request('GET', repository)).body;
  const summary = (await app.request('GET', latest)).body.content_summary.present as Record<string, { count: number }>;
  return Object.fromEntries(Object.entries(summary).map(([type, { count }]) => [type.replace('container.', ''), count]));
};
const versionOf = async (repository: string): Promise<number> =>
  Number((await app.request('GET', repository)).body.latest_version_href.split('/').at(-2));

describe('signatures', () => {
  const image = simpleImage('signed');
  const other = simpleImage('signed too');
  const index = indexOfImages(image, simpleImage('listed'));
  let source: string;
  before(async () => {
    source = await synced({ other, index }, [image, other, index]);
    assert.equal((await present(source)).signature, 3);
  });

  it('come along with copies, as the source has them', async () => {
    const tags = await newRepository();
    await change(`${tags}copy_tags/`, { source_repository: source, names: ['index'] });
    assert.deepEqual(await present(tags), { blob: 4, manifest: 3, signature: 2, tag: 1 });
    const manifests = await newRepository();
    await change(`${manifests}copy_manifests/`, { source_repository: source, digests: [other.digest] });
    assert.deepEqual(await present(manifests), { blob: 2, manifest: 1, signature: 1 });
    const earlier = await newRepository();
    const [first = ''] = Object.values(await units(source, 'signatures', 'name'));
    await change(`${source}remove/`, { content_units: [first] });
    await change(`${earlier}copy_tags/`, { source_repository: source });
    assert.equal((await present(earlier)).signature, 2, 'the one that was removed is not copied');
    await change(`${source}add/`, { content_units: [first] });
    assert.equal((await present(source)).signature, 3);
  });

  it('are added where they are named, and not else', async () => {
    const repository = await newRepository();
    const { other: tag = '' } = await units(source, 'tags', 'name');
    await change(`${repository}add/`, { content_units: [tag] });
    assert.deepEqual(await present(repository), { blob: 2, manifest: 1, tag: 1 });
    const manifests = await units(source, 'manifests', 'digest');
    const signatures = await units(source, 'signatures', 'signed_manifest');
    const signature = signatures[manifests[other.digest] as string] as string;
    await change(`${repository}add/`, { content_units: [signature] });
    assert.equal((await present(repository)).signature, 1);
  });

  it('go with what they sign, be it an index', async () => {
    const repository = await newRepository();
    await change(`${repository}copy_tags/`, { source_repository: source });
    const tags = await units(repository, 'tags', 'name');
    await change(`${repository}remove/`, { content_units: [tags.index] });
    assert.deepEqual(await present(repository), { blob: 2, manifest: 1, signature: 1, tag: 1 });
    await change(`${repository}remove/`, { content_units: [tags.other] });
    assert.deepEqual(await present(repository), {});
  });
});

describe('a removal', () => {
  it('keeps what an index needs at any depth', async () => {
    const deep = simpleImage('deep');
    const inner = indexOfImages(deep, simpleImage('deep too'));
    const outer = indexOfImages(inner, simpleImage('flat'));
    const repository = await synced({ outer, inner, deep });
    const tags = await units(repository, 'tags', 'name');
    const manifests = await units(repository, 'manifests', 'digest');
    await change(`${repository}remove/`, {
      content_units: [tags.deep, tags.inner, manifests[inner.digest], manifests[deep.digest]],
    });
    assert.deepEqual(await present(repository), { blob: 6, manifest: 5, tag: 1 });
    await change(`${repository}remove/`, { content_units: [tags.outer] });
    assert.deepEqual(await present(repository), {});
  });

  it('keeps a part of an index that has a tag of its own, with all that this part lists', async () => {
    const deep = simpleImage('kept deep');
    const inner = indexOfImages(deep, simpleImage('kept deep too'));
    const outer = indexOfImages(inner, deep, simpleImage('not kept'));
    const repository = await synced({ outer, inner });
    const tags = await units(repository, 'tags', 'name');
    await change(`${repository}remove/`, { content_units: [tags.outer] });
    assert.deepEqual(await present(repository), { blob: 4, manifest: 3, tag: 1 });
  });

  it('keeps layers that another image has, and takes images without a config', async () => {
    const [one, two] = [schema1Of('shared layers', 'one'), schema1Of('shared layers', 'two')];
    const repository = await synced({ one, two });
    const tags = await units(repository, 'tags', 'name');
    assert.deepEqual(await present(repository), { blob: 1, manifest: 2, tag: 2 });
    await change(`${repository}remove/`, { content_units: [tags.one] });
    assert.deepEqual(await present(repository), { blob: 1, manifest: 1, tag: 1 });
    await change(`${repository}remove/`, { content_units: [tags.two] });
    assert.deepEqual(await present(repository), {});
  });

  it('minds what its own repository has, and nothing else', async () => {
    const [inside, outside] = [simpleImage('inside'), simpleImage('outside')];
    const whole = await synced({ pair: indexOfImages(inside, outside), inside });
    const part = await newRepository();
    await change(`${part}copy_tags/`, { source_repository: whole, names: ['inside'] });
    const tags = await units(part, 'tags', 'name');
    await change(`${part}remove/`, { content_units: [tags.inside] });
    assert.deepEqual(await present(part), {}, 'the index that lists it is elsewhere');
    assert.equal((await present(whole)).manifest, 3);
  });
});

describe('what may be named', () => {
  it('is content that the caller sees', async () => {
    const source = await synced({ hidden: simpleImage('hidden') });
    const { hidden: tag = '' } = await units(source, 'tags', 'name');
    const username = unique('user');
    const { pulp_href: user } = (await app.request('POST', `${API}users/`, { username, password: PASSWORD })).body;
    const role = 'container.containerrepository_creator';
    await app.request('POST', `${user}roles/`, { role, content_object: null });
    const own = await newRepository(`${username}:${PASSWORD}`);
    const add = (action: string) =>
      app.request('POST', `${own}${action}/`, { content_units: [tag] }, { user: `${username}:${PASSWORD}` });
    for (const action of ['add', 'remove']) {
      const { status, body } = await add(action);
      assert.deepEqual([status, body], [400, [`Could not find the following content units: ['${tag}']`]]);
    }
    const viewer = { role: 'container.containerrepository_viewer', users: [username] };
    assert.equal((await app.request('POST', `${source}add_role/`, viewer)).status, 201);
    assert.equal((await add('add')).status, 202);
  });

  it('is a tag that clients can pull', async () => {
    const image = simpleImage('long tags');
    const repository = await synced({ image });
    const tag = (length: number) => app.request('POST', `${repository}tag/`, { tag: 't'.repeat(length), digest: image.digest });
    const { status, body } = await tag(129);
    assert.deepEqual([status, body], [400, { tag: ['A tag has no more than 128 characters.'] }]);
    assert.equal((await app.finished(await tag(128))).state, 'completed');
    assert.equal(await versionOf(repository), 2);
  });

  it('is no version of another kind of repository', async () => {
    const trees = (await app.request('POST', `${API}repositories/ostree/ostree/`, { name: unique('trees') })).body.pulp_href;
    const version = `${trees}versions/0/`;
    const answer = await app.request('POST', `${await newRepository()}copy_tags/`, { source_repository_version: version });
    assert.deepEqual(
      [answer.status, answer.body],
      [400, { source_repository_version: [`${version} is a version of another kind of repository than this one.`] }],
    );
  });
});
