import assert from 'node:assert/strict';
import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose';
import { v7 } from 'uuid';
import { sql } from '../../src/db/sql.ts';
import { assertRefused, digestOf, RegistryUser } from './push-rig.ts';
import { ADMIN, basicHeader, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const NAME = 'tokens/app';
const READER = { username: 'reader', password: 'reading' };

let world: RegistryWorld;
let user: RegistryUser;
/** Of the token that the administrator is given for NAME. */
let claims: JWTPayload;
let header: JWTHeaderParameters;
let token: string;
let key: KeyObject;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
  token = await user.token(`repository:${NAME}:pull,push`);
  const [first, second] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  [header, claims] = [JSON.parse(first as string), JSON.parse(second as string)];
  const pem = await readFile(join(world.services.config.DATA_DIR, 'keys/token.pem'), 'utf8');
  key = createPrivateKey(pem);
});
afterEach(() => assert.deepEqual(world.faults(), []));
after(() => world?.stop());

/** A request for an upload of NAME, with these credentials. */
const begin = (authorization: string | undefined, name = NAME): Promise<Response> =>
  fetch(`${world.server.origin}/v2/${name}/blobs/uploads/`, {
    method: 'POST',
    headers: authorization === undefined ? {} : { authorization },
  });

/** The administrator's token with other claims or header, signed by this key. */
const forged = (changed: JWTPayload, head: Partial<JWTHeaderParameters> = {}, by = key): Promise<string> =>
  new SignJWT({ ...claims, ...changed }).setProtectedHeader({ ...header, ...head }).sign(by);

const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = (): number => Math.floor(Date.now() / 1000);

describe('a token that was not given for this', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rows: Readonly<Record<string, () => string | Promise<string>>> = {
    'is none': () => 'abc',
    'is empty in its parts': () => '..',
    'is not signed': () => `${base64({ ...header, alg: 'none' })}.${base64(claims)}.`,
    'is not signed, and says ES256': () => `${base64(header)}.${base64(claims)}.`,
    'is signed with the public key, as if it were a secret': async () => {
      const { d: _, ...open } = createPublicKey(key).export({ format: 'jwk' });
      const secrets = [
        Buffer.from(createPublicKey(key).export({ type: 'spki', format: 'pem' })),
        createPublicKey(key).export({ type: 'spki', format: 'der' }),
        Buffer.from(JSON.stringify(open)),
      ];
      const [one] = await Promise.all(secrets.map((secret) => forged({}, { alg: 'HS256' }, createSecretKey(secret))));
      return one as string;
    },
    'is signed with another key': () => forged({}, {}, other.privateKey),
    'brings its own key': () => forged({}, { jwk: other.publicKey.export({ format: 'jwk' }) }, other.privateKey),
    'names a key that is none': () => forged({}, { kid: '../../etc/passwd' }),
    'names no key': () => `${base64({ alg: 'ES256', typ: 'JWT' })}.${token.split('.').slice(1).join('.')}`,
    'names a prototype for its key': () => forged({}, { kid: '__proto__' }),
    'is critical in ways that nobody knows': () =>
      new SignJWT(claims).setProtectedHeader({ ...header, crit: ['x'], x: 1 }).sign(key, { crit: { x: true } }),
    'has expired': () => forged({ exp: now() - 3600 }),
    'never expires': () => {
      const { exp: _, ...endless } = claims;
      return new SignJWT(endless).setProtectedHeader(header).sign(key);
    },
    'is not good yet': () => forged({ nbf: now() + 3600 }),
    'is for another audience': () => forged({ aud: 'registry.example' }),
    'is by another issuer': () => forged({ iss: 'https://registry.example/token/' }),
    'is of another type': () => forged({}, { typ: 'at+jwt' }),
    'has other claims than were signed': () => {
      const [head, , signature] = token.split('.');
      return `${head}.${base64({ ...claims, sub: 'reader' })}.${signature}`;
    },
    'has access that is no list': () => forged({ access: { type: 'repository', name: NAME, actions: ['push'] } }),
    'is to be had by POST, for refreshing': async () => {
      const form = {
        grant_type: 'password',
        service: world.server.host,
        access_type: 'offline',
        scope: `repository:${NAME}:pull,push`,
      };
      const response = await fetch(`${world.server.origin}/token/`, {
        method: 'POST',
        body: new URLSearchParams({ ...form, ...ADMIN }),
      });
      return ((await response.json()) as { refresh_token: string }).refresh_token;
    },
  };
  for (const [what, make] of Object.entries(rows)) {
    it(`${what}: 401, and where to get one`, async () => {
      const response = await begin(`Bearer ${await make()}`);
      assert.match(
        response.headers.get('www-authenticate') ?? '',
        /^Bearer realm="[^"]+",service="[^"]+",scope="repository:tokens\/app:pull,push",error="invalid_token"$/,
      );
      await assertRefused(response, 401, 'UNAUTHORIZED');
    });
  }

  it('differs in nothing else from one that is', async () => {
    assert.equal((await begin(`Bearer ${await forged({})}`)).status, 202);
  });
});

