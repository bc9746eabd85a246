import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { descriptorOf, type ImageContent, indexOf } from '../../src/demo/image.ts';
import { atomicSigner } from '../support/atomic-signature.ts';
import { artifactOf, companionTag, cosignSignatureOf, referrersIndexOf, simpleImage, simpleIndex } from '../support/images.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { change, type EndedSync, type RemoteRow, type SyncRig, startSyncRig } from './sync-rig.ts';

let rig: SyncRig;
/** Has the Referrers API. */
let upstream: Upstream;
/** Has none. */
let older: Upstream;
before(async () => {
  rig = await startSyncRig();
  upstream = await startUpstream({ referrers: true, referrersPageSize: 2 });
  older = await startUpstream();
});
afterEach(() => {
  upstream.clearFaults();
  older.clearFaults();
});
after(async () => {
  await rig?.close();
  await upstream?.stop();
  await older?.stop();
});

const referrerOf = (subject: ImageContent, text: string): ImageContent =>
  artifactOf({
    artifactType: 'text/plain',
    subject: descriptorOf(subject, subject.mediaType),
    files: [{ mediaType: 'text/plain', content: text }],
  });

/** The digests of the manifests in the latest version. */
async function manifests(repositoryId: string): Promise<string[]> {
  const rows = await rig.services.db.query<{ digest: string }>(sql`
    select m.digest from repository_content rc join container_manifest m on m.id = rc.content_id
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null order by m.digest`);
  return rows.map(({ digest }) => digest);
}

const digestsOf = (...images: readonly ImageContent[]): string[] => images.map(({ digest }) => digest).sort();

interface Mirror {
  readonly repository: string;
  sync(options?: { mirror?: boolean; signed_only?: boolean }): Promise<EndedSync>;
  manifests(): Promise<string[]>;
  /** Lets a day go by, as far as the repository knows. */
  age(): Promise<void>;
}

async function mirrorOf(row: Partial<RemoteRow> & { upstream_name: string }): Promise<Mirror> {
  const repository = await rig.repository();
  const remote = await rig.remote({ url: upstream.url, ...row });
  return {
    repository,
    sync: async (options) => {
      const task = await rig.sync(repository, remote, options);
      assert.equal(task.state, 'completed', task.error?.description);
      return task;
    },
    manifests: () => manifests(repository),
    age: async () => {
      await rig.services.db.execute(sql`
        update container_repository set referrers_asked = referrers_asked - interval '24 hours' where id = ${repository}::uuid`);
    },
  };
}

