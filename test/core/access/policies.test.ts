import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { startServer } from '../../../src/server.ts';
import { eventually } from '../../queue/eventually.ts';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';
import { freePort } from '../../support/free-port.ts';

const API = '/pulp/api/v3/';
const REMOTES = `${API}remotes/container/container/`;
const PASSWORD = 'Kiesel-7-Wolke';

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false });
  for (const username of ['ada', 'ben', 'ns-owner']) await app.request('POST', `${API}users/`, { username, password: PASSWORD });
});
after(() => app?.stop());

const as =
  (user: string) =>
  (method: string, path: string, body?: unknown): Promise<Answer> =>
    app.request(method, path, body, { user: `${user}:${PASSWORD}` });
const policyOf = async (name: string): Promise<{ pulp_href: string; statements: unknown[] }> =>
  (await app.request('GET', `${API}access_policies/?viewset_name=${name}`)).body.results[0];
const remote = { url: 'http://127.0.0.1:9/', upstream_name: 'x' };

describe('a policy that was changed', () => {
  it('without a scope shows every row, and with one again those of the caller', async () => {
    await app.request('POST', REMOTES, { ...remote, name: 'of the administrator' });
    const { pulp_href: href } = await policyOf('remotes/container/container');
    assert.equal((await as('ada')('GET', REMOTES)).body.count, 0);
    const changed = await app.request('PATCH', href, { queryset_scoping: {} });
    assert.deepEqual([changed.status, changed.body.queryset_scoping], [200, {}]);
    assert.equal((await as('ada')('GET', REMOTES)).body.count, 1);
    await app.request('PATCH', href, { queryset_scoping: { function: 'scope_queryset' } });
    assert.equal((await as('ada')('GET', REMOTES)).body.count, 0);
    await app.request('POST', `${href}reset/`);
  });

  it('may deny what another rule allows, and name users and groups', async () => {
    const { pulp_href: href, statements } = await policyOf('remotes/container/container');
    await app.request('POST', `${API}groups/`, { name: 'makers' });
    const [group] = (await app.request('GET', `${API}groups/?name=makers`)).body.results;
    for (const username of ['ada', 'ben']) await app.request('POST', `${group.pulp_href}users/`, { username });
    const [ben] = (await app.request('GET', `${API}users/?username=ben`)).body.results;
    const more = [
      { action: ['create'], effect: 'allow', principal: 'group:makers' },
      { action: ['create'], effect: 'deny', principal: [`id:${ben.id}`] },
    ];
    assert.equal((await app.request('PATCH', href, { statements: [...statements, ...more] })).status, 200);
    assert.equal((await as('ada')('POST', REMOTES, { ...remote, name: 'of ada' })).status, 201);
    assert.equal((await as('ben')('POST', REMOTES, { ...remote, name: 'of ben' })).status, 403);
    assert.equal((await as('ns-owner')('POST', REMOTES, { ...remote, name: 'of nobody' })).status, 403);
    await app.request('POST', `${href}reset/`);
  });

  for (const [what, body, field] of [
    [
      'a condition that there is not',
      { statements: [{ action: 'list', effect: 'allow', principal: '*', condition: 'nope:x' }] },
      'statements',
    ],
    [
      'an expression that ends too early',
      { statements: [{ action: 'list', effect: 'allow', principal: '*', condition_expression: 'is_private or' }] },
      'statements',
    ],
    [
      'an open parenthesis',
      { statements: [{ action: 'list', effect: 'allow', principal: '*', condition_expression: '(is_private' }] },
      'statements',
    ],
    ['no effect', { statements: [{ action: 'list', principal: '*' }] }, 'statements'],
    ['a scope that there is not', { queryset_scoping: { function: 'nope' } }, 'queryset_scoping'],
    ['a scope of other resources', { queryset_scoping: { function: 'own_api_tokens' } }, 'queryset_scoping'],
    ['a scope named as what objects inherit', { queryset_scoping: { function: 'constructor' } }, 'queryset_scoping'],
    ['a hook that there is not', { creation_hooks: [{ function: 'nope' }] }, 'creation_hooks'],
    [
      'a role that there is not',
      { creation_hooks: [{ function: 'add_roles_for_object_creator', parameters: { roles: ['nope'] } }] },
      'creation_hooks',
    ],
  ] as const) {
    it(`is refused with ${what}`, async () => {
      const { pulp_href: href } = await policyOf('remotes/container/container');
      const { status, body: answer } = await app.request('PATCH', href, body);
      assert.deepEqual([status, Object.keys(answer)], [400, [field]], JSON.stringify(answer));
      assert.equal((await app.request('GET', href)).body.customized, false);
    });
  }
});

