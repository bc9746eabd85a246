import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { sql } from '../../../src/db/sql.ts';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';

const run = promisify(execFile);
const API = '/pulp/api/v3/';
const TOKENS = `${API}api-tokens/`;
const LOGIN = `${API}login/`;
const PASSWORD = 'Zebra-9981';

let app: TestApp;
let number = 0;
before(async () => {
  app = await startApp({ worker: false, env: { DECKLE_TRUSTED_PROXIES: '127.0.0.1' } });
});
after(() => app?.stop());

interface TestUser {
  readonly href: string;
  readonly username: string;
  /** Credentials, with the password or with a token in its place. */
  readonly as: (password?: string) => { readonly user: string; readonly headers: Record<string, string> };
  /** Each user has an address of his own, so that failures of one do not slow down another. */
  readonly at: { readonly 'x-forwarded-for': string };
}

async function createUser(): Promise<TestUser> {
  const username = `robot-keeper-${++number}`;
  const { status, body } = await app.request('POST', `${API}users/`, { username, password: PASSWORD });
  assert.equal(status, 201, JSON.stringify(body));
  const at = { 'x-forwarded-for': `10.0.0.${number}` };
  return { href: body.pulp_href, username, at, as: (password = PASSWORD) => ({ user: `${username}:${password}`, headers: at }) };
}

async function createToken({ as }: TestUser, more: object = {}): Promise<Answer['body']> {
  const { status, body } = await app.request('POST', TOKENS, { name: `token-${++number}`, ...more }, as());
  assert.equal(status, 201, JSON.stringify(body));
  return body;
}

/** What the REST API and the registry's token server answer to a user with this password. */
async function answers({ as, at, username }: TestUser, password: string): Promise<{ rest: number; get: number; post: number }> {
  const query = `service=${new URL(app.services.config.PULP_CONTENT_ORIGIN).host}`;
  const form = new URLSearchParams({ grant_type: 'password', username, password, service: query.slice('service='.length) });
  const post = await app.request('POST', '/token/', form.toString(), {
    user: null,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...at },
  });
  return {
    rest: (await app.request('GET', LOGIN, undefined, as(password))).status,
    get: (await app.request('GET', `/token/?${query}`, undefined, as(password))).status,
    post: post.status,
  };
}
const LET_IN = { rest: 200, get: 200, post: 200 };
const REFUSED = { rest: 401, get: 401, post: 401 };

describe('an API token', () => {
  it('is told once, and stands for the password of its user, of no other', async () => {
    const [user, other] = [await createUser(), await createUser()];
    const made = await app.request('POST', TOKENS, { name: 'ci' }, user.as());
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('cache-control'), 'no-store');
    const { token, ...rest } = made.body;
    assert.match(token, /^dkl_[\w-]{43}$/);
    assert.deepEqual([rest.name, rest.user, rest.expires_at, rest.last_used_at], ['ci', user.href, null, null]);
    assert.equal(rest.pulp_href, made.headers.get('location'));
    assert.deepEqual((await app.request('GET', rest.pulp_href, undefined, user.as())).body, rest);
    assert.deepEqual(await answers(user, token), LET_IN);
    assert.deepEqual(await answers(other, token), REFUSED);
    assert.deepEqual(await answers(user, `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`), REFUSED);
  });

  it('is stored as a hash only', async () => {
    const { token } = await createToken(await createUser());
    const [stored] = await app.services.db.query<{ rows: string }>(sql`
      select string_agg(t::text, '') || encode(string_agg(secret_hash, ''), 'escape') || (select coalesce(string_agg(a::text, ''), '') from audit_entry a)
        as rows from api_token t`);
    assert.ok(!stored?.rows.includes(token.slice(4)));
  });

  it('is void from the next request on when it is revoked or expired, or its user deactivated', async () => {
    const user = await createUser();
    const revoked = await createToken(user);
    const kept = await createToken(user, { expires_at: '2999-01-01T00:00:00Z' });
    assert.deepEqual(await answers(user, revoked.token), LET_IN);
    assert.equal((await app.request('DELETE', revoked.pulp_href, undefined, user.as())).status, 204);
    assert.deepEqual(await answers(user, revoked.token), REFUSED);
    assert.deepEqual(await answers(user, kept.token), LET_IN);
    await app.services.db.execute(
      sql`update api_token set expires_at = now() where user_id = ${Number(user.href.split('/').at(-2))}`,
    );
    assert.deepEqual(await answers(user, kept.token), REFUSED);
    const another = await createToken(user);
    assert.equal((await app.request('PATCH', user.href, { is_active: false })).status, 200);
    assert.deepEqual(await answers(user, another.token), REFUSED);
  });

  it('takes sessions and refresh tokens with it that were begun with it', async () => {
    const user = await createUser();
    const { token, pulp_href } = await createToken(user);
    const begun = await app.request('POST', LOGIN, undefined, user.as(token));
    const cookie = begun.headers
      .getSetCookie()
      .map((line) => line.split(';', 1)[0])
      .join('; ');
    const service = new URL(app.services.config.PULP_CONTENT_ORIGIN).host;
    const form = (fields: Record<string, string>) =>
      app.request('POST', '/token/', new URLSearchParams({ service, ...fields }).toString(), {
        user: null,
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...user.at },
      });
    const offline = { grant_type: 'password', username: user.username, password: token, access_type: 'offline' };
    const refresh = { grant_type: 'refresh_token', refresh_token: (await form(offline)).body.refresh_token };
    const known = async () => [
      (await app.request('GET', LOGIN, undefined, { user: null, headers: { cookie } })).status,
      (await form(refresh)).status,
    ];
    assert.deepEqual(await known(), [200, 200]);
    assert.equal((await app.request('DELETE', pulp_href, undefined, user.as())).status, 204);
    assert.deepEqual(await known(), [401, 401]);
  });

  it('outlives a change of the password', async () => {
    const user = await createUser();
    const { token } = await createToken(user);
    await app.request('PATCH', user.href, { password: 'Quagga-7712' });
    assert.deepEqual(await answers(user, token), LET_IN);
  });

  it('says when it was used, to the minute', async () => {
    const user = await createUser();
    const { token, pulp_href } = await createToken(user);
    const lastUsed = async () => (await app.request('GET', pulp_href, undefined, user.as())).body.last_used_at;
    await app.request('GET', LOGIN, undefined, user.as(token));
    const first = await lastUsed();
    assert.ok(Math.abs(Date.now() - Date.parse(first)) < 60_000);
    await app.request('GET', LOGIN, undefined, user.as(token));
    assert.equal(await lastUsed(), first);
    await app.services.db.execute(
      sql`update api_token set last_used_at = now() - interval '61 seconds' where id = ${pulp_href.split('/').at(-2)}::uuid`,
    );
    await app.request('GET', LOGIN, undefined, user.as(token));
    assert.ok((await lastUsed()) > first);
  });
});

