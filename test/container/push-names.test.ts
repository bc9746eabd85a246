import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import { v7 } from 'uuid';
import { sql } from '../../src/db/sql.ts';
import { simpleImage } from '../support/images.ts';
import { assertRefused, bytesOf, digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
});
afterEach(() => assert.deepEqual(world.faults(), []));
after(() => world?.stop());

const rows = (query: ReturnType<typeof sql>) => world.services.db.query<{ name: string }>(query);
const repositories = async () => (await rows(sql`select name from repository order by name`)).map(({ name }) => name);

/** A request whose path is sent as it is written. */
async function raw(method: string, path: string): Promise<{ status: number | undefined; body: string }> {
  const authorization = `Bearer ${await user.token('repository:any:pull,push')}`;
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(world.server.origin);
    const asked = request({ hostname, port, method, path, headers: { authorization } }, async (response) =>
      resolve({ status: response.statusCode, body: Buffer.concat(await response.toArray()).toString() }),
    );
    asked.on('error', reject).end();
  });
}

describe('a name', () => {
  for (const name of [
    'Upper/case',
    'a/../any',
    'a/%2e%2e/any',
    'a/%2E./any',
    './any',
    'any/.',
    'any/..',
    'a//b',
    '/a',
    'a/',
    'a%2F..%2Fany',
    'a%2F%2Fb',
    'a\\any',
    'a%5Cany',
    'a%00',
    'a%0a',
    'a%20b',
    'a+b',
    '%C3%A4',
    '-a',
    'a-',
    'a..b',
    'a___b',
    '_a',
    '%20',
    `a/${'b'.repeat(254)}`,
  ]) {
    it(`like ${name.slice(0, 30)} is none, and nothing comes of it`, async () => {
      const before = await repositories();
      for (const [method, path] of [
        ['POST', `/v2/${name}/blobs/uploads/`],
        ['POST', `/v2/${name}/blobs/uploads/?digest=${digestOf(Buffer.alloc(0))}`],
        ['PUT', `/v2/${name}/manifests/latest`],
        ['PATCH', `/v2/${name}/blobs/uploads/${v7()}`],
        ['DELETE', `/v2/${name}/manifests/latest`],
      ] as const) {
        const { status, body } = await raw(method, path);
        assert.equal(status, 400, `${method} ${path} ${body}`);
        assert.equal(JSON.parse(body).errors[0].code, 'NAME_INVALID', `${method} ${path}`);
      }
      assert.deepEqual(await repositories(), before);
    });
  }

  it('that cannot be decoded is no path', async () => {
    for (const name of ['a%', 'a%zz', '%ed%a0%80', '%ff'])
      for (const [method, path] of [
        ['POST', `/v2/${name}/blobs/uploads/`],
        ['PUT', `/v2/${name}/manifests/latest`],
      ] as const) {
        const { status } = await raw(method, path);
        assert.ok(status === 400 || status === 404, `${method} ${path} ${status}`);
      }
  });

  it('may be 255 characters long, or look like a path of the API', async () => {
    const names = [
      `a/${'b'.repeat(253)}`,
      'blobs',
      'x/blobs/uploads',
      'x/manifests/latest',
      'x/tags/list',
      'uploads/blobs/uploads/blobs',
      'a__b/c-d/e.f/g--h',
    ];
    for (const name of names) {
      const image = simpleImage(name);
      const bytes = randomBytes(300);
      const location = await user.begin(name);
      assert.equal((await user.ask('PUT', name, `${location}?digest=${digestOf(bytes)}`, { body: bytes })).status, 201, name);
      await user.image(name, 'latest', image);
      const got = await user.ask('GET', name, 'manifests/latest');
      assert.deepEqual(Buffer.from(await got.arrayBuffer()), image.bytes, name);
      assert.deepEqual(await versionsOf(world.server, name), [0, 1], name);
    }
  });

  it('may lie neither within another one nor around it', async () => {
    await user.blob('over/lap', randomBytes(10));
    for (const name of ['over', 'over/lap/ped'])
      for (const query of ['', `?digest=${digestOf(Buffer.alloc(0))}`]) {
        await assertRefused(await user.ask('POST', name, `blobs/uploads/${query}`), 400, 'NAME_INVALID', name);
        assert.equal(await versionsOf(world.server, name), undefined);
      }
    await user.blob('over/lapped', randomBytes(10));
    assert.deepEqual(await rows(sql`select name from container_namespace where name = 'over'`), [{ name: 'over' }]);
  });

  it('of something else is taken', async () => {
    const { db, domain } = world.services;
    const repository = (name: string, id = v7()) =>
      db.execute(sql`
      insert into repository (id, domain_id, pulp_type, name, pulp_last_updated)
      values (${id}::uuid, ${domain.id}::uuid, 'ostree.ostree', ${name}, now())`);
    const distribution = (name: string, path: string) =>
      db.execute(sql`
      insert into distribution (id, domain_id, pulp_type, name, base_path, pulp_last_updated)
      values (${v7()}::uuid, ${domain.id}::uuid, 'ostree.ostree', ${name}, ${path}, now())`);
    await repository('taken/repository');
    await distribution('taken/distribution', 'elsewhere');
    await distribution('another name', 'taken/path');
    for (const name of ['taken/repository', 'taken/distribution', 'taken/path']) {
      const response = await user.ask('POST', name, 'blobs/uploads/');
      await assertRefused(response, 400, 'NAME_INVALID', name);
    }
    assert.deepEqual(await rows(sql`select name from container_namespace where name = 'taken'`), []);
    assert.deepEqual(
      await rows(sql`select r.name from repository r join container_repository c on c.id = r.id where r.name like 'taken%'`),
      [],
    );
  });
});