describe('a container distribution', () => {
  it('is made by nobody in the namespace of another', async () => {
    const distributions = `${API}distributions/container/container/`;
    const body = { name: 'in the namespace', base_path: 'ns-owner/app' };
    assert.equal((await as('ada')('POST', distributions, body)).status, 403);
    assert.equal((await as('ns-owner')('POST', distributions, body)).status, 202);
    assert.equal((await as('ada')('POST', distributions, { name: 'beside', base_path: 'ns-owner/other' })).status, 403);
  });

  it('cannot be had by taking the name of its namespace', async () => {
    const { status, body } = await as('ada')('PATCH', `${API}login/`, { username: 'library' });
    assert.deepEqual([status, Object.keys(body)], [400, ['username']]);
  });
});

describe('roles', () => {
  it('count at once for a login that is going on', async () => {
    const [ada] = (await app.request('GET', `${API}users/?username=ada`)).body.results;
    const { body: made } = await app.request('POST', REMOTES, { ...remote, name: 'for a while' });
    const given = await app.request('POST', `${ada.pulp_href}roles/`, {
      role: 'container.containerremote_viewer',
      content_object: made.pulp_href,
    });
    assert.equal((await as('ada')('GET', made.pulp_href)).status, 200);
    await app.request('DELETE', given.body.pulp_href);
    assert.equal((await as('ada')('GET', made.pulp_href)).status, 404);
  });

  it('cost a page the same number of queries, however many they are', async () => {
    const { db } = app.services;
    const query = db.query;
    let queries = 0;
    // Looked at, not replaced: every query goes on to the database.
    const counted = <Row>(statement: Parameters<typeof query>[0]): Promise<Row[]> => {
      queries += 1;
      return query.call(db, statement) as Promise<Row[]>;
    };
    const countedPage = async (rows: number): Promise<number> => {
      // On a busy machine what is in memory may just have expired.
      await eventually('policies are in memory', async () => {
        await as('ben')('GET', REMOTES);
        return db.upToDate();
      });
      queries = 0;
      Object.assign(db, { query: counted });
      const { body } = await as('ben')('GET', REMOTES).finally(() => Object.assign(db, { query }));
      assert.equal(body.results.length, rows);
      return queries;
    };
    /** The least of three: what the server does beside requests, such as its heartbeat, comes between. */
    const costOfPage = async (rows: number): Promise<number> =>
      Math.min(await countedPage(rows), await countedPage(rows), await countedPage(rows));
    const give = async (first: number, last: number) => {
      for (let number = first; number <= last; number += 1) {
        const { body } = await app.request('POST', REMOTES, { ...remote, name: `one of many ${number}` });
        const role = 'container.containerremote_viewer';
        const { status } = await app.request('POST', `${body.pulp_href}add_role/`, { role, users: ['ben'] });
        assert.equal(status, 201);
      }
    };
    await give(1, 1);
    const one = await costOfPage(1);
    await give(2, 60);
    assert.equal(await costOfPage(60), one);
    assert.ok(one <= 4, `a page takes ${one} queries`);
  });
});

describe('another server', () => {
  it('knows of roles, memberships and policies with the next request', async () => {
    const config = { ...app.services.config, PORT: await freePort() };
    const other = await startServer(config, pino({ level: 'silent' }));
    try {
      const there = async (path: string) => {
        const authorization = `Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`;
        return (await fetch(`${other.url}${path}`, { headers: { authorization } })).status;
      };
      const { body: made } = await app.request('POST', REMOTES, { ...remote, name: 'seen from elsewhere' });
      const href = made.pulp_href as string;
      const role = { role: 'container.containerremote_viewer', users: ['ada'] };
      assert.equal(await there(href), 404);
      await app.request('POST', `${href}add_role/`, role);
      assert.equal(await there(href), 200);
      await app.request('POST', `${href}remove_role/`, role);
      assert.equal(await there(href), 404);
      await app.request('POST', `${API}groups/`, { name: 'watchers' });
      const [group] = (await app.request('GET', `${API}groups/?name=watchers`)).body.results;
      await app.request('POST', `${href}add_role/`, { role: role.role, groups: ['watchers'] });
      const [ada] = (await app.request('GET', `${API}users/?username=ada`)).body.results;
      await app.request('POST', `${group.pulp_href}users/`, { username: 'ada' });
      assert.equal(await there(href), 200);
      await app.request('DELETE', `${group.pulp_href}users/${ada.id}/`);
      assert.equal(await there(href), 404);
      const policy = await policyOf('remotes/container/container');
      await app.request('PATCH', policy.pulp_href, {
        queryset_scoping: {},
        statements: [{ action: '*', effect: 'allow', principal: 'authenticated' }],
      });
      assert.equal(await there(href), 200);
      await app.request('POST', `${policy.pulp_href}reset/`);
      assert.equal(await there(href), 404);
    } finally {
      await other.stop();
    }
  });
});
