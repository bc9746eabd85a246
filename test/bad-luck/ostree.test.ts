import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { missing } from '../support/missing.ts';
import { type OstreeFixture, ostree, ostreeFixture } from '../support/ostree-fixtures.ts';
import { FAULTS, type FaultRule } from '../support/upstream-faults.ts';
import { OstreeUpstream } from '../support/upstream-ostree.ts';
import { type Mirror, startMirror } from './mirror.ts';

const STAGES: Readonly<Record<string, Omit<FaultRule, 'fault'>>> = {
  summary: { reference: 'summary' },
  commit: { when: ({ reference }) => reference.endsWith('.commit') },
  folder: { when: ({ reference }) => reference.endsWith('.dirtree') },
  file: { when: ({ reference }) => reference.endsWith('.filez') },
};

describe('while OSTree repositories are synced', { skip: missing('ostree') }, () => {
  let mirror: Mirror;
  let folder: string;
  let upstream: OstreeUpstream;
  let fixture: OstreeFixture;
  let made = 0;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-bad-luck-ostree-'));
    mirror = await startMirror();
  });
  afterEach(() => upstream?.stop());
  after(async () => {
    await mirror?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Syncs of a new upstream, one that is held at each of its stages. */
  async function heldSyncs() {
    made += 1;
    fixture = await ostreeFixture('delta', join(folder, `upstream-${made}`), made);
    upstream = await OstreeUpstream.start(fixture.path);
    const open = gate();
    const syncs = [];
    for (const [stage, rule] of Object.entries(STAGES)) {
      const fault = upstream.fault({ ...rule, times: 1, fault: FAULTS.held(open.passed) });
      const name = `${stage}-${made}`;
      const repository = await mirror.create('repositories/ostree/ostree/', { name, compute_delta: false });
      const remote = await mirror.create('remotes/ostree/ostree/', { name, url: upstream.url, max_retries: 0 });
      const task = await mirror.begin(repository, remote);
      await eventually(`the sync is held at a ${stage}`, () => fault.hits > 0);
      syncs.push({ repository, remote, task });
    }
    return { syncs, open: open.open };
  }

  type HeldSync = Awaited<ReturnType<typeof heldSyncs>>['syncs'][number];

  /** What is served is what the upstream has, whole: `ostree` checks each object that it pulls. */
  async function assertServed({ repository }: HeldSync): Promise<void> {
    const base = await mirror.distribute('ostree/ostree', repository);
    const client = join(folder, `client-${base}`);
    await ostree(client, 'init', '--mode=archive');
    await ostree(client, 'remote', 'add', '--no-gpg-verify', 'deckle', `${mirror.installation.url}/pulp/content/${base}/`);
    await ostree(client, 'pull', '--mirror', 'deckle');
    await ostree(client, 'fsck');
    for (const [ref, commit] of fixture.refs) assert.equal((await ostree(client, 'rev-parse', ref)).trim(), commit);
  }

  const kill = (pids: readonly number[]): void => pids.forEach((pid) => void process.kill(pid, 'SIGKILL'));

  test('all workers are killed: others take the syncs over', async () => {
    const { syncs, open } = await heldSyncs();
    kill((await mirror.installation.processes()).workers);
    open();
    for (const sync of syncs) {
      const { state, error } = await mirror.ended(sync.task);
      assert.equal(state, 'completed', error?.description);
      assert.deepEqual(await mirror.versions(sync.repository), [0, 1]);
      await assertServed(sync);
      assert.deepEqual((await mirror.synced(sync.repository, sync.remote)).created_resources, [], 'it has everything');
    }
  });

  test('they are canceled: within two seconds, without a version or a file, and the next ones work', async () => {
    const before = await mirror.temporaryFiles();
    const { syncs, open } = await heldSyncs();
    for (const { task, repository } of syncs) {
      const asked = performance.now();
      await mirror.installation.request('PATCH', task, { state: 'canceled' });
      assert.equal((await mirror.ended(task)).state, 'canceled');
      assert.ok(performance.now() - asked < 2_000, `it took ${Math.round(performance.now() - asked)} ms`);
      assert.deepEqual(await mirror.versions(repository), [0]);
    }
    assert.deepEqual(await mirror.temporaryFiles(), before);
    open();
    for (const sync of syncs) {
      await mirror.synced(sync.repository, sync.remote);
      await assertServed(sync);
    }
  });
});