describe('the referrers that a sync brings', () => {
  it('are those of images, indexes and the images in them, and those of referrers, on all pages', async () => {
    const name = 'all';
    const image = simpleImage('all');
    const index = simpleIndex('all');
    const [child] = index.children as [ImageContent];
    const ofImage = ['a', 'b', 'c'].map((text) => referrerOf(image, text));
    const ofIndex = indexOf({ entries: [{ content: simpleImage('in a set') }], subject: descriptorOf(index, index.mediaType) });
    const ofChild = referrerOf(child, 'child');
    const signature = referrerOf(ofChild, 'signature of what refers to a child');
    const stranger = referrerOf(simpleImage('not selected'), 'stranger');
    upstream.put(name, image, 'image');
    upstream.put(name, index, 'index');
    for (const content of [...ofImage, ofIndex, ofChild, signature, stranger]) upstream.put(name, content);
    const mirror = await mirrorOf({ upstream_name: name });
    const task = await mirror.sync();
    const expected = [image, index, ...index.children, ...ofImage, ofIndex, ...ofIndex.children, ofChild, signature];
    assert.deepEqual(await mirror.manifests(), digestsOf(...expected));
    assert.equal(change(task, 'present').tag, 2);
    const report = task.progress_reports.find(({ message }) => message === 'Processing Referrers');
    assert.deepEqual([report?.state, report?.done, report?.total], ['completed', 6, 6]);
    assert.equal((await mirror.sync({ mirror: true })).result, null);
  });

  it('come where tags are filtered, too, also by digest alone', async () => {
    const name = 'filtered';
    const [wanted, other] = [simpleImage('wanted'), simpleImage('other')];
    const referrer = referrerOf(wanted, 'wanted');
    const signature = cosignSignatureOf(referrer);
    upstream.put(name, wanted, 'wanted');
    upstream.put(name, other, 'other');
    upstream.put(name, referrer);
    upstream.put(name, referrerOf(other, 'other'));
    upstream.put(name, signature, companionTag(referrer.digest, '.sig'));
    for (const includes of [['want*'], ['w*', wanted.digest]]) {
      const mirror = await mirrorOf({ upstream_name: name, includes });
      await mirror.sync({ mirror: true });
      assert.deepEqual(await mirror.manifests(), digestsOf(wanted, referrer, signature));
    }
    const exact = await mirrorOf({ upstream_name: name, includes: [wanted.digest] });
    await exact.sync();
    assert.deepEqual(await exact.manifests(), digestsOf(wanted, referrer));
  });

  it('go with their subjects, and when they are gone upstream, where the sync mirrors', async () => {
    const name = 'gone';
    const [one, two] = [simpleImage('gone one'), simpleImage('gone two')];
    const [ofOne, ofTwo, another] = [referrerOf(one, 'one'), referrerOf(two, 'two'), referrerOf(two, 'another')];
    upstream.put(name, one, 'one');
    upstream.put(name, two, 'two');
    for (const content of [ofOne, ofTwo, another]) upstream.put(name, content);
    const additive = await mirrorOf({ upstream_name: name });
    const mirror = await mirrorOf({ upstream_name: name });
    for (const each of [additive, mirror]) {
      await each.sync({ mirror: each === mirror });
      assert.deepEqual(await each.manifests(), digestsOf(one, two, ofOne, ofTwo, another));
    }
    upstream.content.lose(name, another.digest);
    upstream.removeTag(name, 'one');
    assert.equal((await additive.sync()).result, null);
    await mirror.sync({ mirror: true });
    assert.deepEqual(await mirror.manifests(), digestsOf(two, ofTwo));
  });

  it('are taken with images that are wanted signed', async () => {
    const name = 'signed';
    const [signed, unsigned] = [simpleImage('signed'), simpleImage('unsigned')];
    const [referrer, other] = [referrerOf(signed, 'signed'), referrerOf(unsigned, 'unsigned')];
    upstream.put(name, signed, 'signed');
    upstream.put(name, unsigned, 'unsigned');
    upstream.put(name, referrer);
    upstream.put(name, other);
    const signer = atomicSigner('referrers');
    upstream.content.addLookasideSignature(name, signed.digest, signer.sign(`registry.example/${name}`, signed.digest));
    const mirror = await mirrorOf({ upstream_name: name, sigstore: `${upstream.url}/sigstore` });
    await mirror.sync({ signed_only: true });
    assert.deepEqual(await mirror.manifests(), digestsOf(signed, referrer));
    const cosigned = cosignSignatureOf(signed);
    upstream.put(name, cosigned, companionTag(signed.digest, '.sig'));
    const companions = await mirrorOf({ upstream_name: name });
    await companions.sync({ signed_only: true });
    assert.deepEqual(await companions.manifests(), digestsOf(signed, referrer, cosigned));
  });

  it('are left out where the list is wrong about them, and fail the sync where it cannot be read', async () => {
    const name = 'wrong';
    const image = simpleImage('wrong');
    const foreign = referrerOf(simpleImage('another subject'), 'foreign');
    const good = referrerOf(image, 'good');
    upstream.put(name, image, 'latest');
    upstream.put(name, foreign);
    upstream.put(name, good);
    const entry = (content: ImageContent) => ({
      mediaType: content.mediaType,
      digest: content.digest,
      size: content.bytes.length,
    });
    const answer = (manifests: object[]) => ({
      answer: {
        status: 200,
        headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
        body: JSON.stringify({ schemaVersion: 2, manifests }),
      },
    });
    const absent = { ...entry(image), digest: `sha256:${'7'.repeat(64)}` };
    const unknown = { ...absent, mediaType: 'application/vnd.cncf.oras.artifact.manifest.v1+json' };
    upstream.fault({ kind: 'referrers', repository: name, fault: answer([entry(foreign), absent, unknown, entry(good)]) });
    const mirror = await mirrorOf({ upstream_name: name });
    await mirror.sync();
    assert.deepEqual(await mirror.manifests(), digestsOf(image, good));
    upstream.clearFaults();
    upstream.fault({ kind: 'referrers', repository: name, fault: answer([{ digest: 'latest' }]) });
    const failed = await rig.sync(await rig.repository(), await rig.remote({ url: upstream.url, upstream_name: name }));
    assert.equal(failed.state, 'failed');
    assert.match(
      failed.error?.description ?? '',
      /list of referrers .*\/v2\/wrong\/referrers\/sha256:.* cannot be read.*of wrong at/,
    );
  });

  it('are followed four steps and no further', async () => {
    const name = 'deep';
    const chain = [simpleImage('deep')];
    for (let n = 1; n <= 5; n += 1) chain.push(referrerOf(chain.at(-1) as ImageContent, `step ${n}`));
    upstream.put(name, chain[0] as ImageContent, 'latest');
    for (const content of chain.slice(1)) upstream.put(name, content);
    const mirror = await mirrorOf({ upstream_name: name });
    await mirror.sync();
    assert.deepEqual(await mirror.manifests(), digestsOf(...chain.slice(0, 5)));
  });

  it('come from fallback tags where the upstream has no API, with and without a filter', async () => {
    const name = 'fallback';
    const [image, other] = [simpleImage('fallback'), simpleImage('fallback other')];
    const referrer = referrerOf(image, 'fallback');
    const list = referrersIndexOf([{ content: referrer, artifactType: 'text/plain' }]);
    older.put(name, image, 'latest');
    older.put(name, other, 'other');
    older.put(name, list, companionTag(image.digest, ''));
    for (const includes of [undefined, ['latest'], ['late*']]) {
      const mirror = await mirrorOf({ url: older.url, upstream_name: name, ...(includes ? { includes } : {}) });
      await mirror.sync();
      const expected = includes ? [image, referrer, list] : [image, other, referrer, list];
      assert.deepEqual(await mirror.manifests(), digestsOf(...expected));
    }
  });
});

