import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { cliSuite } from './cli-suite.ts';
import { type Body, unique } from './server.ts';

const PASSWORD = 'Zebra-9981';
const MAY_NOT = /Operation \w+ is not authorized/;

describe('by the pulp command line', { skip: missing('pulp'), concurrency: 3 }, () => {
  const suite = cliSuite();
  const { pulp, run } = suite;

  const names = (list: Body[]): string[] => list.map(({ name, username }: Body) => name ?? username);
  const roles = (list: Body[]): [string, string | null][] => list.map(({ role, content_object: object }: Body) => [role, object]);

  it('users and groups are made, shown, changed and removed', async () => {
    const [username, group] = [unique('user'), unique('group')];
    const made = await pulp(
      'user create',
      '--username',
      username,
      '--password',
      PASSWORD,
      '--first-name',
      'Ada',
      '--staff',
      '--active',
    );
    assert.deepEqual([made.username, made.first_name, made.is_staff, made.is_active], [username, 'Ada', true, true]);
    assert.deepEqual(await pulp('user show', '--href', made.pulp_href), made);
    await pulp('user update', '--username', username, '--no-staff', '--email', 'ada@example.org');
    const shown = await pulp('user show', '--username', username);
    assert.deepEqual([shown.is_staff, shown.email], [false, 'ada@example.org']);
    assert.ok(names(await pulp('user list', '--limit', '1000')).includes(username));

    const { pulp_href: href } = await pulp('group create', '--name', group);
    assert.equal((await pulp('group show', '--href', href)).name, group);
    assert.ok(names(await pulp('group list', '--limit', '1000')).includes(group));
    await pulp('group user add', '--group', group, '--username', username);
    assert.deepEqual(names(await pulp('group user list', '--group', group)), [username]);
    assert.deepEqual(names((await pulp('user show', '--username', username)).groups), [group]);
    await pulp('group user remove', '--group', group, '--username', username);
    assert.deepEqual(await pulp('group user list', '--group', group), []);

    await pulp('group destroy', '--name', group);
    await pulp('user destroy', '--username', username);
    const gone = await run('user show', '--username', username);
    assert.deepEqual([gone.code, gone.stderr.trim()], [1, `Error: Could not find user with {'username': '${username}'}.`]);
  });

  it('a weak password, and a name that is taken, are refused', async () => {
    const username = unique('user');
    const weak = await run('user create', '--username', username, '--password', '123');
    assert.equal(weak.code, 1);
    assert.match(weak.stderr, /This password is too short/);
    const taken = await run('user create', '--username', 'admin', '--password', PASSWORD);
    assert.deepEqual([taken.code, taken.stderr.trim()], [1, 'Error: {"username":["This field must be unique."]}']);
  });

  it('roles are made, shown, changed and removed; those that are built in stay', async () => {
    const name = unique('role');
    const made = await pulp('role create', '--name', name, '--description', 'reads', '--permission', 'core.view_task');
    assert.deepEqual([made.locked, made.permissions], [false, ['core.view_task']]);
    await pulp('role update', '--name', name, '--permission', 'core.view_task', '--permission', 'core.delete_task');
    const { permissions } = await pulp('role show', '--name', name);
    assert.deepEqual(permissions.sort(), ['core.delete_task', 'core.view_task']);
    await pulp('role update', '--name', name, '--no-permission');
    assert.deepEqual((await pulp('role show', '--href', made.pulp_href)).permissions, []);
    assert.deepEqual(names(await pulp('role list', '--name-startswith', name, '--unlocked')), [name]);
    assert.deepEqual(await pulp('role list', '--name', name, '--locked'), []);
    await pulp('role destroy', '--name', name);
    assert.deepEqual(await pulp('role list', '--name', name), []);
    const locked = await run('role update', '--name', 'core.task_owner', '--no-permission');
    assert.equal(locked.code, 1);
    assert.match(locked.stderr, MAY_NOT);
    const wrong = await run('role create', '--name', name, '--permission', 'core.fly');
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /core\.fly/);
  });

  it('roles are given to users and groups, everywhere and on one object', async () => {
    const [username, group, foo] = [unique('user'), unique('group'), unique('repository')];
    await pulp('user create', '--username', username, '--password', PASSWORD);
    await pulp('group create', '--name', group);
    const { pulp_href: href } = await pulp('container repository create', '--name', foo);
    const role = 'container.containerrepository_viewer';
    for (const [command, who] of [
      [(verb: string) => `user role-assignment ${verb}`, ['--username', username]],
      [(verb: string) => `group role-assignment ${verb}`, ['--group', group]],
    ] as const) {
      const given = await pulp(command('add'), ...who, '--role', role, '--object', '');
      assert.deepEqual([given.role, given.content_object], [role, null]);
      await pulp(command('add'), ...who, '--role', role, '--object', href);
      const both = roles(await pulp(command('list'), ...who));
      assert.deepEqual(both.map(([, object]) => object).sort(), [href, null].sort());
      assert.deepEqual(roles(await pulp(command('list'), ...who, '--object', href)), [[role, href]]);
      assert.deepEqual(roles(await pulp(command('list'), ...who, '--role-contains', 'VIEWER')), []);
      await pulp(command('remove'), ...who, '--role', role, '--object', '');
      assert.deepEqual(roles(await pulp(command('list'), ...who, '--role', role)), [[role, href]]);
      const none = await run(command('remove'), ...who, '--role', role, '--object', '');
      assert.equal(none.code, 1);
      assert.match(none.stderr, /Could not find (user|group) role/);
    }
    const [{ users, groups }] = (await pulp('container repository role list', '--name', foo)).roles.filter(
      (one: Body) => one.role === role,
    );
    assert.deepEqual([users, groups], [[username], [group]]);
    await pulp('container repository destroy', '--name', foo);
    await pulp('group destroy', '--name', group);
    await pulp('user destroy', '--username', username);
  });

  it('a user does what his roles are for, and nothing else', async () => {
    const [username, mine, others] = [unique('user'), unique('mine'), unique('others')];
    await pulp('user create', '--username', username, '--password', PASSWORD);
    await pulp('container repository create', '--name', others);
    const her = suite.cli.as(username, PASSWORD);
    const refused = async (command: string, options: string[], reason: RegExp) => {
      const { code, stderr } = await her.run(command, ...options);
      assert.equal(code, 1, command);
      assert.match(stderr, reason, command);
    };
    await refused('container repository create', ['--name', mine], MAY_NOT);
    await refused('user create', ['--username', unique('user'), '--password', PASSWORD], MAY_NOT);
    await refused('orphan cleanup', ['--protection-time', '10000000'], MAY_NOT);
    await refused('container repository show', ['--name', others], /Could not find container repository/);
    // What a public distribution serves is seen by everybody.
    const seen = async () =>
      names(await her.pulp('container repository list', '--limit', '1000')).filter((name) => [mine, others].includes(name));
    assert.deepEqual(await seen(), []);

    await pulp(
      'user role-assignment add',
      '--username',
      username,
      '--role',
      'container.containerrepository_creator',
      '--object',
      '',
    );
    await her.pulp('container repository create', '--name', mine);
    assert.deepEqual(await seen(), [mine]);
    const { permissions } = await her.pulp('container repository role my-permissions', '--name', mine);
    assert.ok(permissions.includes('container.change_containerrepository'));
    await her.pulp('container repository update', '--name', mine, '--description', 'hers');
    await her.pulp('container repository destroy', '--name', mine);
    await pulp('container repository destroy', '--name', others);
    await pulp('user destroy', '--username', username);
  });
});
