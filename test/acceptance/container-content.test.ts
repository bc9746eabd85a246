import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gate } from '../queue/gate.ts';
import { indexOfImages, simpleImage } from '../support/images.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { openServer, type Server, unique } from './server.ts';
import { API, Images } from './synced-images.ts';

const ADD = 'pulp_container.app.tasks.recursive_add.recursive_add_content';
const REMOVE = 'pulp_container.app.tasks.recursive_remove.recursive_remove_content';
const TAG = 'pulp_container.app.tasks.tag.tag_image';
const UNTAG = 'pulp_container.app.tasks.untag.untag_image';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Two images, and two indexes that share one more. */
const words = unique('content');
const a = simpleImage(`${words} a`);
const b = simpleImage(`${words} b`);
const shared = simpleImage(`${words} shared`);
const child = simpleImage(`${words} child`);
const pair = indexOfImages(shared, child);
const single = indexOfImages(shared);

let server: Server;
let upstream: Upstream;
let images: Images;
let source: Awaited<ReturnType<Images['synced']>>;
before(async () => {
  [server, upstream] = [await openServer(), await startUpstream()];
  images = new Images(server, upstream);
  source = await images.synced({ a, b, pair, single, again: a });
});
after(async () => {
  await server?.stop();
  await upstream?.stop();
});

const unit = (kind: 'tags' | 'manifests' | 'blobs', key: string): string => {
  const href = source[kind][key];
  assert.ok(href, `${kind} ${key}`);
  return href;
};
const tagUnit = (name: string) => unit('tags', name);
const manifestUnit = ({ digest }: { digest: string }) => unit('manifests', digest);
const lockOf = (repository: string): string => `prn:container.containerrepository:${repository.split('/').at(-2)}`;
const locks = (task: { reserved_resources_record: string[] }): string[] =>
  task.reserved_resources_record.filter((lock) => !lock.includes('core.domain'));
/** A new repository with a copy of all tags. */
async function copyOfAll(): Promise<string> {
  const repository = await images.newRepository();
  await images.change(`${repository}copy_tags/`, { source_repository: source.repository });
  return repository;
}
const remove = (repository: string, ...content_units: string[]) => images.change(`${repository}remove/`, { content_units });
/** A change that changes nothing makes no version. */
const nothing = (task: { created_resources: string[]; result: unknown }) =>
  assert.deepEqual([task.created_resources, task.result], [[], null]);