describe('a token', () => {
  const scopes: Readonly<Record<string, readonly object[]>> = {
    'for another repository': [{ type: 'repository', name: 'tokens/other', actions: ['pull', 'push'] }],
    'for a part of the name': [{ type: 'repository', name: 'tokens', actions: ['pull', 'push'] }],
    'for more than the name': [{ type: 'repository', name: `${NAME}/more`, actions: ['pull', 'push'] }],
    'for the name as a pattern': [{ type: 'repository', name: '*', actions: ['*'] }],
    'for pulling': [{ type: 'repository', name: NAME, actions: ['pull'] }],
    'for deleting': [{ type: 'repository', name: NAME, actions: ['pull', 'delete'] }],
    'for another type': [{ type: 'repository(plugin)', name: NAME, actions: ['push'] }],
    'for the catalog': [{ type: 'registry', name: 'catalog', actions: ['*'] }],
    'for nothing': [],
  };
  for (const [what, access] of Object.entries(scopes)) {
    it(`${what} pushes nothing`, async () => {
      const authorization = `Bearer ${await forged({ access })}`;
      const location = await user.begin(NAME);
      const digest = digestOf(randomBytes(16));
      for (const [method, path] of [
        ['POST', `/v2/${NAME}/blobs/uploads/`],
        ['POST', `/v2/${NAME}/blobs/uploads/?digest=${digest}`],
        ['GET', location],
        ['PATCH', location],
        ['PUT', `${location}?digest=${digest}`],
        ['PUT', `/v2/${NAME}/manifests/latest`],
        ...(what === 'for deleting' ? [] : [['DELETE', `/v2/${NAME}/manifests/latest`] as const]),
        ...(what === 'for deleting' ? [] : [['DELETE', `/v2/${NAME}/blobs/${digest}`] as const]),
      ] as const) {
        const body = method === 'PATCH' || method === 'PUT' ? { body: 'x' } : {};
        const response = await fetch(`${world.server.origin}${path}`, { method, headers: { authorization }, ...body });
        assert.match(response.headers.get('www-authenticate') ?? '', /error="insufficient_scope"$/, `${method} ${path}`);
        await assertRefused(response, 401, 'UNAUTHORIZED', `${method} ${path}`);
      }
    });
  }

  it('of a user who is gone, or may not log in any more, pushes nothing', async () => {
    for (const sub of ['', 'nobody', 'a\0b'])
      await assertRefused(await begin(`Bearer ${await forged({ sub })}`), 401, 'UNAUTHORIZED');
    const inactive = `Bearer ${await forged({ sub: 'admin2' })}`;
    await world.services.db.execute(sql`
      insert into app_user (username, password, is_superuser, is_active) values ('admin2', '', true, true)`);
    assert.equal((await begin(inactive)).status, 202);
    await world.services.db.execute(sql`update app_user set is_active = false where username = 'admin2'`);
    await world.services.db.seenEverywhere();
    await assertRefused(await begin(inactive), 401, 'UNAUTHORIZED');
  });
});

describe('without a token', () => {
  it('nobody, a user by password and a wrong password are sent to the token server', async () => {
    for (const credentials of [
      undefined,
      basicHeader(ADMIN),
      basicHeader({ username: 'admin', password: 'x' }),
      'Bearer',
      'Digest x',
      'Basic Og==',
    ]) {
      const response = await begin(credentials);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer realm="/, credentials);
      await assertRefused(response, 401, 'UNAUTHORIZED', credentials);
    }
  });

  it('nobody is given one that pushes, nor is who may not', async () => {
    for (const nobody of [new RegistryUser(world.server, null), new RegistryUser(world.server, READER)]) {
      const response = await nobody.ask('POST', NAME, 'blobs/uploads/');
      assert.match(response.headers.get('www-authenticate') ?? '', /error="insufficient_scope"$/);
      await assertRefused(response, 401, 'UNAUTHORIZED');
    }
  });
});

