import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { cliSuite } from './cli-suite.ts';
import { type Body, unique } from './server.ts';

describe('by the pulp command line', { skip: missing('pulp'), concurrency: 3 }, () => {
  const suite = cliSuite();
  const { pulp, run } = suite;

  /** Gives a group a role on something, looks, and takes it away. */
  async function sharedWithGroup(command: (verb: string) => string, role: string, which: readonly string[]): Promise<void> {
    const group = unique('group');
    await pulp('group create', '--name', group);
    const held = async (): Promise<Body[]> =>
      (await pulp('group role-assignment list', '--group', group)).map((one: Body) => one.role);
    await pulp(command('add'), ...which, '--role', role, '--group', group);
    assert.deepEqual(await held(), [role], command('add'));
    const { roles } = await pulp(command('list'), ...which);
    // The reference server does not tell of the roles on a group.
    if (!command('list').startsWith('group'))
      assert.deepEqual(roles.find((one: Body) => one.role === role).groups, [group], command('add'));
    const { permissions } = await pulp(command('my-permissions'), ...which);
    assert.ok(Array.isArray(permissions), command('add'));
    await pulp(command('remove'), ...which, '--role', role, '--group', group);
    assert.deepEqual(await held(), [], command('add'));
    await pulp('group destroy', '--name', group);
  }

  it('roles on an rbac guard are given and taken', async () => {
    const name = unique('guard');
    await pulp('content-guard rbac create', '--name', name);
    await sharedWithGroup((verb) => `content-guard rbac role ${verb}`, 'core.rbaccontentguard_viewer', ['--name', name]);
    await pulp('content-guard rbac destroy', '--name', name);
  });

  for (const [kind, level, ...options] of [
    ['repository', 'viewer'],
    ['remote', 'viewer', '--url', 'http://127.0.0.1:1', '--upstream-name', 'any'],
    ['distribution', 'consumer', '--base-path', unique('path')],
    ['namespace', 'consumer'],
  ] as const) {
    it(`roles on a container ${kind} are given and taken`, async () => {
      const name = unique(kind);
      const { pulp_href: href } = await pulp(`container ${kind} create`, '--name', name, ...options);
      await sharedWithGroup((verb) => `container ${kind} role ${verb}`, `container.container${kind}_${level}`, ['--name', name]);
      const wrong = await run(`container ${kind} role add`, '--name', name, '--role', 'nobody', '--user', 'admin');
      assert.equal(wrong.code, 1);
      assert.match(wrong.stderr, /role/);
      // By its href: namespaces cannot be removed everywhere.
      await suite.server.request('DELETE', href);
    });
  }

  it('roles on a group and on a task are given and taken', async () => {
    const name = unique('group');
    await pulp('group create', '--name', name);
    await sharedWithGroup((verb) => `group role ${verb}`, 'core.group_viewer', ['--name', name]);
    await pulp('group destroy', '--name', name);
    await pulp('container repository create', '--name', name);
    await pulp('container repository destroy', '--name', name);
    const [task] = await pulp('task list', '--limit', '1', '--state', 'completed');
    await sharedWithGroup((verb) => `task role ${verb}`, 'core.task_viewer', ['--href', task.pulp_href]);
  });
});
