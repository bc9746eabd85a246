import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { cliSuite } from './cli-suite.ts';
import { type Body, unique } from './server.ts';

const FAR = '10000000';
const NO_UUID = '00000000-0000-7000-8000-000000000000';

describe('by the pulp command line', { skip: missing('pulp'), concurrency: 3 }, () => {
  let slow: Upstream;
  before(async () => {
    slow = await startUpstream({ delay: 120_000 });
  });
  after(() => slow?.stop());
  const suite = cliSuite();
  const { pulp, run } = suite;

  /** Starts a command that has a task; answers the task's href. */
  async function started(command: string, ...options: string[]): Promise<string> {
    const { code, stderr } = await run(`--background ${command}`, ...options);
    assert.deepEqual([code, /because --background was specified/.test(stderr)], [0, true], stderr);
    const href = /Started background task (\S+)/.exec(stderr)?.[1];
    assert.ok(href, stderr);
    return href;
  }
  const uuidOf = (href: string): string => href.split('/').at(-2) ?? '';

  it('tasks are started, awaited, listed, shown and removed', async () => {
    const name = unique('tasks');
    const { pulp_href: repository } = await pulp('container repository create', '--name', name);
    const href = await started('container repository update', '--name', name, '--description', 'by a task');
    const task = await pulp('task show', '--wait', '--href', href);
    assert.equal(task.state, 'completed');
    assert.deepEqual(await pulp('task show', '--uuid', uuidOf(href)), task);
    assert.deepEqual(await pulp('show', '--prn', task.prn), task);
    const [listed] = await pulp('task list', '--exclusive-resource', repository, '--state', 'completed');
    assert.equal(listed.pulp_href, href);
    const [ofRepository] = await pulp('container repository task list', '--repository', name);
    assert.equal(ofRepository.pulp_href, href);
    assert.deepEqual(hrefs(await pulp('task list', '--cid', task.logging_cid, '--name-contains', 'update')), [href]);
    assert.deepEqual(
      await pulp('task list', '--reserved-resource', repository, '--state-in', 'failed', '--state-in', 'skipped'),
      [],
    );
    assert.deepEqual(await pulp('task profile-artifact-urls', '--href', href), {});
    const summary = await pulp('task summary');
    assert.ok(summary.completed >= 1);
    assert.deepEqual(Object.keys(summary), ['waiting', 'skipped', 'running', 'completed', 'failed', 'canceled', 'canceling']);
    const late = await run('task cancel', '--href', href);
    assert.deepEqual([late.code, late.stderr.trim()], [1, `Error: Task ${href} is in state completed and cannot be canceled.`]);
    await pulp('task destroy', '--uuid', uuidOf(href));
    const gone = await run('task show', '--href', href);
    assert.deepEqual([gone.code, gone.stderr.trim()], [1, 'Error: {"detail":"No Task matches the given query."}']);
    await pulp('container repository destroy', '--name', name);
  });
  const hrefs = (list: Body[]): string[] => list.map(({ pulp_href: href }: Body) => href);

  it('a task that takes long is canceled, and is not waited for longer than was said', async () => {
    const name = unique('slow');
    await pulp('container repository create', '--name', name);
    await pulp('container remote create', '--name', name, '--url', slow.url, '--upstream-name', name);
    const impatient = await run('--timeout 1 container repository sync', '--name', name, '--remote', name);
    assert.equal(impatient.code, 0);
    assert.match(impatient.stderr, /Waiting for task \S+ timed out/);
    const href = /Started background task (\S+)/.exec(impatient.stderr)?.[1] ?? '';
    const canceled = await run('task cancel', '--href', href);
    assert.deepEqual([canceled.code, /Done\.$/.test(canceled.stderr.trim())], [0, true], canceled.stderr);
    const end = await run('task show', '--wait', '--href', href);
    assert.equal(JSON.parse(end.stdout).state, 'canceled');
    await pulp('container repository destroy', '--name', name);
    await pulp('container remote destroy', '--name', name);
  });

  it('a task that fails is the failure of its command', async () => {
    const name = unique('failing');
    await pulp('container repository create', '--name', name);
    await pulp(
      'container remote create',
      '--name',
      name,
      '--url',
      'http://127.0.0.1:1',
      '--upstream-name',
      name,
      '--max-retries',
      '0',
    );
    const { code, stderr } = await run('container repository sync', '--name', name, '--remote', name);
    assert.equal(code, 1);
    assert.match(stderr, /Task \S+ failed: '.+'/s);
    await pulp('container repository destroy', '--name', name);
    await pulp('container remote destroy', '--name', name);
  });

  it('upkeep is done: orphans, space, records of tasks, task groups', async () => {
    const cleaned = await pulp('task show', '--href', await started('orphan cleanup', '--protection-time', FAR), '--wait');
    assert.equal(cleaned.state, 'completed');
    const name = unique('reclaim');
    await pulp('container repository create', '--name', name);
    const space = await started('repository reclaim', '--repository', `container:container:${name}`);
    assert.equal((await pulp('task show', '--wait', '--href', space)).state, 'completed');
    await run(
      'repository reclaim',
      '--repository',
      `container:container:${name}`,
      '--keep-version',
      `container:container:${name}`,
      '0',
    );
    await pulp('container repository destroy', '--name', name);
    const purged = await started('task purge', '--finished-before', '2001-01-01', '--state', 'failed');
    assert.equal((await pulp('task show', '--wait', '--href', purged)).state, 'completed');
    assert.ok(Array.isArray(await pulp('task-group list', '--limit', '1')));
    const none = await run('task-group show', '--uuid', NO_UUID);
    assert.deepEqual([none.code, none.stderr.trim()], [1, 'Error: {"detail":"No TaskGroup matches the given query."}']);
  });

  it('files are uploaded in chunks', async () => {
    const file = join(suite.cli.folder, unique('file'));
    await writeFile(file, unique('bytes').repeat(10_000));
    const artifact = await pulp('artifact upload', '--file', file, '--chunk-size', '50kB');
    assert.deepEqual(await pulp('artifact show', '--sha256', artifact.sha256), artifact);
  });
});