describe('a part of a blob', () => {
  const bytes = randomBytes(1000);
  const range = (text: string) => user.ask('GET', 'ranges/app', `blobs/${digestOf(bytes)}`, { headers: { range: text } });
  before(() => user.blob('ranges/app', bytes));

  it('beyond its end is none', async () => {
    for (const text of ['bytes=1000-', 'bytes=1000-1001', 'bytes=99999999999999999999-', 'bytes=-0']) {
      const response = await range(text);
      assert.equal(response.headers.get('content-range'), 'bytes */1000', text);
      await assertRefused(response, 416, 'SIZE_INVALID', text);
    }
  });

  it('that goes over its end, ends there', async () => {
    for (const [text, first, last] of [
      ['bytes=990-2000', 990, 999],
      ['bytes=990-99999999999999999999', 990, 999],
      ['bytes=-5000', 0, 999],
      ['bytes=0-0', 0, 0],
    ] as const) {
      const response = await range(text);
      assert.equal(response.status, 206, text);
      assert.equal(response.headers.get('content-range'), `bytes ${first}-${last}/1000`, text);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes.subarray(first, last + 1), text);
    }
  });

  it('that is said in a way that is not understood is the whole', async () => {
    for (const text of [
      'bytes=500-0',
      'bytes=',
      'bytes',
      'bytes=-',
      'bytes=a-b',
      'lines=0-1',
      'bytes=0-1,5-6',
      'bytes=--1',
      'bytes=1-2-3',
    ]) {
      const response = await range(text);
      assert.equal(response.status, 200, text);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes, text);
    }
  });
});

describe('a page', () => {
  it('has at most as many entries as is asked for, by a number', async () => {
    const image = simpleImage('paged');
    for (const tag of ['a', 'b']) await user.image('pages/app', tag, image);
    const scopes = { tags: 'repository:pages/app:pull', catalog: 'registry:catalog:*' };
    for (const [list, path, scope] of [
      ['tags', '/v2/pages/app/tags/list', scopes.tags],
      ['repositories', '/v2/_catalog', scopes.catalog],
      ['manifests', `/v2/pages/app/referrers/${image.digest}`, scopes.tags],
    ] as const) {
      const headers = { authorization: `Bearer ${await user.token(scope)}` };
      const ask = (query: string) => fetch(`${world.server.origin}${path}?${query}`, { headers });
      for (const n of ['-1', '1.5', '1e3', 'x', '', '0x10', '%00', '1%00', '٣', 'NaN', 'Infinity'])
        await assertRefused(await ask(`n=${n}`), 400, 'PAGINATION_NUMBER_INVALID', `${list} ${n}`);
      for (const n of ['0', '00', '1', '1000', '1001', '2147483648', '9'.repeat(30), '9'.repeat(400)]) {
        const response = await ask(`n=${n}`);
        assert.equal(response.status, 200, `${list} ${n}`);
        const entries = ((await response.json()) as Record<string, unknown[]>)[list] as unknown[];
        assert.ok(entries.length <= Number(n), `${list} ${n}`);
      }
      for (const last of ['%00', 'zzz', '%ed%a0%80', `${'z'.repeat(4000)}`])
        assert.equal((await ask(`last=${last}`)).status, 200, last);
    }
  });
});

describe('a digest in a path', () => {
  it('that is none is refused', async () => {
    await user.blob('digests/app', bytesOf(simpleImage('digests').blobs[0] as never));
    for (const digest of [
      'sha256:abc',
      `sha256:${'A'.repeat(64)}`,
      `sha256:${'a'.repeat(65)}`,
      `md5:${'a'.repeat(32)}`,
      'sha256:',
      ':',
    ])
      for (const [method, noun] of [
        ['DELETE', 'blobs'],
        ['HEAD', 'blobs'],
        ['PUT', 'manifests'],
        ['DELETE', 'manifests'],
        ['GET', 'referrers'],
      ] as const) {
        const { status, body } = await raw(method, `/v2/digests/app/${noun}/${digest}`);
        assert.equal(status, 400, `${method} ${noun} ${digest}`);
        if (method !== 'HEAD') assert.equal(JSON.parse(body).errors[0].code, 'DIGEST_INVALID');
      }
  });
});