describe('add', () => {
  it('brings what the units consist of, once', async () => {
    const repository = await images.newRepository();
    const task = await images.change(`${repository}add/`, { content_units: [tagUnit('a')] });
    assert.deepEqual([task.name, task.created_resources, task.result], [ADD, [`${repository}versions/1/`], null]);
    assert.deepEqual(locks(task), [lockOf(repository)]);
    assert.deepEqual((await images.counts(`${repository}versions/1/`)).added, { blob: 2, manifest: 1, tag: 1 });
    nothing(await images.change(`${repository}add/`, { content_units: [tagUnit('a')] }));
    const more = [manifestUnit(pair), unit('blobs', b.blobs[0]?.digest ?? '')];
    await images.change(`${repository}add/`, { content_units: more });
    assert.deepEqual((await images.latest(repository)).added, { blob: 5, manifest: 3 });
  });

  it('takes PRNs, and nothing at all', async () => {
    const repository = await images.newRepository();
    const { prn } = (await server.request('GET', tagUnit('b'))).body;
    await images.change(`${repository}add/`, { content_units: [prn] });
    assert.deepEqual(await images.tagsOf(repository), { b: b.digest });
    nothing(await images.change(`${repository}add/`, {}));
    nothing(await images.change(`${repository}add/`, { content_units: [] }));
  });

  it('moves a tag whose name is there', async () => {
    const [repository, other] = [await images.newRepository(), await copyOfAll()];
    await images.change(`${repository}add/`, { content_units: [tagUnit('a')] });
    const moved = (await images.change(`${other}tag/`, { tag: 'a', digest: b.digest })).created_resources[1];
    await images.change(`${repository}add/`, { content_units: [moved] });
    assert.deepEqual(await images.tagsOf(repository), { a: b.digest });
    const { added, removed } = await images.latest(repository);
    assert.deepEqual([added, removed], [{ blob: 2, manifest: 1, tag: 1 }, { tag: 1 }]);
    const two = await images.newRepository();
    const both = await images.ended(await server.request('POST', `${two}add/`, { content_units: [moved, tagUnit('a')] }));
    assert.deepEqual([both.state, both.error.error_code, both.created_resources], ['failed', 'PLP0022', []]);
  });

  it('queues where many are asked for at once', async () => {
    const repository = await images.newRepository();
    const asked = ['a', 'b', 'pair', 'single', 'again'].map((name) =>
      server.request('POST', `${repository}add/`, { content_units: [tagUnit(name)] }),
    );
    const tasks = await Promise.all(asked.map(async (answer) => images.ended(await answer)));
    assert.deepEqual(
      tasks.map(({ state }) => state),
      asked.map(() => 'completed'),
    );
    assert.deepEqual(
      tasks.flatMap(({ created_resources }) => created_resources).sort(),
      [1, 2, 3, 4, 5].map((number) => `${repository}versions/${number}/`),
    );
    assert.deepEqual((await images.latest(repository)).present, { blob: 8, manifest: 6, tag: 5 });
  });

  it('fails where the repository is deleted before its turn', async () => {
    const repository = await images.newRepository();
    const { remote, name } = await images.remoteOf({ late: a });
    const answers = gate();
    upstream.fault({ repository: name, fault: { deliver: { held: { until: answers.passed } } } });
    const sync = await server.request('POST', `${repository}sync/`, { remote });
    const deletion = await server.request('DELETE', repository);
    const late = await server.request('POST', `${repository}add/`, { content_units: [tagUnit('a')] });
    answers.open();
    const ends = [await images.ended(sync), await images.ended(deletion), await images.ended(late)];
    assert.deepEqual(
      ends.map(({ state }) => state),
      ['completed', 'completed', 'failed'],
    );
    assert.match(ends[2].error.description, /does not exist/);
    assert.deepEqual(ends[2].created_resources, []);
  });
});

describe('remove', () => {
  it('takes along what nothing else needs', async () => {
    const repository = await copyOfAll();
    const one = await remove(repository, tagUnit('again'));
    assert.deepEqual([one.name, one.created_resources, one.result], [REMOVE, [`${repository}versions/2/`], null]);
    assert.deepEqual(locks(one), [lockOf(repository)]);
    assert.deepEqual((await images.latest(repository)).removed, { tag: 1 }, 'the image has another tag');
    await remove(repository, tagUnit('pair'));
    assert.deepEqual((await images.latest(repository)).removed, { blob: 2, manifest: 2, tag: 1 }, 'the shared child stays');
    await remove(repository, tagUnit('single'));
    assert.deepEqual((await images.latest(repository)).removed, { blob: 2, manifest: 2, tag: 1 }, 'the shared child goes');
    await remove(repository, tagUnit('a'));
    const { removed, present } = await images.latest(repository);
    assert.deepEqual(
      [removed, present],
      [
        { blob: 2, manifest: 1, tag: 1 },
        { blob: 2, manifest: 1, tag: 1 },
      ],
    );
    nothing(await remove(repository, tagUnit('a')));
  });

  it('leaves what something else needs, though it be named', async () => {
    const repository = await copyOfAll();
    nothing(await remove(repository, manifestUnit(a)));
    nothing(await remove(repository, manifestUnit(pair)));
    nothing(await remove(repository, manifestUnit(child), manifestUnit(shared)));
    nothing(await remove(repository, unit('blobs', a.blobs[0]?.digest ?? '')));
    await remove(repository, manifestUnit(a), tagUnit('a'), tagUnit('again'));
    assert.deepEqual((await images.latest(repository)).removed, { blob: 2, manifest: 1, tag: 2 });
  });

  it('removes manifests and blobs that are named and stand alone', async () => {
    const repository = await images.newRepository();
    await images.change(`${repository}copy_manifests/`, { source_repository: source.repository });
    assert.deepEqual((await images.latest(repository)).present, { blob: 8, manifest: 6 });
    await remove(repository, manifestUnit(pair));
    assert.deepEqual((await images.latest(repository)).removed, { blob: 2, manifest: 2 });
    await remove(repository, manifestUnit(a), unit('blobs', b.blobs[0]?.digest ?? ''));
    assert.deepEqual((await images.latest(repository)).removed, { blob: 2, manifest: 1 });
    const blob = unit('blobs', a.blobs[0]?.digest ?? '');
    await images.change(`${repository}add/`, { content_units: [blob] });
    await remove(repository, blob);
    assert.deepEqual((await images.latest(repository)).removed, { blob: 1 });
  });

  it('takes * for everything', async () => {
    const repository = await copyOfAll();
    await remove(repository, '*');
    const { removed, present } = await images.latest(repository);
    assert.deepEqual([removed, present], [{ blob: 8, manifest: 6, tag: 5 }, {}]);
    nothing(await remove(repository, '*'));
  });
});

