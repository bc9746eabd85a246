import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { hashPassword } from '../../src/lib/password-hash.ts';
import { artifactKey, PUSHED_PARTS } from '../../src/storage/layout.ts';
import { assertRefused, blocked, digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const MOST_UPLOADS = 5;
const OTHER = { username: 'other', password: 'another horse' };

let world: RegistryWorld;
let user: RegistryUser;
let other: RegistryUser;
before(async () => {
  world = await startRegistryWorld({ DECKLE_UPLOADS_PER_USER: String(MOST_UPLOADS) });
  user = new RegistryUser(world.server);
  other = new RegistryUser(world.server, OTHER);
  await world.services.db.execute(sql`
    insert into app_user (username, password, is_superuser) values (${OTHER.username}, ${await hashPassword(OTHER.password)}, true)`);
});
afterEach(async () => {
  assert.deepEqual(world.faults(), []);
  // Each test has all the uploads that a user may have.
  await world.services.db.execute(sql`delete from container_upload`);
  for (const key of await files()) await world.services.storage.delete(key);
});
after(() => world?.stop());

const NAME = 'bad/uploads';

const patch = (location: string, body: Buffer | string, range?: string, by = user): Promise<Response> =>
  by.ask('PATCH', NAME, location, { body, ...(range === undefined ? {} : { headers: { 'content-range': range } }) });

const put = (location: string, digest: string, body?: Buffer): Promise<Response> =>
  user.ask('PUT', NAME, `${location}?digest=${digest}`, body === undefined ? {} : { body });

/** How many bytes the upload has. */
async function received(location: string): Promise<number> {
  const response = await user.ask('GET', NAME, location);
  assert.equal(response.status, 204);
  const range = response.headers.get('range');
  return range === '0-0' ? 0 : Number(range?.split('-')[1]) + 1;
}

/** Files of uploads. */
async function files(): Promise<string[]> {
  const found: string[] = [];
  for await (const keys of world.services.storage.list(PUSHED_PARTS)) found.push(...keys);
  return found;
}

/** Bytes in pieces, so that nobody is told before how many they are. */
const streamed = (bytes: Buffer): ReadableStream => new Blob([new Uint8Array(bytes)]).stream();

describe('a chunk', () => {
  for (const size of [1_000, 200_000]) {
    const bytes = randomBytes(size);

    it(`of ${size} bytes that overlaps, leaves a gap or says nothing readable is refused; the right one is taken then`, async () => {
      const location = await user.begin(NAME);
      assert.equal((await patch(location, bytes, `0-${size - 1}`)).status, 202);
      for (const range of [
        `0-${size - 1}`,
        `${size - 1}-${2 * size - 2}`,
        `${size + 1}-${2 * size}`,
        `${size + 10}-${size}`,
        `-${size}`,
        `${size}-`,
        'bytes',
        `${size}-${2 * size - 1}, ${2 * size}-${3 * size}`,
        `${'9'.repeat(400)}-${'9'.repeat(401)}`,
      ]) {
        const response = await patch(location, bytes, range);
        assert.equal(response.headers.get('range'), `0-${size - 1}`, range);
        await assertRefused(response, 416, 'BLOB_UPLOAD_INVALID', range);
      }
      assert.equal((await patch(location, bytes, `${size}-${2 * size - 1}`)).status, 202);
      const whole = Buffer.concat([bytes, bytes]);
      assert.equal((await put(location, digestOf(whole))).status, 201);
    });

    it(`of ${size} bytes whose length is not that of its range is refused, said before or not`, async () => {
      const location = await user.begin(NAME);
      await assertRefused(await patch(location, bytes, `0-${size}`), 400, 'SIZE_INVALID');
      for (const last of [size - 2, size, Number.MAX_SAFE_INTEGER]) {
        const response = await user.ask('PATCH', NAME, location, {
          body: streamed(bytes),
          headers: { 'content-range': `0-${last}` },
        });
        await assertRefused(response, 400, 'SIZE_INVALID', `0-${last}`);
        assert.equal(await received(location), 0);
      }
      const last = await user.ask('PUT', NAME, `${location}?digest=${digestOf(bytes)}`, {
        body: streamed(bytes),
        headers: { 'content-range': `0-${size}` },
      });
      await assertRefused(last, 400, 'SIZE_INVALID');
      assert.deepEqual(await files(), []);
    });
  }

  it('that makes the blob larger than a blob may be is refused, whether its length is said or not', async () => {
    const location = await user.begin(NAME);
    assert.equal((await patch(location, randomBytes(100_000))).status, 202);
    const most = 10 * 1024 ** 3;
    await world.services.db.execute(sql`update container_upload set received = ${most - 10}::bigint`);
    for (const body of [randomBytes(11), streamed(randomBytes(11))] as never[]) {
      await assertRefused(await user.ask('PATCH', NAME, location, { body }), 413, 'SIZE_INVALID');
      assert.equal(await received(location), most - 10);
    }
    assert.equal((await files()).length, 1);
  });

  it('of nothing changes nothing', async () => {
    const location = await user.begin(NAME);
    const bytes = randomBytes(100_000);
    for (const body of ['', bytes, '', '']) assert.equal((await patch(location, body)).status, 202);
    assert.equal(await received(location), bytes.length);
    assert.equal((await files()).length, 1);
    assert.equal((await put(location, digestOf(bytes))).status, 201);
  });
});

describe('at once,', () => {
  for (const size of [1_000, 200_000]) {
    it(`of two chunks of ${size} bytes one is taken, and what is there is what was taken`, async () => {
      const location = await user.begin(NAME);
      const chunks = Array.from({ length: 4 }, () => randomBytes(size));
      const answers = await Promise.all(chunks.map((chunk) => patch(location, chunk, `0-${size - 1}`)));
      const taken = chunks.filter((_, index) => answers[index]?.status === 202);
      assert.equal(taken.length, 1);
      for (const answer of answers) if (answer.status !== 202) await assertRefused(answer, 416, 'BLOB_UPLOAD_INVALID');
      assert.equal((await put(location, digestOf(taken[0] as Buffer))).status, 201);
      assert.deepEqual(await files(), []);
    });

    it(`of two ends of an upload of ${size} bytes one comes to an end`, async () => {
      const bytes = randomBytes(size);
      const location = await user.begin(NAME);
      assert.equal((await patch(location, bytes)).status, 202);
      const answers = await Promise.all(Array.from({ length: 4 }, () => put(location, digestOf(bytes))));
      assert.equal(answers.filter(({ status }) => status === 201).length, 1);
      for (const answer of answers) if (answer.status !== 201) await assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN');
      const got = await user.ask('GET', NAME, `blobs/${digestOf(bytes)}`);
      assert.deepEqual(Buffer.from(await got.arrayBuffer()), bytes);
    });
  }

  it('an end that a chunk was faster than leaves the upload and its files as they are', async () => {
    const { db } = world.services;
    const location = await user.begin(NAME);
    const bytes = randomBytes(200_000);
    assert.equal((await patch(location, bytes)).status, 202);
    const had = await files();
    let ended: Promise<Response> | undefined;
    await db.transaction(async (tx) => {
      await tx.execute(sql`update container_upload set received = received + 1`);
      ended = put(location, digestOf(bytes));
      await blocked(db, 'delete from container_upload');
    });
    await assertRefused((await ended) as Response, 416, 'BLOB_UPLOAD_INVALID');
    assert.deepEqual(await files(), had);
  });
});

describe('an upload', () => {
  it('that was canceled, ended, or never was is not known', async () => {
    const bytes = randomBytes(100);
    const canceled = await user.begin(NAME);
    await patch(canceled, bytes);
    assert.equal((await user.ask('DELETE', NAME, canceled)).status, 204);
    const ended = await user.begin(NAME);
    assert.equal((await put(ended, digestOf(bytes), bytes)).status, 201);
    const uploads = `/v2/${NAME}/blobs/uploads/`;
    for (const location of [
      canceled,
      ended,
      `${uploads}${randomUUID()}`,
      `${uploads}none`,
      `${uploads}${'0'.repeat(400)}`,
      `${uploads}%00`,
    ]) {
      await assertRefused(await patch(location, bytes), 404, 'BLOB_UPLOAD_UNKNOWN', location);
      await assertRefused(await put(location, digestOf(bytes)), 404, 'BLOB_UPLOAD_UNKNOWN', location);
      await assertRefused(await user.ask('GET', NAME, location), 404, 'BLOB_UPLOAD_UNKNOWN', location);
      await assertRefused(await user.ask('DELETE', NAME, location), 404, 'BLOB_UPLOAD_UNKNOWN', location);
    }
  });

  it('is of one user, and of one repository', async () => {
    const bytes = randomBytes(100);
    const location = await user.begin(NAME);
    await patch(location, bytes);
    const id = location.split('/').at(-1);
    await user.blob('bad/elsewhere', bytes);
    const strangers: [RegistryUser, string, string][] = [
      [other, NAME, location],
      [user, 'bad/elsewhere', `/v2/bad/elsewhere/blobs/uploads/${id}`],
    ];
    for (const [stranger, name, path] of strangers) {
      for (const method of ['GET', 'PATCH', 'DELETE'])
        await assertRefused(
          await stranger.ask(method, name, path, method === 'PATCH' ? { body: 'x' } : {}),
          404,
          'BLOB_UPLOAD_UNKNOWN',
        );
      await assertRefused(await stranger.ask('PUT', name, `${path}?digest=${digestOf(bytes)}`), 404, 'BLOB_UPLOAD_UNKNOWN');
    }
    assert.equal(await received(location), bytes.length);
    assert.equal((await put(location, digestOf(bytes))).status, 201);
  });

  it('ends with a digest, or goes on', async () => {
    const bytes = randomBytes(100);
    const location = await user.begin(NAME);
    for (const query of [
      '',
      '?digest=',
      '?digest=sha256:abc',
      '?digest=md5:d41d8cd98f00b204e9800998ecf8427e',
      `?digest=${digestOf(bytes).toUpperCase()}`,
    ])
      await assertRefused(await user.ask('PUT', NAME, `${location}${query}`, { body: bytes }), 400, 'DIGEST_INVALID', query);
    assert.equal((await put(location, digestOf(bytes), bytes)).status, 201);
  });

  it('is one too many for a user who has that many; a repository that was made for it goes again', async () => {
    for (let n = 0; n < MOST_UPLOADS; n += 1) await user.begin(NAME);
    const refused = await user.ask('POST', 'many/uploads', 'blobs/uploads/');
    assert.equal(refused.headers.get('retry-after'), '60');
    await assertRefused(refused, 429, 'TOOMANYREQUESTS');
    assert.deepEqual(await world.services.db.query(sql`select 1 from repository where name = 'many/uploads'`), []);
    await other.begin(NAME);
    await world.services.db.execute(sql`update container_upload set pulp_last_updated = now() - interval '61 minutes'`);
    await user.begin(NAME);
  });

  it('that is begun while another one is given up keeps the repository', async () => {
    const name = 'begun/meanwhile';
    const { db } = world.services;
    const givenUp = await user.begin(name);
    let ended: Promise<Response> | undefined;
    await db.transaction(async (tx) => {
      await tx.execute(sql`
        insert into container_upload (id, repository_id, user_id)
        select ${randomUUID()}::uuid, repository_id, user_id from container_upload where id = ${givenUp.split('/').at(-1)}::uuid`);
      ended = user.ask('DELETE', name, givenUp);
      await blocked(db, 'repository');
    });
    assert.equal((await ended)?.status, 204);
    assert.deepEqual(await versionsOf(world.server, name), [0]);
  });

  it('ends where its repository is deleted at that moment, and neither is in the way of the other', async () => {
    const name = 'deleted/meanwhile';
    const { db, domain } = world.services;
    const bytes = randomBytes(1000);
    const sha256 = digestOf(bytes).slice('sha256:'.length);
    const location = await user.begin(name);
    const held = await db.transaction(async (tx) => {
      // As another push of the same bytes does, which the end of this one waits for.
      await tx.execute(sql`
        insert into artifact (id, domain_id, file, size, sha256)
        values (${randomUUID()}::uuid, ${domain.id}::uuid, ${artifactKey(sha256)}, ${bytes.length}, ${sha256})`);
      const ended = user.ask('PUT', name, `${location}?digest=${digestOf(bytes)}`, { body: bytes });
      await blocked(db, 'insert into artifact');
      const deleted = db.execute(sql`delete from repository where name = ${name}`);
      await blocked(db, 'delete from repository');
      return { ended, deleted };
    });
    assert.equal((await held.ended).status, 201);
    assert.equal(await held.deleted, 1);
  });

  it('whose files were lost is not known, and can be begun again', async () => {
    const bytes = randomBytes(200_000);
    for (const chunks of [1, 2]) {
      const location = await user.begin(NAME);
      for (let n = 0; n < chunks; n += 1) await patch(location, bytes);
      for (const key of await files()) await rm(join(world.services.config.DATA_DIR, 'media', key));
      const whole = Buffer.concat(Array.from({ length: chunks }, () => bytes));
      await assertRefused(await put(location, digestOf(whole)), 404, 'BLOB_UPLOAD_UNKNOWN');
      const again = await user.begin(NAME);
      assert.equal((await put(again, digestOf(whole), whole)).status, 201);
    }
  });
});

describe('a blob that is too large to begin with', () => {
  it('is refused by what its length says', async () => {
    const headers = { 'content-length': String(10 * 1024 ** 3 + 1) };
    const location = await user.begin(NAME);
    const digest = digestOf(Buffer.alloc(0));
    for (const [method, path] of [
      ['POST', `/v2/${NAME}/blobs/uploads/?digest=${digest}`],
      ['PATCH', location],
      ['PUT', `${location}?digest=${digest}`],
    ] as const)
      assert.deepEqual(await user.announce(method, NAME, path, headers), { status: 413, code: 'SIZE_INVALID' });
  });
});

it('takes no more chunks than it can keep account of', async () => {
  const location = await user.begin(NAME);
  await world.services.db.execute(sql`
    update container_upload set received = 16384, parts = (
      select jsonb_agg(jsonb_build_object('id', gen_random_uuid(), 'size', 1, 'sha256', '')) from generate_series(1, 16384))`);
  await assertRefused(await patch(location, 'x', '16384-16384'), 400, 'BLOB_UPLOAD_INVALID');
});
