import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { pino } from 'pino';
import { v7 } from 'uuid';
import { ContentUrls } from '../../../src/core/content-guards/content-url.ts';
import { sql } from '../../../src/db/sql.ts';
import { hashPassword } from '../../../src/lib/password-hash.ts';
import { type Server, startServer } from '../../../src/server.ts';
import { type PlainAnswer, plainRequest } from '../../content-app/plain-request.ts';
import { OstreeRows } from '../../ostree/serve/ostree-rows.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { freePort } from '../../support/free-port.ts';

const GUARDS = '/pulp/api/v3/contentguards/core/';
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const basic = (user: string): string => `Basic ${base64(user)}`;

let app: TestApp;
/** Another process on the same database and folder. */
let other: Server;
let rows: OstreeRows;
let repository: string;

before(async () => {
  const allowed = 'DECKLE_TEST_SECRET,DECKLE_TEST_EMPTY,DECKLE_TEST_UNSET';
  app = await startApp({
    worker: false,
    env: {
      PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS: allowed,
      DECKLE_TRUSTED_PROXIES: '127.0.0.1',
      DECKLE_TEST_SECRET: 'from the environment\n',
      DECKLE_TEST_EMPTY: '\n',
    },
  });
  other = await startServer({ ...app.services.config, PORT: await freePort() }, pino({ level: 'silent' }));
  rows = new OstreeRows(app.services);
  repository = await rows.repository();
  await rows.publish(repository, [{ path: 'config', bytes: Buffer.from('[core]\n') }]);
  await app.services.db.execute(sql`
    insert into app_user (username, password, is_superuser) values ('reader', ${await hashPassword('reading')}, false)`);
});
after(async () => {
  await other?.stop();
  await app?.stop();
});

let count = 0;
async function guard(kind: string, fields: object = {}): Promise<{ href: string; id: string }> {
  count += 1;
  const { status, body } = await app.request('POST', `${GUARDS}${kind}/`, { name: `guard ${count}`, ...fields });
  assert.equal(status, 201, JSON.stringify(body));
  return { href: body.pulp_href, id: body.pulp_href.split('/').at(-2) };
}

async function guarded(content_guard_id: string): Promise<string> {
  count += 1;
  await rows.distribution(`guarded/${count}`, { repository_id: repository, content_guard_id });
  return `/pulp/content/guarded/${count}/`;
}

const ask = (path: string, headers: Record<string, string> = {}, origin = app.url): Promise<PlainAnswer> =>
  plainRequest(origin, path, { headers });

/** Status, and in which words it was refused. */
async function verdict(path: string, headers: Record<string, string> = {}, origin = app.url): Promise<string> {
  const { status, body } = await ask(path, headers, origin);
  return status === 200 ? '200' : body.toString();
}

const DENIED = '403: Access denied.';

it('a header is read strictly', async () => {
  const path = await guarded((await guard('header', { header_name: 'X-Key', header_value: 'opén' })).id);
  assert.equal(await verdict(`${path}config`, { 'x-key': base64('opén') }), '200');
  for (const value of [
    '',
    'opén',
    base64('opén').replace(/=+$/, ''),
    base64('opén').replace('D', ' D'),
    `${base64('opén')}, ${base64('opén')}`,
    base64(Buffer.from([0xff, 0xfe])),
    base64('open'),
    base64('opén '),
  ]) {
    assert.equal(await verdict(`${path}config`, { 'x-key': Buffer.from(value).toString('latin1') }), DENIED, value);
  }
});

it('a value that a client adds to that of a proxy does not count', async () => {
  const path = await guarded((await guard('header', { header_name: 'x-key', header_value: 'open' })).id);
  const twice = await fetch(`${app.url}${path}config`, {
    headers: [
      ['x-key', base64('open')],
      ['x-key', base64('shut')],
    ],
  });
  assert.equal(twice.status, 403);
  await twice.text();
});

it('header guards that could let nobody pass are not made', async () => {
  const refused = async (fields: object, field: string) => {
    const answer = await app.request('POST', `${GUARDS}header/`, { name: 'x', header_name: 'x', header_value: 'x', ...fields });
    assert.equal(answer.status, 400);
    assert.deepEqual(Object.keys(answer.body), [field]);
  };
  for (const header_name of ['x key', 'x:key', 'x-ké', 'x\r\ny: z']) await refused({ header_name }, 'header_name');
  for (const jq_filter of ['.a[', '$ENV.HOME', '.a[]', 'def f: f; f']) await refused({ jq_filter }, 'jq_filter');
  const { href } = await guard('header', { header_name: 'x', header_value: 'x' });
  assert.equal((await app.request('PATCH', href, { jq_filter: 'input' })).status, 400);
});