describe('copy_tags', () => {
  it('copies all tags with what they name, or those that are named', async () => {
    const repository = await images.newRepository();
    const body = { source_repository: source.repository, names: ['a', 'nope'] };
    const task = await images.change(`${repository}copy_tags/`, body);
    assert.deepEqual([task.name, task.created_resources], [ADD, [`${repository}versions/1/`]]);
    assert.deepEqual(locks(task), [lockOf(repository), `shared:${lockOf(source.repository)}`]);
    assert.deepEqual(await images.tagsOf(repository), { a: a.digest });
    nothing(await images.change(`${repository}copy_tags/`, { source_repository: source.repository, names: [] }));
    await images.change(`${repository}copy_tags/`, { source_repository: source.repository });
    assert.deepEqual((await images.latest(repository)).present, { blob: 8, manifest: 6, tag: 5 });
    nothing(await images.change(`${repository}copy_tags/`, { source_repository: repository }));
  });

  it('copies from a version that is no longer the latest', async () => {
    const [repository, moving] = [await images.newRepository(), await copyOfAll()];
    await images.change(`${moving}tag/`, { tag: 'a', digest: b.digest });
    const version = `${moving}versions/1/`;
    await images.change(`${repository}copy_tags/`, { source_repository_version: version, names: ['a'] });
    assert.deepEqual(await images.tagsOf(repository), { a: a.digest });
    await images.change(`${repository}copy_tags/`, { source_repository: moving, names: ['a'] });
    assert.deepEqual(await images.tagsOf(repository), { a: b.digest }, 'the tag moves');
    nothing(await images.change(`${repository}copy_tags/`, { source_repository_version: `${moving}versions/0/` }));
  });
});

describe('copy_manifests', () => {
  it('copies manifests without their tags, all or by digest and media type', async () => {
    const repository = await images.newRepository();
    const copy = (filters: object) =>
      images.change(`${repository}copy_manifests/`, { source_repository: source.repository, ...filters });
    assert.equal((await copy({ digests: [pair.digest, 'sha256:00'] })).name, ADD);
    assert.deepEqual((await images.latest(repository)).added, { blob: 4, manifest: 3 });
    nothing(await copy({ digests: [a.digest], media_types: [INDEX] }));
    nothing(await copy({ digests: [] }));
    nothing(await copy({ media_types: [] }));
    await copy({ digests: [a.digest, single.digest], media_types: [MANIFEST] });
    assert.deepEqual((await images.latest(repository)).added, { blob: 2, manifest: 1 });
    await copy({});
    assert.deepEqual((await images.latest(repository)).present, { blob: 8, manifest: 6 });
    assert.deepEqual(await images.tagsOf(repository), {});
  });
});

