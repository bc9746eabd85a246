import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../../src/db/sql.ts';
import { artifactKey } from '../../../src/storage/layout.ts';
import { type ImportWorld, startImportWorld } from '../../ostree/import/import-world.ts';
import { change } from '../../ostree/sync/sync-world.ts';
import type { Answer } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';
import type { OstreeFixture } from '../../support/ostree-fixtures.ts';
import type { OstreeUpstream } from '../../support/upstream-ostree.ts';
import { age, completed, digestOf, someoneWaits } from './upkeep-world.ts';

const API = '/pulp/api/v3/';

describe('what something waits for', { skip: missing('ostree') }, () => {
  let world: ImportWorld;
  let upstream: OstreeUpstream;
  let fixture: OstreeFixture;
  let remote: string;
  before(async () => {
    world = await startImportWorld();
    ({ fixture, upstream } = await world.upstream('small'));
    remote = await world.remote(upstream.url);
  });
  after(() => world?.stop());
  /** Of what a test that has failed still holds. */
  let release = (): void => undefined;
  afterEach(() => {
    upstream?.clearFaults();
    release();
  });

  const cleanup = (body: object = { orphan_protection_time: 0 }) => world.app.run(`${API}orphans/cleanup/`, body);
  const ask = async (method: string, path: string, body?: object): Promise<Answer> => {
    const answer = await world.app.request(method, path, body);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    return answer;
  };
  const forget = async (repository: string) => completed(await world.app.finished(await ask('DELETE', repository)));

  /** A sync of the repository that goes on until it is released; answers its task at the end. */
  async function hold(repository: string): Promise<() => Promise<Answer['body']>> {
    const until = new Promise<void>((resolve) => (release = resolve));
    const fault = upstream.fault({ fault: { deliver: { held: { until } } } });
    const running = await ask('POST', `${repository}sync/`, { remote });
    return () => {
      fault.clear();
      release();
      return world.app.finished(running);
    };
  }

  const stateOf = async ({ body }: Answer): Promise<string> => (await world.app.request('GET', body.task)).body.state;

  it('is a tar that is to be imported', async () => {
    const artifact = await world.tarOf(fixture.path);
    await age(world.app);
    const repository = await world.repository();
    const released = await hold(repository);
    const repository_name = fixture.path.split('/').at(-1);
    const importing = await ask('POST', `${repository}import_all/`, { artifact, repository_name });
    completed(await cleanup());
    assert.equal(await stateOf(importing), 'waiting');
    assert.equal((await world.app.request('GET', artifact)).status, 200);
    completed(await released());
    completed(await world.app.finished(importing));
    await forget(repository);
  });

  it('is the file of a unit that is to be made', async () => {
    const bytes = Buffer.from('a file of which a unit is made');
    const artifact = await world.upload(bytes);
    await age(world.app);
    const repository = await world.repository();
    const released = await hold(repository);
    const digest = digestOf(bytes).slice('sha256:'.length);
    const making = await ask('POST', `${API}content/ostree/content/`, {
      artifact,
      digest,
      repository,
      relative_path: 'extra/file',
    });
    completed(await cleanup());
    assert.equal(await stateOf(making), 'waiting');
    completed(await released());
    completed(await world.app.finished(making));
    const served = await fetch(`${await world.distribute(repository)}extra/file`);
    assert.equal(await served.text(), String(bytes));
  });

  it('is a version of another repository, from which a modification starts', async () => {
    const [source, target] = [await world.repository(), await world.repository()];
    const first = completed(await world.sync(source, remote));
    const [version] = first.created_resources;
    const all = await world.units('refs', version);
    assert.ok(all.length > 1);
    completed(await world.app.run(`${source}modify/`, { remove_content_units: [all[0].pulp_href] }));
    const released = await hold(target);
    const modifying = await ask('POST', `${target}modify/`, { base_version: version });
    const deleting = await ask('DELETE', version);
    // A task that comes later, and is not in their way.
    completed(await cleanup());
    assert.deepEqual([await stateOf(modifying), await stateOf(deleting)], ['waiting', 'waiting']);
    completed(await released());
    const modified = completed(await world.app.finished(modifying));
    completed(await world.app.finished(deleting));
    assert.equal((await world.app.request('GET', version)).status, 404);
    const latest = modified.created_resources[0] ?? `${target}versions/1/`;
    assert.deepEqual((await world.units('refs', latest)).map(({ name }) => name).sort(), all.map(({ name }) => name).sort());
  });

  it('is a version on which a sync builds, which is deleted meanwhile', async () => {
    const repository = await world.repository();
    const whole = completed(await world.sync(repository, remote));
    const [first] = whole.created_resources;
    const [ref] = await world.units('refs', first);
    completed(await world.app.run(`${repository}modify/`, { remove_content_units: [ref.pulp_href] }));
    const released = await hold(repository);
    const deleting = await ask('DELETE', `${repository}versions/2/`);
    completed(await cleanup());
    assert.equal(await stateOf(deleting), 'waiting');
    const synced = completed(await released());
    completed(await world.app.finished(deleting));
    assert.deepEqual(change(synced, 'present'), change(whole, 'present'));
    completed(await cleanup());
    assert.deepEqual(
      (await world.units('objects', `${repository}versions/3/`)).length,
      (await world.units('objects', first)).length,
    );
  });

  it('is the commit of a ref', async () => {
    // Of a kind of its own: no other repository has it.
    const { upstream: other } = await world.upstream('edge');
    const repository = await world.repository();
    const [version] = completed(await world.sync(repository, await world.remote(other.url))).created_resources;
    const refs = await world.units('refs', version);
    const ref = refs.find(({ commit }) => refs.filter((each) => each.commit === commit).length === 1);
    await forget(repository);
    const only = (href: string) => cleanup({ content_hrefs: [href], orphan_protection_time: 0 });
    assert.deepEqual(completed(await only(ref.commit)).result.content, {});
    for (const href of [ref.pulp_href, ref.commit]) assert.equal((await world.app.request('GET', href)).status, 200);
    assert.deepEqual(completed(await only(ref.pulp_href)).result.content, { 'ostree.refs': 1 });
    assert.deepEqual(completed(await only(ref.commit)).result.content, { 'ostree.commit': 1 });
  });

  it('is an upload whose row is about to be written', async () => {
    const bytes = Buffer.from('an upload that a cleanup comes between');
    const { db, storage, domain } = world.app.services;
    const sha256 = digestOf(bytes).slice('sha256:'.length);
    let uploading: Promise<string> | undefined;
    const held = db.transaction(async (tx) => {
      // Where another upload of the same bytes holds it up, and comes to nothing.
      await tx.execute(sql`
        insert into artifact (id, domain_id, file, size, sha256, pulp_last_updated)
        values (gen_random_uuid(), ${domain.id}::uuid, ${artifactKey(sha256)}, ${bytes.byteLength}, ${sha256}, now())`);
      uploading = world.upload(bytes);
      await someoneWaits(db);
      completed(await cleanup());
      throw new Error('the other upload');
    });
    await assert.rejects(held, /the other upload/);
    const { body } = await world.app.request('GET', (await uploading) as string);
    assert.deepEqual(await readFile(storage.localPath(body.file) as string), bytes);
  });
});