describe('what the referrers cost', () => {
  it('is one question at an upstream without the API, once a day', async () => {
    const name = 'asked-once';
    for (const tag of ['a', 'b', 'c']) older.put(name, simpleIndex(`asked once ${tag}`), tag);
    const mirror = await mirrorOf({ url: older.url, upstream_name: name });
    older.requests.reset();
    await mirror.sync();
    assert.equal(older.requests.count('GET', 'referrers'), 1);
    older.put(name, simpleImage('asked once more'), 'd');
    await mirror.sync();
    await mirror.sync({ mirror: true });
    assert.equal(older.requests.count('GET', 'referrers'), 1);
    await mirror.age();
    assert.equal((await mirror.sync()).result, null);
    assert.equal(older.requests.count('GET', 'referrers'), 2);
  });

  it('is a question for each manifest at first, and then for new ones only, as long as there are no referrers', async () => {
    const name = 'economy';
    const images = ['a', 'b', 'c'].map((text) => simpleImage(`economy ${text}`));
    for (const [at, image] of images.entries()) upstream.put(name, image, `t${at}`);
    const mirror = await mirrorOf({ upstream_name: name });
    const questions = async (): Promise<number> => {
      upstream.requests.reset();
      await mirror.sync({ mirror: true });
      return upstream.requests.count('GET', 'referrers');
    };
    assert.equal(await questions(), 3);
    assert.equal(await questions(), 0);
    upstream.put(name, simpleImage('economy new'), 'new');
    assert.equal(await questions(), 1);
    const [first] = images as [ImageContent];
    const referrer = referrerOf(first, 'late');
    upstream.put(name, referrer);
    assert.equal(await questions(), 0);
    await mirror.age();
    // Four images, and the referrer that the first one has by now.
    assert.equal(await questions(), 5);
    assert.ok((await mirror.manifests()).includes(referrer.digest));
    // From here on there are referrers that may change.
    assert.equal(await questions(), 5);
  });

  it('is no GET of what the server has through another repository', async () => {
    const name = 'twice';
    const image = simpleImage('twice');
    const referrer = referrerOf(image, 'twice');
    upstream.put(name, image, 'latest');
    upstream.put(name, referrer);
    const one = await mirrorOf({ upstream_name: name });
    await one.sync();
    upstream.requests.reset();
    const two = await mirrorOf({ upstream_name: name });
    await two.sync();
    assert.deepEqual(await two.manifests(), digestsOf(image, referrer));
    assert.equal(upstream.requests.count('GET', 'manifest') + upstream.requests.count('GET', 'blob'), 0);
  });

  it('begins anew with another remote, and with another place of the same', async () => {
    const name = 'moved';
    const image = simpleImage('moved');
    const referrer = referrerOf(image, 'moved');
    older.put(name, image, 'latest');
    upstream.put(name, image, 'latest');
    upstream.put(name, referrer);
    const repository = await rig.repository();
    const first = await rig.remote({ url: older.url, upstream_name: name });
    await rig.sync(repository, first);
    await rig.sync(repository, await rig.remote({ url: upstream.url, upstream_name: name }));
    assert.deepEqual(await manifests(repository), digestsOf(image, referrer));
    const another = await rig.repository();
    await rig.sync(another, first);
    await rig.services.db.execute(sql`
      update remote set url = ${upstream.url}, pulp_last_updated = now() where id = ${first}::uuid`);
    await rig.sync(another, first);
    assert.deepEqual(await manifests(another), digestsOf(image, referrer));
  });

  it('is no failure where the registry refuses the path, whatever it says', async () => {
    const name = 'refusing';
    const image = simpleImage('refusing');
    older.put(name, image, 'latest');
    const page = { answer: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html></html>' } };
    for (const fault of [FAULTS.status(400), FAULTS.status(401), FAULTS.status(403), FAULTS.status(405), page]) {
      const active = older.fault({ kind: 'referrers', repository: name, fault });
      const mirror = await mirrorOf({ url: older.url, upstream_name: name });
      await mirror.sync();
      assert.deepEqual(await mirror.manifests(), digestsOf(image));
      active.clear();
    }
    older.fault({ kind: 'referrers', repository: name, fault: FAULTS.status(500) });
    const failed = await rig.sync(await rig.repository(), await rig.remote({ url: older.url, upstream_name: name }));
    assert.equal(failed.state, 'failed');
    assert.match(failed.error?.description ?? '', /500.*\/referrers\/.*\(referrers of sha256:\w+ of refusing at /);
  });
});

it('a repository that was mirrored into is marked, also where nothing has changed, and not where the sync failed', async () => {
  const marked = async (id: string): Promise<unknown> =>
    (await rig.services.db.query<{ mirrored: boolean }>(sql`select mirrored from container_repository where id = ${id}::uuid`))[0]
      ?.mirrored;
  upstream.put('marked', simpleImage('marked'), 'latest');
  const [full, empty, failed] = [await rig.repository(), await rig.repository(), await rig.repository()];
  assert.equal(await marked(full), false);
  await rig.sync(full, await rig.remote({ url: upstream.url, upstream_name: 'marked' }));
  assert.equal(await marked(full), true);
  const nothing = await rig.sync(empty, await rig.remote({ url: upstream.url, upstream_name: 'marked', includes: ['none*'] }));
  assert.deepEqual([nothing.state, nothing.result], ['completed', null]);
  assert.equal(await marked(empty), true);
  const broken = await rig.sync(failed, await rig.remote({ url: upstream.url, upstream_name: 'unknown' }));
  assert.equal(broken.state, 'failed');
  assert.equal(await marked(failed), false);
});
