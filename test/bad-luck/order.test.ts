import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { FAULTS, type FaultRule } from '../support/upstream-faults.ts';
import { type Mirror, startMirror } from './mirror.ts';

let mirror: Mirror;
before(async () => {
  mirror = await startMirror({ WORKERS: '1' });
});
afterEach(() => mirror.upstream.clearFaults());
after(() => mirror?.stop());

const image = (text: string) => imageOf({ layers: [layerOf({ 'etc/own': text })] });

/** A sync that is held where the rule says; `open` lets it go on. */
async function heldSync(rule: Omit<FaultRule, 'fault'> & { repository: string }, after?: number) {
  const until = gate();
  const fault = mirror.upstream.fault({ ...rule, fault: FAULTS.held(until.passed, after) });
  const [repository, remote] = await Promise.all([mirror.repository(), mirror.remote(rule.repository)]);
  const task = await mirror.begin(repository, remote);
  await eventually('the sync is held', () => fault.hits > 0);
  return { repository, remote, task, open: until.open };
}

describe('what comes while a repository is synced waits for it', () => {
  test('a second sync', async () => {
    mirror.upstream.put('twice', image('twice 1'), 'v1');
    const first = await heldSync({ repository: 'twice', kind: 'tags' });
    const second = await mirror.begin(first.repository, first.remote);
    const third = await mirror.begin(first.repository, await mirror.remote('twice'));
    for (const href of [second, third]) {
      const { state, unblocked_at } = await mirror.task(href);
      assert.deepEqual([state, unblocked_at], ['waiting', null]);
    }
    mirror.upstream.put('twice', image('twice 2'), 'v2');
    first.open();
    const tasks = [await mirror.ended(first.task), await mirror.ended(second), await mirror.ended(third)];
    assert.deepEqual(
      tasks.map(({ state }) => state),
      ['completed', 'completed', 'completed'],
    );
    for (const [n, task] of tasks.slice(1).entries()) {
      assert.ok(String(task.started_at) >= String(tasks[n]?.finished_at), 'in the order in which they were asked for');
    }
    await mirror.pullAll(first.repository, { v1: image('twice 1'), v2: image('twice 2') });
  });

  test('the deletion of the repository', async () => {
    mirror.upstream.put('deleted', image('deleted'), 'v1');
    const sync = await heldSync({ repository: 'deleted', kind: 'tags' });
    const { body } = await mirror.installation.request('DELETE', sync.repository);
    const deletion = (body as { task: string }).task;
    assert.equal((await mirror.task(deletion)).state, 'waiting');
    sync.open();
    assert.equal((await mirror.ended(sync.task)).state, 'completed');
    assert.equal((await mirror.ended(deletion)).state, 'completed');
    assert.equal((await mirror.installation.request('GET', sync.repository)).status, 404);
  });

  test('the deletion of its remote', async () => {
    mirror.upstream.put('lost', image('lost'), 'v1');
    const sync = await heldSync({ repository: 'lost', kind: 'tags' });
    const { body } = await mirror.installation.request('DELETE', sync.remote);
    const deletion = (body as { task: string }).task;
    assert.equal((await mirror.task(deletion)).state, 'waiting');
    sync.open();
    assert.equal((await mirror.ended(sync.task)).state, 'completed');
    assert.equal((await mirror.ended(deletion)).state, 'completed');
    await mirror.pullAll(sync.repository, { v1: image('lost') });
  });
});

describe('a sync is canceled within two seconds, and leaves no version and no file', () => {
  const moments: [string, Omit<FaultRule, 'fault' | 'repository'>, number?][] = [
    ['when it waits for the tags', { kind: 'tags' }],
    ['when it waits for a manifest', { kind: 'manifest' }],
    ['in the middle of a manifest', { kind: 'manifest' }, 100],
    ['when it waits for a blob', { kind: 'blob' }],
    ['in the middle of a blob', { kind: 'blob' }, 2_000_000],
  ];
  for (const [n, [moment, rule, at]] of moments.entries()) {
    test(moment, async () => {
      const name = `canceled-${n}`;
      const large = imageOf({ layers: [largeLayer(name, 3_000_000)] });
      mirror.upstream.put(name, large, 'v1');
      const reference = rule.kind === 'blob' ? { reference: large.blobs[1]?.digest ?? '' } : {};
      const sync = await heldSync({ repository: name, ...rule, ...reference }, at);
      const asked = performance.now();
      assert.equal((await mirror.installation.request('PATCH', sync.task, { state: 'canceled' })).status, 200);
      const task = await mirror.ended(sync.task);
      assert.ok(performance.now() - asked < 2_000, `it took ${Math.round(performance.now() - asked)} ms`);
      assert.equal(task.state, 'canceled');
      assert.ok(task.progress_reports.every(({ state }) => state === 'canceled' || state === 'completed'));
      assert.deepEqual(await mirror.versions(sync.repository), [0]);
      assert.deepEqual(await mirror.temporaryFiles(), []);
      sync.open();
      mirror.upstream.clearFaults();
      await mirror.synced(sync.repository, sync.remote);
      await mirror.pullAll(sync.repository, { v1: large });
    });
  }

  test('while it waits to ask a busy upstream again', async () => {
    mirror.upstream.put('busy', image('busy'), 'v1');
    const fault = mirror.upstream.fault({ repository: 'busy', kind: 'tags', fault: FAULTS.tooMany(200) });
    const repository = await mirror.repository();
    const sync = await mirror.begin(repository, await mirror.remote('busy', { max_retries: 3 }));
    await eventually('it was told to wait', () => fault.hits > 0);
    const asked = performance.now();
    await mirror.installation.request('PATCH', sync, { state: 'canceled' });
    assert.equal((await mirror.ended(sync)).state, 'canceled');
    assert.ok(performance.now() - asked < 2_000);
  });

  test('one that waits is canceled at once, and does not hold up what comes after it', async () => {
    mirror.upstream.put('queue', image('queue'), 'v1');
    const first = await heldSync({ repository: 'queue', kind: 'tags' });
    const second = await mirror.begin(first.repository, first.remote);
    const third = await mirror.begin(first.repository, first.remote);
    const { body } = await mirror.installation.request('PATCH', second, { state: 'canceled' });
    assert.equal((body as { state: string }).state, 'canceled');
    first.open();
    assert.equal((await mirror.ended(third)).state, 'completed');
    const { started_at, finished_at } = await mirror.task(second);
    assert.deepEqual([started_at, finished_at === null], [null, false]);
  });
});
