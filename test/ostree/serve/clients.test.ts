import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../queue/eventually.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';
import { type FixtureKind, type OstreeFixture, ostree, ostreeFixture } from '../../support/ostree-fixtures.ts';
import { OstreeClient } from './ostree-client.ts';
import { filesOf, OstreeRows } from './ostree-rows.ts';

describe('the real client', { skip: missing('ostree', 'gpg') }, () => {
  let app: TestApp;
  let rows: OstreeRows;
  let folder: string;
  let count = 0;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-pull-'));
    app = await startApp({ worker: false });
    rows = new OstreeRows(app.services);
  });
  after(async () => {
    await app.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const urlOf = (basePath: string): string => `${app.url}/pulp/content/${basePath}/`;
  const place = (): string => join(folder, `${++count}`);

  /** Serves a fixture. */
  async function served(kind: FixtureKind): Promise<{ fixture: OstreeFixture; url: string }> {
    const fixture = await ostreeFixture(kind, place());
    const repository = await rows.repository();
    await rows.publish(repository, await filesOf(fixture.path));
    await rows.distribution(`pull/${kind}`, { repository_id: repository });
    return { fixture, url: urlOf(`pull/${kind}`) };
  }

  it('pulls a ref, its history and everything', async () => {
    const { fixture, url } = await served('small');
    const one = await OstreeClient.make(place(), url);
    await one.pull('deckle', 'stable');
    assert.equal(await one.commitOf('deckle:stable'), fixture.refs.get('stable'));
    assert.equal((await one.history('deckle:stable')).length, 1);
    await one.fsck();

    const deep = await OstreeClient.make(place(), url, { mode: 'bare-user-only' });
    await deep.pull('--depth=-1', 'deckle', 'stable');
    assert.equal((await deep.history('deckle:stable')).length, 3);
    await deep.fsck();

    const mirror = await OstreeClient.make(place(), url);
    await mirror.pull('--mirror', '--depth=-1', 'deckle');
    for (const [ref, commit] of fixture.refs) assert.equal(await mirror.commitOf(ref), commit);
    await mirror.fsck();
    await assert.rejects(one.pull('deckle', 'nope'));
  });

  it('mirrors what is out of the ordinary', async () => {
    const { fixture, url } = await served('edge');
    const mirror = await OstreeClient.make(place(), url);
    await mirror.pull('--mirror', 'deckle');
    for (const [ref, commit] of fixture.refs) assert.equal(await mirror.commitOf(ref), commit);
    await mirror.fsck();
    const [detached] = [...fixture.refs].find(([ref]) => ref.startsWith('app/')) as [string, string];
    const shown = await ostree(mirror.path, 'show', '--print-detached-metadata-key=det.key', detached);
    assert.match(shown, /det-value/);
  });

  it('is content with static deltas alone, from nothing and from the parent', async () => {
    const { fixture, url } = await served('delta');
    // An archive has no use for deltas.
    const mode = 'bare-user-only';
    const fresh = await OstreeClient.make(place(), url, { mode });
    await fresh.pull('--require-static-deltas', 'deckle', 'os/d');
    assert.equal(await fresh.commitOf('deckle:os/d'), fixture.refs.get('os/d'));
    await fresh.fsck();

    const older = await OstreeClient.make(place(), url, { mode });
    const parent = (await ostree(fixture.path, 'rev-parse', 'os/d^')).trim();
    await older.pull('--disable-static-deltas', 'deckle', `os/d@${parent}`);
    await older.pull('--require-static-deltas', 'deckle', 'os/d');
    assert.equal(await older.commitOf('deckle:os/d'), fixture.refs.get('os/d'));
    await older.fsck();
  });

  it('finds the signatures of commits and summary good', async () => {
    const { fixture, url } = await served('signed');
    const publicKey = fixture.publicKey as string;
    const client = await OstreeClient.make(place(), url, { publicKey });
    await client.pull('--depth=-1', 'deckle', 'os/signed');
    assert.equal((await client.history('deckle:os/signed')).length, 2);
    assert.match(await ostree(client.path, 'show', 'deckle:os/signed'), /Found 1 signature/);
    await client.fsck();

    const stranger = await ostreeFixture('signed', place());
    const wary = await OstreeClient.make(place(), url, { publicKey: stranger.publicKey as string });
    await assert.rejects(wary.pull('deckle', 'os/signed'), /signature|GPG/i);
  });

  it('is taken back by pinning an earlier version', async () => {
    const fixture = await ostreeFixture('small', place());
    const repository = await rows.repository();
    const first = await rows.publish(repository, await filesOf(fixture.path));
    await ostree(fixture.path, 'reset', 'stable', 'stable^');
    await ostree(fixture.path, 'summary', '--update');
    await rows.publish(repository, await filesOf(fixture.path));
    const distribution = await rows.distribution('pull/turning', { repository_id: repository });
    const client = await OstreeClient.make(place(), urlOf('pull/turning'));
    const pulled = async (): Promise<string> => {
      await client.pull('deckle', 'stable');
      return client.commitOf('deckle:stable');
    };
    const [head, parent] = [fixture.refs.get('stable'), (await ostree(fixture.path, 'rev-parse', 'stable')).trim()];
    assert.equal(await pulled(), parent);
    await rows.serve(distribution, { repository_version_id: first });
    await eventually('the first version to be pulled', async () => (await pulled()) === head);
    await rows.serve(distribution, { repository_id: repository });
    await eventually('the latest version to be pulled', async () => (await pulled()) === parent);
    await client.fsck();
  });
});