it("a guard of an environment variable asks for the server's secret", async () => {
  const made = await guard('envvar_header', { header_name: 'x-key', env_var: 'DECKLE_TEST_SECRET' });
  const { body } = await app.request('GET', made.href);
  assert.equal(body.env_var, 'DECKLE_TEST_SECRET');
  assert.ok(!JSON.stringify(body).includes('from the environment'));
  const path = `${await guarded(made.id)}config`;
  assert.equal(await verdict(path, { 'x-key': base64('from the environment') }), '200');
  assert.equal(await verdict(path, { 'x-key': base64('from the environment\n') }), DENIED);
  assert.equal(await verdict(path), '403: Access not allowed. Header x-key not found.');
  const none = '403: Access not allowed - Header content is not Base64 encoded.';
  assert.equal(await verdict(path, { 'x-key': 'from the environment' }), none);
  const binary = base64(Buffer.from([0xff, 0xfe]));
  assert.equal(await verdict(path, { 'x-key': binary }), '403: Access not allowed - Header content is not valid UTF-8.');
});

it('a variable that holds nothing lets nobody pass', async () => {
  for (const env_var of ['DECKLE_TEST_EMPTY', 'DECKLE_TEST_UNSET']) {
    const path = `${await guarded((await guard('envvar_header', { header_name: 'x-key', env_var })).id)}config`;
    for (const value of ['', base64(''), base64('\n')]) assert.equal(await verdict(path, { 'x-key': value }), DENIED, env_var);
  }
});

it('an rbac guard asks who it is, and whether he may download', async () => {
  const path = `${await guarded((await guard('rbac')).id)}config`;
  assert.equal(await verdict(path, { authorization: basic('admin:password') }), '200');
  assert.equal(await verdict(path), '403: Authentication credentials were not provided.');
  assert.equal(await verdict(path, { authorization: 'Bearer x' }), '403: Authentication credentials were not provided.');
  assert.equal(
    await verdict(path, { authorization: basic('reader:reading') }),
    '403: You do not have permission to perform this action.',
  );
});

it('guesses at an rbac guard are slowed down', async () => {
  const path = `${await guarded((await guard('rbac')).id)}config`;
  const guess = (n: number) => ask(path, { authorization: basic(`guessed:${n}`), 'x-forwarded-for': '192.0.2.9' });
  const answers = await Promise.all(Array.from({ length: 20 }, (_none, n) => guess(n)));
  const throttled = answers.filter(({ status }) => status === 429);
  assert.ok(throttled.length > 0);
  assert.equal(answers.filter(({ status }) => status === 403).length, 20 - throttled.length);
  for (const { headers } of throttled) assert.match(headers['retry-after'] ?? '', /^\d+$/);
});

it('a role on an rbac guard, of a user or of his group, lets him pass, on every server, until it is taken', async () => {
  const { db } = app.services;
  const [group] = await db.query<{ id: number }>(sql`insert into app_group (name) values ('pullers') returning id`);
  await db.execute(sql`
    insert into app_group_member (group_id, user_id) select ${group?.id}::int, id from app_user where username = 'reader'`);
  const made = await guard('rbac');
  const path = `${await guarded(made.id)}config`;
  const elsewhere = `${await guarded((await guard('rbac')).id)}config`;
  const reads = async (expected: boolean) => {
    for (const origin of [app.url, other.url]) {
      assert.equal((await ask(path, { authorization: basic('reader:reading') }, origin)).status, expected ? 200 : 403);
      assert.equal((await ask(elsewhere, { authorization: basic('reader:reading') }, origin)).status, 403);
    }
  };
  const holders = async () => {
    const { body } = await app.request('GET', made.href);
    return [
      body.users.map(({ username }: { username: string }) => username),
      body.groups.map(({ name }: { name: string }) => name),
    ];
  };
  assert.deepEqual(await holders(), [['admin'], []]);
  await reads(false);
  for (const [who, shown] of [
    [{ users: ['reader'] }, [['admin', 'reader'], []]],
    [{ groups: ['pullers'] }, [['admin'], ['pullers']]],
  ] as const) {
    const role = { role: 'core.rbaccontentguard_downloader', ...who };
    assert.equal((await app.request('POST', `${made.href}add_role/`, role)).status, 201);
    assert.deepEqual(await holders(), shown);
    await reads(true);
    assert.equal((await app.request('POST', `${made.href}remove_role/`, role)).status, 201);
    await reads(false);
  }
  const { body } = await app.request('GET', made.href);
  assert.deepEqual(body.users[0], { username: 'admin', pulp_href: '/pulp/api/v3/users/1/', prn: 'prn:auth.user:1' });
  await db.execute(sql`delete from app_group where id = ${group?.id}::int`);
});

