import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { artifactKey } from '../../src/storage/layout.ts';
import { assertRefused, blocked, digestOf, RegistryUser } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

/* Blobs that come by one PATCH, whole, and a PUT without bytes, as those of small images do. */

const NAME = 'small/blobs';

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
});
afterEach(() => assert.deepEqual(world.faults(), []));
after(() => world?.stop());

/** Sends all bytes, the first `chunk` of them by themselves; answers how the end is answered. */
async function push(bytes: Buffer, name = NAME, digest = digestOf(bytes), chunk = bytes.byteLength): Promise<Response> {
  const location = await user.begin(name);
  for (const part of [bytes.subarray(0, chunk), bytes.subarray(chunk)]) {
    if (part.byteLength === 0) continue;
    const added = await user.ask('PATCH', name, location, { body: new Uint8Array(part) });
    assert.equal(added.status, 202);
  }
  return user.ask('PUT', name, `${location}?digest=${digest}`);
}

async function assertKept(bytes: Buffer, name = NAME, digest = digestOf(bytes)): Promise<void> {
  const got = await user.ask('GET', name, `blobs/${digest}`);
  assert.equal(got.status, 200);
  assert.ok(Buffer.from(await got.arrayBuffer()).equals(bytes));
  const stored: Buffer[] = [];
  for await (const chunk of await world.services.storage.read(keyOf(bytes))) stored.push(chunk as Buffer);
  assert.ok(Buffer.concat(stored).equals(bytes));
  assert.deepEqual(await doomed(bytes), []);
  assert.deepEqual(await world.services.db.query(sql`select 1 from container_upload`), []);
  assert.deepEqual(
    await world.services.db.query(sql`select 1 from content c where not exists (select from container_blob b where b.id = c.id)`),
    [],
  );
}

const sha256Of = (bytes: Buffer): string => digestOf(bytes).slice('sha256:'.length);
const keyOf = (bytes: Buffer): string => artifactKey(sha256Of(bytes));
const doomed = (bytes: Buffer) => world.services.db.query(sql`select 1 from doomed_file where sha256 = ${sha256Of(bytes)}`);

/** As an orphan cleanup leaves bytes between the removal of their artifact and that of their file. */
async function doom(bytes: Buffer): Promise<void> {
  const { db, storage, domain } = world.services;
  await storage.putSmall([{ key: keyOf(bytes), body: bytes }]);
  await db.execute(sql`
    insert into doomed_file (domain_id, sha256, file, size) values (${domain.id}::uuid, ${sha256Of(bytes)}, ${keyOf(bytes)}, ${bytes.byteLength})`);
}

describe('a blob is kept', () => {
  for (const size of [1, 1_000, 64 * 1024, 64 * 1024 + 1])
    it(`of ${size} bytes`, async () => {
      const bytes = randomBytes(size);
      assert.equal((await push(bytes)).status, 201);
      await assertKept(bytes);
    });

  it('that came in two pieces, or by a digest of another kind', async () => {
    for (const [chunk, algorithm] of [
      [400, 'sha256'],
      [1_000, 'sha512'],
    ] as const) {
      const bytes = randomBytes(1_000);
      const digest = digestOf(bytes, algorithm);
      assert.equal((await push(bytes, NAME, digest, chunk)).status, 201);
      await assertKept(bytes, NAME, digest);
    }
  });

  it('that this repository has, or another one', async () => {
    const bytes = randomBytes(500);
    for (const name of [NAME, NAME, 'small/other']) {
      assert.equal((await push(bytes, name)).status, 201);
      await assertKept(bytes, name);
    }
  });

  it('that comes to ten repositories at the same time', async () => {
    const bytes = randomBytes(500);
    const names = Array.from({ length: 10 }, (_, n) => `small/at-once-${n}`);
    const answers = await Promise.all(names.map((name) => push(bytes, name)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
    for (const name of names) await assertKept(bytes, name);
  });

  it('whose file is about to be removed', async () => {
    const bytes = randomBytes(500);
    await doom(bytes);
    assert.equal((await push(bytes)).status, 201);
    await assertKept(bytes);
  });

  it('whose file was set aside to be removed', async () => {
    const bytes = randomBytes(500);
    await doom(bytes);
    await world.services.storage.setAside(keyOf(bytes), 'doomed');
    assert.equal((await push(bytes)).status, 201);
    await assertKept(bytes);
  });

  it('whose file is removed while it is stored', async () => {
    const { db, storage } = world.services;
    const bytes = randomBytes(500);
    await doom(bytes);
    let answer: Promise<Response> | undefined;
    await db.transaction(async (tx) => {
      await tx.query(sql`lock table container_blob in share mode`);
      answer = push(bytes);
      await blocked(db, 'insert into container_blob');
      await storage.setAside(keyOf(bytes), 'doomed');
      await storage.dropAside(keyOf(bytes), 'doomed');
      await tx.execute(sql`delete from doomed_file where sha256 = ${sha256Of(bytes)}`);
    });
    assert.equal((await answer)?.status, 201);
    await assertKept(bytes);
  });

  it('whose file was lost', async () => {
    const bytes = randomBytes(500);
    await push(bytes);
    await world.services.storage.delete(keyOf(bytes));
    assert.equal((await push(bytes)).status, 201);
    await assertKept(bytes);
  });
});

it('a blob of other bytes than its digest says ends its upload, and nothing of it stays', async () => {
  const bytes = randomBytes(500);
  await assertRefused(await push(bytes, NAME, digestOf(randomBytes(500))), 400, 'DIGEST_INVALID');
  assert.deepEqual(await world.services.db.query(sql`select 1 from container_upload`), []);
  assert.deepEqual(await world.services.db.query(sql`select 1 from artifact where sha256 = ${sha256Of(bytes)}`), []);
});