describe('a blob is mounted', () => {
  const bytes = randomBytes(500);
  const mount = async (from: string, scopes: readonly string[]): Promise<number> => {
    const query = scopes.map((scope) => `scope=${scope}`).join('&');
    const response = await fetch(`${world.server.origin}/token/?service=${world.server.host}&${query}`, {
      headers: { authorization: basicHeader(ADMIN) },
    });
    const { token: given } = (await response.json()) as { token: string };
    const target = `${world.server.origin}/v2/tokens/mount/blobs/uploads/?mount=${digestOf(bytes)}&from=${from}`;
    return (await fetch(target, { method: 'POST', headers: { authorization: `Bearer ${given}` } })).status;
  };
  const TARGET = 'repository:tokens/mount:pull,push';
  const forget = () =>
    world.services.db.execute(sql`
      delete from container_pending_content p using repository r where r.id = p.repository_id and r.name = 'tokens/mount'`);

  it('from a private repository by a token that may pull from there, and from a public one by any', async () => {
    await user.blob('mount/source', bytes);
    assert.equal(await mount('mount/source', [TARGET]), 201);
    await forget();
    const [row] = await world.services.db.query<{ id: string }>(sql`select id from distribution where name = 'mount/source'`);
    const id = row?.id as string;
    await world.change('deckle_distribution', id, sql`update container_distribution set private = true where id = ${id}::uuid`);
    assert.equal(await mount('mount/source', [TARGET]), 202);
    assert.equal((await user.ask('HEAD', 'tokens/mount', `blobs/${digestOf(bytes)}`)).status, 404);
    assert.equal(await mount('mount/source', [TARGET, 'repository:mount/source:pull']), 201);
    await forget();
  });

  it('from no repository that a guard protects', async () => {
    await user.blob('mount/guarded', bytes);
    const { db, domain } = world.services;
    const guard = v7();
    await db.execute(sql`
      insert into content_guard (id, domain_id, pulp_type, name, pulp_last_updated)
      values (${guard}::uuid, ${domain.id}::uuid, 'core.header', 'mount', now())`);
    await db.execute(
      sql`insert into header_content_guard (id, header_name, header_value) values (${guard}::uuid, 'x-key', 'open')`,
    );
    const [row] = await db.query<{ id: string }>(sql`select id from distribution where name = 'mount/guarded'`);
    const id = row?.id as string;
    const scopes = [TARGET, 'repository:mount/guarded:pull'];
    assert.equal(await mount('mount/guarded', scopes), 201);
    await forget();
    await world.change(
      'deckle_distribution',
      id,
      sql`update distribution set content_guard_id = ${guard}::uuid where id = ${id}::uuid`,
    );
    assert.equal(await mount('mount/guarded', scopes), 202);
    assert.equal((await user.ask('HEAD', 'tokens/mount', `blobs/${digestOf(bytes)}`)).status, 404);
  });
});

describe('where tokens are switched off', () => {
  let plain: RegistryWorld;
  before(async () => {
    plain = await startRegistryWorld({ PULP_TOKEN_AUTH_DISABLED: 'true' });
  });
  after(() => plain?.stop());

  const ask = (authorization: string | undefined, path: string, method = 'POST', body?: Buffer): Promise<Response> =>
    fetch(`${plain.server.origin}/v2/basic/app/${path}`, {
      method,
      headers: authorization === undefined ? {} : { authorization },
      ...(body ? { body } : {}),
    });

  it('who may push does so by his password, others are told why not', async () => {
    const bytes = randomBytes(100);
    const path = `blobs/uploads/?digest=${digestOf(bytes)}`;
    assert.equal((await ask(basicHeader(ADMIN), path, 'POST', bytes)).status, 201);
    for (const nobody of [undefined, 'Basic Og==', basicHeader({ ...ADMIN, password: 'wrong' }), `Bearer ${token}`]) {
      const response = await ask(nobody, path, 'POST', bytes);
      assert.equal(response.headers.get('www-authenticate'), 'Basic realm="registry"', nobody);
      await assertRefused(response, 401, 'UNAUTHORIZED', nobody);
    }
    await assertRefused(await ask(basicHeader(READER), path, 'POST', bytes), 403, 'DENIED');
    await assertRefused(await ask(basicHeader(READER), 'manifests/latest', 'PUT', bytes), 403, 'DENIED');
    await assertRefused(await ask(basicHeader(READER), `blobs/${digestOf(bytes)}`, 'DELETE'), 403, 'DENIED');
    assert.deepEqual(plain.faults(), []);
  });
});