describe('tag and untag', () => {
  it('names a manifest, moves the name, and takes it away again', async () => {
    const repository = await copyOfAll();
    const task = await images.change(`${repository}tag/`, { tag: 'new', digest: a.digest });
    const [version, tag] = task.created_resources;
    assert.deepEqual([task.name, version, task.result], [TAG, `${repository}versions/2/`, null]);
    assert.deepEqual(locks(task), [lockOf(repository)]);
    const { body } = await server.request('GET', tag);
    assert.deepEqual([body.name, body.tagged_manifest], ['new', manifestUnit(a)]);
    nothing(await images.change(`${repository}tag/`, { tag: 'new', digest: a.digest }));
    await images.change(`${repository}tag/`, { tag: 'new', digest: pair.digest });
    const moved = await images.latest(repository);
    assert.deepEqual([moved.added, moved.removed], [{ tag: 1 }, { tag: 1 }]);
    assert.equal((await images.tagsOf(repository)).new, pair.digest);
    const untagged = await images.change(`${repository}untag/`, { tag: 'new' });
    assert.deepEqual([untagged.name, untagged.created_resources], [UNTAG, [`${repository}versions/4/`]]);
    assert.deepEqual((await images.latest(repository)).removed, { tag: 1 }, 'the manifest stays');
  });

  it('shares a tag that another repository has', async () => {
    const [one, two] = [await copyOfAll(), await copyOfAll()];
    const name = unique('both');
    const [, made] = (await images.change(`${one}tag/`, { tag: name, digest: a.digest })).created_resources;
    const task = await images.change(`${two}tag/`, { tag: name, digest: a.digest });
    assert.deepEqual(task.created_resources, [`${two}versions/2/`], 'the unit is there already');
    await images.change(`${one}untag/`, { tag: name });
    assert.deepEqual([(await images.tagsOf(one))[name], (await images.tagsOf(two))[name]], [undefined, a.digest]);
    assert.equal((await server.request('GET', made)).status, 200);
  });
});

describe('versions of images', () => {
  it('are squashed into the next one when they are deleted', async () => {
    const repository = await images.newRepository();
    for (const name of ['a', 'pair'])
      await images.change(`${repository}copy_tags/`, { source_repository: source.repository, names: [name] });
    await images.change(`${repository}untag/`, { tag: 'a' });
    const destroy = async (number: number) => {
      const task = await images.ended(await server.request('DELETE', `${repository}versions/${number}/`));
      assert.deepEqual([task.name, task.state], ['pulpcore.app.tasks.repository.delete_version', 'completed']);
    };
    await destroy(2);
    assert.deepEqual(await images.counts(`${repository}versions/3/`), {
      added: { blob: 4, manifest: 3, tag: 1 },
      removed: { tag: 1 },
      present: { blob: 6, manifest: 4, tag: 1 },
    });
    await destroy(3);
    assert.deepEqual(await images.tagsOf(repository), { a: a.digest });
    await images.change(`${repository}tag/`, { tag: 'b', digest: a.digest });
    assert.equal((await images.latest(repository)).number, 4);
  });

  it('are kept while they are served, be it as the latest of their repository', async () => {
    const repository = await copyOfAll();
    await images.change(`${repository}untag/`, { tag: 'a' });
    const serve = async (what: object): Promise<string> => {
      const name = unique('served');
      const made = await server.request('POST', `${API}distributions/container/container/`, { name, base_path: name, ...what });
      return (await images.ended(made)).created_resources[0];
    };
    const refused = async (number: number) => {
      const { status, body } = await server.request('DELETE', `${repository}versions/${number}/`);
      assert.deepEqual(
        [status, body],
        [
          400,
          [
            'The repository version cannot be deleted because it (or its publications) are currently being used to distribute content. Please update the necessary distributions first.',
          ],
        ],
      );
    };
    await serve({ repository });
    await serve({ repository_version: `${repository}versions/1/` });
    await refused(2);
    await refused(1);
    assert.equal((await images.ended(await server.request('DELETE', `${repository}versions/0/`))).state, 'completed');
  });

  it('are repaired, by a task that shares the repository', async () => {
    const repository = await copyOfAll();
    const task = await images.change(`${repository}versions/1/repair/`, { verify_checksums: true });
    assert.equal(task.name, 'pulpcore.app.tasks.repository.repair_version');
    assert.deepEqual(locks(task), [`shared:${lockOf(repository)}`]);
    assert.deepEqual(
      task.progress_reports.map((report: { code: string; done: number }) => [report.code, report.done]).sort(),
      ['corrupted', 'missing', 'repaired'].map((what) => [`repair.${what}`, 0]),
    );
    const absent = await server.request('POST', `${repository}versions/9/repair/`, {});
    assert.deepEqual([absent.status, absent.body], [404, { detail: 'No RepositoryVersion matches the given query.' }]);
    const versions = await server.request('GET', `${API}repository_versions/?content=${tagUnit('a')}&limit=1000`);
    assert.ok(versions.body.results.some((version: { pulp_href: string }) => version.pulp_href === `${repository}versions/1/`));
  });
});
