import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { imageOf, indexOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { isAlive } from '../../src/embedded/postgres-folder.ts';
import { eventually } from '../queue/eventually.ts';
import { type Gate, gate } from '../queue/gate.ts';
import { FAULTS, type FaultRule } from '../support/upstream-faults.ts';
import { type Mirror, startMirror } from './mirror.ts';

let mirror: Mirror;
before(async () => {
  mirror = await startMirror();
});
afterEach(() => mirror.upstream.clearFaults());
after(() => mirror?.stop());

const kill = (pids: readonly number[]): void => pids.forEach((pid) => void process.kill(pid, 'SIGKILL'));

const images = (name: string) => {
  const shared = layerOf({ 'etc/shared': name });
  return {
    v1: imageOf({ layers: [shared, layerOf({ 'etc/own': `${name} 1` })] }),
    v2: imageOf({ layers: [shared, largeLayer(name, 3_000_000)] }),
    multi: indexOf({ entries: [{ content: imageOf({ layers: [shared], architecture: 'arm64' }) }] }),
  };
};

/** A sync that has come as far as the rule says, where it is held until the gate is opened. */
interface HeldSync {
  readonly repository: string;
  readonly remote: string;
  readonly task: string;
  readonly content: ReturnType<typeof images>;
}

async function held(
  name: string,
  rule: (content: ReturnType<typeof images>) => Omit<FaultRule, 'fault'>,
  until: Gate,
  after?: number,
) {
  const content = images(name);
  for (const [tag, image] of Object.entries(content)) mirror.upstream.put(name, image, tag);
  const fault = mirror.upstream.fault({ ...rule(content), repository: name, fault: FAULTS.held(until.passed, after) });
  const [repository, remote] = await Promise.all([mirror.repository(), mirror.remote(name)]);
  const task = await mirror.begin(repository, remote);
  await eventually(`the sync of ${name} is held`, () => fault.hits > 0);
  return { repository, remote, task, content };
}

/** Syncs that are held at each of their stages. */
const heldSyncs = (word: string, until: Gate): Promise<HeldSync[]> =>
  Promise.all([
    held(`${word}/tags`, () => ({ kind: 'tags' }), until),
    held(`${word}/manifest`, () => ({ kind: 'manifest', reference: 'v1' }), until),
    held(`${word}/blob`, ({ v1 }) => ({ kind: 'blob', reference: v1.blobs[1]?.digest ?? '' }), until),
    held(`${word}/large`, ({ v2 }) => ({ kind: 'blob', reference: v2.blobs[2]?.digest ?? '' }), until, 2_000_000),
  ]);

async function assertDone({ repository, remote, task, content }: HeldSync): Promise<void> {
  const { state, error } = await mirror.ended(task);
  assert.equal(state, 'completed', error?.description);
  assert.deepEqual(await mirror.versions(repository), [0, 1]);
  await mirror.pullAll(repository, content);
  const again = await mirror.sync(repository, remote);
  assert.deepEqual([again.state, again.created_resources], ['completed', []], 'it has everything');
}

describe('while syncs are at each of their stages', () => {
  test('all workers are asked to stop: they hand the syncs back, and leave no file', async () => {
    const open = gate();
    const syncs = await heldSyncs('stopped', open);
    const { workers } = await mirror.installation.processes();
    for (const pid of workers) process.kill(pid, 'SIGTERM');
    await eventually('they have ended', () => !workers.some(isAlive));
    assert.deepEqual(await mirror.temporaryFiles(), []);
    open.open();
    for (const sync of syncs) await assertDone(sync);
  });

  test('all workers are killed: others take the syncs over', async () => {
    const open = gate();
    const syncs = await heldSyncs('workers', open);
    kill((await mirror.installation.processes()).workers);
    open.open();
    for (const sync of syncs) await assertDone(sync);
  });

  test('the server is killed: they go on, and the server is back', async () => {
    const open = gate();
    const syncs = await heldSyncs('server', open);
    const [server] = (await mirror.installation.processes()).api;
    kill([server as number]);
    open.open();
    for (const sync of syncs) await assertDone(sync);
    const { api } = await mirror.installation.processes();
    assert.ok(!api.includes(server as number));
  });

  test('everything is killed: the next start finishes them', async () => {
    const open = gate();
    const syncs = await heldSyncs('all', open);
    mirror.deckle.killGroup('SIGKILL');
    await mirror.deckle.exit;
    open.open();
    mirror.deckle = await mirror.installation.start();
    for (const sync of syncs) await assertDone(sync);
  });

  test('a worker stands still: another takes its sync over, and it changes nothing when it goes on', async () => {
    const open = gate();
    const sync = await held('still', ({ v1 }) => ({ kind: 'blob', reference: v1.blobs[1]?.digest ?? '' }), open);
    const { body } = await mirror.installation.request('GET', '/pulp/api/v3/workers/?online=true');
    const { results } = body as { results: { name: string; current_task: string | null }[] };
    const pid = Number.parseInt(results.find(({ current_task }) => current_task === sync.task)?.name ?? '', 10);
    process.kill(pid, 'SIGSTOP');
    open.open();
    await assertDone(sync);
    const done = await mirror.task(sync.task);
    process.kill(pid, 'SIGCONT');
    await eventually('it is back', async () => (await mirror.installation.processes()).workers.includes(pid));
    process.kill(pid, 'SIGTERM');
    await eventually('it has come to its end', () => !isAlive(pid));
    assert.deepEqual(await mirror.task(sync.task), done);
    assert.deepEqual(await mirror.versions(sync.repository), [0, 1]);
  });
});