describe('API tokens', () => {
  it('are seen and revoked by their user, and by administrators', async () => {
    const [user, other] = [await createUser(), await createUser()];
    const { pulp_href: href, name } = await createToken(user);
    const names = async (options?: object) =>
      (await app.request('GET', `${TOKENS}?name=${name}`, undefined, options)).body.results.map(
        (token: { name: string }) => token.name,
      );
    assert.deepEqual(await names(user.as()), [name]);
    assert.deepEqual(await names(), [name]);
    assert.deepEqual(await names(other.as()), []);
    for (const method of ['GET', 'DELETE']) {
      assert.equal((await app.request(method, href, undefined, other.as())).status, 404);
      assert.equal((await app.request(method, href, undefined, { user: null })).status, 401);
    }
    const found = await app.request('GET', `${TOKENS}?user=${user.href}`);
    assert.deepEqual(
      found.body.results.map((token: { pulp_href: string }) => token.pulp_href),
      [href],
    );
    assert.equal((await app.request('DELETE', href)).status, 204);
    assert.deepEqual(await names(user.as()), []);
  });

  it('are made for others by administrators alone', async () => {
    const [user, other] = [await createUser(), await createUser()];
    const refused = await app.request('POST', TOKENS, { name: 'x', user: other.href }, user.as());
    assert.deepEqual([refused.status, refused.body], [400, { user: ['Invalid hyperlink - Object does not exist.'] }]);
    const made = await app.request('POST', TOKENS, { name: 'for another', user: other.href });
    assert.deepEqual([made.status, made.body.user], [201, other.href]);
    assert.deepEqual(await answers(other, made.body.token), LET_IN);
  });

  it('have names, each another of its user, and end in the future', async () => {
    const user = await createUser();
    const create = async (body: object) => {
      const { status, body: answer } = await app.request('POST', TOKENS, body, user.as());
      return [status, answer];
    };
    assert.equal((await create({ name: 'one' }))[0], 201);
    assert.deepEqual(await create({ name: 'one' }), [400, { name: ['This field must be unique.'] }]);
    assert.deepEqual(await create({}), [400, { name: ['This field is required.'] }]);
    assert.deepEqual(await create({ name: 'two', expires_at: '2020-01-01T00:00:00Z' }), [
      400,
      { expires_at: ['This is in the past.'] },
    ]);
    assert.equal((await create({ name: 'two', token: 'dkl_mine' }))[0], 400);
    assert.equal((await createUser().then((next) => createToken(next, { name: 'one' }))).name, 'one');
  });

  it('that are guessed count as failed logins', async () => {
    const { as } = await createUser();
    const statuses = [];
    for (let n = 0; n < 12; n += 1) {
      const guess = `dkl_${String(n).padStart(43, '0')}`;
      statuses.push((await app.request('GET', LOGIN, undefined, as(guess))).status);
    }
    assert.equal(statuses[0], 401);
    assert.ok(statuses.includes(429), String(statuses));
  });
});

for (const client of ['docker', 'podman', 'skopeo']) {
  it(`${client} logs in with an API token, and no longer when it is revoked`, { skip: missing(client) }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'deckle-login-'));
    try {
      await mkdir(join(folder, '.docker'));
      const env = {
        PATH: process.env.PATH,
        HOME: folder,
        DOCKER_CONFIG: join(folder, '.docker'),
        REGISTRY_AUTH_FILE: join(folder, 'auth.json'),
        XDG_RUNTIME_DIR: folder,
      };
      const user = await createUser();
      const { token, pulp_href } = await createToken(user);
      const login = () =>
        run(
          client,
          ['login', ...(client === 'docker' ? [] : ['--tls-verify=false']), '-u', user.username, '-p', token, app.host],
          { env },
        );
      assert.match((await login()).stdout, /Login Succeeded/);
      await app.request('DELETE', pulp_href);
      await assert.rejects(login());
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}