it('whoever may not see a guard cannot name it', async () => {
  const { db } = app.services;
  const reader = { user: 'reader:reading' };
  const seen = await guard('header', { header_name: 'x', header_value: 'x' });
  const unseen = await guard('header', { header_name: 'x', header_value: 'x' });
  await app.request('POST', `${seen.href}add_role/`, { role: 'core.headercontentguard_viewer', users: ['reader'] });
  assert.equal((await app.request('GET', unseen.href, undefined, reader)).status, 404);
  const listed = await app.request('GET', '/pulp/api/v3/contentguards/', undefined, reader);
  assert.deepEqual(
    listed.body.results.map(({ pulp_href }: { pulp_href: string }) => pulp_href),
    [seen.href],
  );
  const create = (name: string, guards: string[]) => app.request('POST', `${GUARDS}composite/`, { name, guards }, reader);
  assert.equal((await create('by reader', [seen.href])).status, 403);
  await db.execute(sql`
    insert into role_assignment (id, role_id, user_id)
    select ${v7()}::uuid, r.id, u.id from role r, app_user u where r.name = 'core.compositecontentguard_creator' and u.username = 'reader'`);
  const refused = await create('by reader', [seen.href, unseen.href]);
  assert.equal(refused.status, 400);
  assert.deepEqual(refused.body, { guards: ['Invalid hyperlink - Object does not exist.'] });
  const made = await create('by reader', [seen.href]);
  assert.equal(made.status, 201);
  assert.equal((await app.request('DELETE', made.body.pulp_href, undefined, reader)).status, 204, 'its creator owns it');
  assert.equal((await app.request('DELETE', seen.href, undefined, reader)).status, 403);
});

it('a refusal comes before anything is told of the content', async () => {
  const path = await guarded((await guard('rbac')).id);
  const said = new Set<string>();
  for (const below of ['', 'config', 'nope', 'objects/', 'objects', 'config?x=1']) {
    const { status, headers, body } = await ask(path + below);
    assert.equal(status, 403, below);
    assert.equal(headers.etag, undefined);
    assert.equal(headers['x-pulp-cache'], undefined);
    said.add(body.toString());
  }
  assert.equal(said.size, 1);
});

it('what a guard has let one client have, caches do not give to others', async () => {
  const path = await guarded((await guard('header', { header_name: 'x-key', header_value: 'open' })).id);
  for (const below of ['config', '']) {
    const { headers } = await ask(path + below, { 'x-key': base64('open') });
    assert.equal(headers['cache-control'], 'private, max-age=0, must-revalidate');
  }
});

it('a composite guard asks in turn; its words tell no names', async () => {
  const header = await guard('header', { header_name: 'x-key', header_value: 'open' });
  const rbac = await guard('rbac');
  const inner = await guard('composite', { guards: [rbac.href] });
  const composite = await guard('composite', { guards: [header.href, inner.href, rbac.href] });
  const path = `${await guarded(composite.id)}config`;
  assert.equal(await verdict(path, { 'x-key': base64('open') }), '200');
  assert.equal(await verdict(path, { authorization: basic('admin:password') }), '200');
  const refusal = await verdict(path);
  assert.match(refusal, /^403: Access forbidden\. Refusals: Access denied\. /);
  assert.ok(!/guard \d/.test(refusal));
});

