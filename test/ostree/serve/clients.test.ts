import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../queue/eventually.ts';
import { missing } from '../../support/missing.ts';
import { type FixtureKind, type OstreeFixture, ostree, ostreeFixture } from '../../support/ostree-fixtures.ts';
import type { OstreeUpstream } from '../../support/upstream-ostree.ts';
import { type SyncWorld, startSyncWorld } from '../sync/sync-world.ts';
import { OstreeClient } from './ostree-client.ts';

const ALL = { depth: 1000 };

describe('the real client pulls what was synced', { skip: missing('ostree', 'gpg') }, () => {
  let world: SyncWorld;
  let count = 0;

  before(async () => {
    world = await startSyncWorld();
  });
  after(() => world?.stop());

  const place = (): string => join(world.folder, `client-${++count}`);
  const client = (url: string, options?: Parameters<typeof OstreeClient.make>[2]) => OstreeClient.make(place(), url, options);

  interface Served {
    readonly fixture: OstreeFixture;
    readonly upstream: OstreeUpstream;
    readonly repository: string;
    readonly remote: string;
    /** Of the distribution. */
    readonly url: string;
  }

  async function synced(repository: string, remote: string): Promise<string> {
    const task = await world.sync(repository, remote);
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    return task.created_resources[0];
  }

  async function served(kind: FixtureKind, fields: object = {}): Promise<Served> {
    const { fixture, upstream } = await world.upstream(kind);
    const remote = await world.remote(upstream.url, fields);
    const repository = await world.repository();
    await synced(repository, remote);
    return { fixture, upstream, repository, remote, url: await world.distribute(repository) };
  }

  it('by ref, with its history, and everything', async () => {
    const { fixture, url } = await served('small', ALL);
    const one = await client(url);
    await one.pull('deckle', 'stable');
    assert.equal(await one.commitOf('deckle:stable'), fixture.refs.get('stable'));
    assert.equal((await one.history('deckle:stable')).length, 1);
    await one.fsck();

    const deep = await client(url, { mode: 'bare-user-only' });
    await deep.pull('--depth=-1', 'deckle', 'stable');
    assert.equal((await deep.history('deckle:stable')).length, 3);
    await deep.fsck();

    const mirror = await client(url);
    await mirror.pull('--mirror', '--depth=-1', 'deckle');
    for (const [ref, commit] of fixture.refs) assert.equal(await mirror.commitOf(ref), commit);
    await mirror.fsck();
    await assert.rejects(one.pull('deckle', 'nope'));
  });

  it('heads alone, where no more was mirrored', async () => {
    const { fixture, url } = await served('small');
    const deep = await client(url);
    await deep.pull('--mirror', '--depth=-1', 'deckle');
    assert.deepEqual(await deep.history('stable'), [fixture.refs.get('stable')]);
    await deep.fsck();
  });

  it('what a filter has left', async () => {
    const { fixture, url } = await served('small', { exclude_refs: ['raw*'] });
    const mirror = await client(url);
    await mirror.pull('--mirror', 'deckle');
    assert.equal(await mirror.commitOf('stable'), fixture.refs.get('stable'));
    await assert.rejects(mirror.commitOf('rawhide'));
    await mirror.fsck();
  });

  it('what is out of the ordinary', async () => {
    const { fixture, url } = await served('edge', ALL);
    const mirror = await client(url);
    await mirror.pull('--mirror', 'deckle');
    for (const [ref, commit] of fixture.refs) assert.equal(await mirror.commitOf(ref), commit);
    await mirror.fsck();
    const [, detached] = [...fixture.refs].find(([ref]) => ref.startsWith('app/')) as [string, string];
    assert.match(await ostree(mirror.path, 'show', '--print-detached-metadata-key=det.key', detached), /det-value/);
  });

  it('by static deltas alone, from nothing and from the parent', async () => {
    const { fixture, url } = await served('delta', ALL);
    // An archive has no use for deltas.
    const mode = 'bare-user-only';
    const fresh = await client(url, { mode });
    await fresh.pull('--require-static-deltas', 'deckle', 'os/d');
    assert.equal(await fresh.commitOf('deckle:os/d'), fixture.refs.get('os/d'));
    await fresh.fsck();

    const older = await client(url, { mode });
    const parent = (await ostree(fixture.path, 'rev-parse', 'os/d^')).trim();
    await older.pull('--disable-static-deltas', 'deckle', `os/d@${parent}`);
    await older.pull('--require-static-deltas', 'deckle', 'os/d');
    assert.equal(await older.commitOf('deckle:os/d'), fixture.refs.get('os/d'));
    await older.fsck();
  });

  it('with good signatures of commits and summary, and no others', async () => {
    const { fixture, url } = await served('signed', ALL);
    const publicKey = fixture.publicKey as string;
    const careful = await client(url, { publicKey });
    await careful.pull('--depth=-1', 'deckle', 'os/signed');
    assert.equal((await careful.history('deckle:os/signed')).length, 2);
    assert.match(await ostree(careful.path, 'show', 'deckle:os/signed'), /Found 1 signature/);
    await careful.fsck();

    const stranger = await ostreeFixture('signed', place());
    const wary = await client(url, { publicKey: stranger.publicKey as string });
    await assert.rejects(wary.pull('deckle', 'os/signed'), /signature|GPG/i);
  });

  it('on demand: each file once from the upstream, for all clients, and afterwards none', async () => {
    const { fixture, upstream, url } = await served('medium', { policy: 'on_demand' });
    assert.ok(!upstream.paths.some((path) => path.endsWith('.filez')));
    upstream.requests.reset();
    const clients = await Promise.all([client(url), client(url, { mode: 'bare-user-only' }), client(url)]);
    await Promise.all(clients.map((one) => one.pull('--mirror', 'deckle', 'os/stable')));
    for (const one of clients) {
      assert.equal(await one.commitOf('os/stable'), fixture.refs.get('os/stable'));
      await one.fsck();
    }
    assert.ok(upstream.paths.length > 1000);
    assert.ok(upstream.paths.every((path) => path.endsWith('.filez')));
    assert.equal(new Set(upstream.paths).size, upstream.paths.length, 'nothing is asked for twice');
    await upstream.stop();
    const late = await client(url);
    await late.pull('--mirror', 'deckle', 'os/stable');
    await late.fsck();
  });

  it('and is taken back by pinning an earlier version', async () => {
    const { fixture, repository, remote, url } = await served('small', ALL);
    const [first] = (await world.app.request('GET', `${repository}versions/?number=1`)).body.results;
    await ostree(fixture.path, 'reset', 'stable', 'stable^');
    await ostree(fixture.path, 'summary', '--update');
    await synced(repository, remote);
    const [parent, head] = [(await ostree(fixture.path, 'rev-parse', 'stable')).trim(), fixture.refs.get('stable')];
    const one = await client(url);
    const pulls = (commit: string | undefined) =>
      eventually(`${commit} to be pulled`, async () => {
        await one.pull('deckle', 'stable');
        return (await one.commitOf('deckle:stable')) === commit;
      });
    await pulls(parent);
    const base_path = new URL(url).pathname.split('/').at(-2);
    const { body } = await world.app.request('GET', `/pulp/api/v3/distributions/ostree/ostree/?base_path=${base_path}`);
    const [{ pulp_href }] = body.results;
    const serve = (fields: object) => world.app.request('PATCH', pulp_href, fields);
    assert.equal((await serve({ repository: null, repository_version: first.pulp_href })).status, 202);
    await pulls(head);
    assert.equal((await serve({ repository, repository_version: null })).status, 202);
    await pulls(parent);
    await one.fsck();
  });

  it('through two Deckles, one the mirror of the other', async () => {
    const { fixture, url } = await served('signed', ALL);
    const remote = await world.remote(url, ALL);
    const repository = await world.repository();
    await synced(repository, remote);
    const last = await client(await world.distribute(repository), { publicKey: fixture.publicKey as string });
    await last.pull('--depth=-1', 'deckle', 'os/signed');
    assert.equal(await last.commitOf('deckle:os/signed'), fixture.refs.get('os/signed'));
    await last.fsck();
  });
});
