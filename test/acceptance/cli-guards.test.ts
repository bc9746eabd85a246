import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { cliSuite } from './cli-suite.ts';
import { type Body, unique } from './server.ts';

describe('by the pulp command line', { skip: missing('pulp'), concurrency: 3 }, () => {
  const { pulp } = cliSuite();

  const names = (list: Body[]): string[] => list.map(({ name, username }: Body) => name ?? username);

  for (const [kind, ...options] of [
    ['composite'],
    ['header', '--header-name', 'x-cli', '--header-value', 'yes'],
    ['rbac'],
    ['redirect'],
  ] as const) {
    it(`${kind} guards are made, shown, changed and removed`, async () => {
      const name = unique('guard');
      const made = await pulp(`content-guard ${kind} create`, '--name', name, '--description', 'first', ...options);
      assert.deepEqual([made.name, made.description], [name, 'first']);
      assert.equal((await pulp(`content-guard ${kind} show`, '--href', made.pulp_href)).pulp_href, made.pulp_href);
      await pulp(`content-guard ${kind} update`, '--name', name, '--description', 'second');
      const [listed] = await pulp(`content-guard ${kind} list`, '--name', name);
      assert.equal(listed.description, 'second');
      const [{ pulp_href: href }] = await pulp('content-guard list', '--name', name);
      assert.equal(href, made.pulp_href);
      await pulp(`content-guard ${kind} destroy`, '--name', name);
      assert.deepEqual(await pulp(`content-guard ${kind} list`, '--name', name), []);
    });
  }

  it('an rbac guard lets in whom it is assigned to; a composite one names others', async () => {
    const [guard, composite, group] = [unique('guard'), unique('composite'), unique('group')];
    await pulp('group create', '--name', group);
    await pulp('user create', '--username', group, '--password', 'Zebra-9981');
    const { pulp_href: href } = await pulp('content-guard rbac create', '--name', guard);
    await pulp('content-guard rbac assign', '--name', guard, '--group', group, '--user', group);
    const { groups, users } = await pulp('content-guard rbac show', '--name', guard);
    assert.deepEqual([names(groups), names(users).sort()], [[group], ['admin', group]]);
    await pulp('content-guard rbac remove', '--name', guard, '--group', group);
    assert.deepEqual((await pulp('content-guard rbac show', '--name', guard)).groups, []);
    await pulp('content-guard composite create', '--name', composite, '--guard', `core:rbac:${guard}`);
    assert.deepEqual((await pulp('content-guard composite show', '--name', composite)).guards, [href]);
    await pulp('content-guard composite destroy', '--name', composite);
    await pulp('content-guard rbac destroy', '--name', guard);
    await pulp('user destroy', '--username', group);
    await pulp('group destroy', '--name', group);
  });
});