it('a composite guard is not asked by itself, however long the way', async () => {
  const first = await guard('composite');
  const second = await guard('composite', { guards: [first.href] });
  const third = await guard('composite', { guards: [second.href] });
  for (const { href } of [first, second, third]) {
    const { status, body } = await app.request('PATCH', first.href, { guards: [href] });
    assert.equal(status, 400);
    assert.deepEqual(body, { guards: ['A guard cannot be asked by itself.'] });
  }
  // Two changes that are made at once may close a circle all the same.
  await app.services.db.execute(sql`
    insert into composite_guard_member (composite_id, guard_id, position) values (${first.id}::uuid, ${third.id}::uuid, 1)`);
  assert.match(await verdict(`${await guarded(third.id)}config`), /^403: Access forbidden/);
});

it('guards that a body names must be there, and be guards', async () => {
  const missing = `${GUARDS}rbac/${v7()}/`;
  for (const named of [missing, `prn:core.rbaccontentguard:${v7()}`, '/pulp/api/v3/tasks/', 'x', `/pulp/api/v3/tasks/${v7()}/`]) {
    const { status, body } = await app.request('POST', `${GUARDS}composite/`, { name: 'x', guards: [named] });
    assert.equal(status, 400, named);
    assert.deepEqual(Object.keys(body), ['guards']);
  }
  const answer = await app.request('POST', `${GUARDS}composite/`, { name: 'x', guards: [1, null] });
  assert.equal(answer.status, 400);
  assert.equal((await app.request('GET', `/pulp/api/v3/contentguards/?name=x`)).body.count, 0);
});

it('what is changed of a guard counts for the next request, on every server', async () => {
  const made = await guard('header', { header_name: 'x-key', header_value: 'one' });
  const path = `${await guarded(made.id)}config`;
  const both = async (key: string, expected: string) => {
    for (const origin of [app.url, other.url]) assert.equal(await verdict(path, { 'x-key': base64(key) }, origin), expected);
  };
  await both('one', '200');
  for (const value of ['two', 'three', 'four']) {
    assert.equal((await app.request('PATCH', made.href, { header_value: value })).status, 200);
    await both(value, '200');
    await both('one', DENIED);
  }
  assert.equal((await app.request('DELETE', made.href)).status, 204);
  await both('one', '200');
  await both('four', '200');
});

it('signed URLs are good for their path, and for an hour', async () => {
  const path = await guarded((await guard('content_redirect')).id);
  const urls = await ContentUrls.load(app.services);
  const queryOf = (from: ContentUrls) => new URL(from.sign(`${path}config`)).search;
  assert.equal(await verdict(`${path}config${queryOf(urls)}`), '200');
  assert.equal(await verdict(`${path}summary${queryOf(urls)}`), '403: Access not authenticated');
  assert.equal(await verdict(`${path}config`), '403: Access not authenticated');
  const early = await ContentUrls.load({ ...app.services, clock: () => new Date(Date.now() - 3_601_000) });
  assert.equal(await verdict(`${path}config${queryOf(early)}`), '403: Authentication expired');
});

it('the default guard of container distributions is not taken for another of its name', async () => {
  const { body } = await app.request('GET', `${GUARDS}content_redirect/?name=content+redirect`);
  assert.equal((await app.request('DELETE', body.results[0].pulp_href)).status, 204);
  const distribution = { name: 'images', base_path: 'images' };
  await app.request('POST', `${GUARDS}rbac/`, { name: 'content redirect' });
  const refused = await app.request('POST', '/pulp/api/v3/distributions/container/container/', distribution);
  assert.equal(refused.status, 400);
  assert.deepEqual(Object.keys(refused.body), ['content_guard']);
});

it('the pages of folders leave guarded distributions out where the operator wants it', async () => {
  await rows.distribution('closed', { repository_id: repository, content_guard_id: (await guard('rbac')).id });
  await rows.distribution('plain', { repository_id: repository });
  const links = async (origin: string) =>
    [...(await ask('/pulp/content/', {}, origin)).body.toString().matchAll(/href="\.\/(closed|plain)\//g)].map(
      ([, name]) => name,
    );
  assert.deepEqual(await links(app.url), ['closed', 'plain']);
  const config = { ...app.services.config, PORT: await freePort(), PULP_HIDE_GUARDED_DISTRIBUTIONS: true };
  const hiding = await startServer(config, pino({ level: 'silent' }));
  try {
    assert.deepEqual(await links(hiding.url), ['plain']);
  } finally {
    await hiding.stop();
  }
});
