import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { v7 } from 'uuid';
import { sweepUploads } from '../../../src/core/uploads/sweep-uploads.ts';
import { sql } from '../../../src/db/sql.ts';
import { uploadChunkKey } from '../../../src/storage/layout.ts';
import { eventually } from '../../queue/eventually.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { AUTHORIZATION, putChunk, sha256Of, streamChunk, uploadFiles } from '../../support/upload-client.ts';

const UPLOADS = '/pulp/api/v3/uploads/';
const ARTIFACTS = '/pulp/api/v3/artifacts/';

let app: TestApp;
before(async () => {
  app = await startApp();
});
after(() => app?.stop());

async function open(size: number): Promise<string> {
  const { status, body } = await app.request('POST', UPLOADS, { size });
  assert.equal(status, 201, JSON.stringify(body));
  return body.pulp_href;
}

const put = (href: string, bytes: Buffer, first: number, size: number) => putChunk(`${app.url}${href}`, bytes, first, size);
const commit = (href: string, sha256: string) => app.run(`${href}commit/`, { sha256 });
const files = () => uploadFiles(app.services.config.DATA_DIR);
const count = async (table: 'upload' | 'upload_chunk'): Promise<number> => {
  const [row] = await app.services.db.query<{ uploads: number; chunks: number }>(
    sql`select (select count(*) from upload where completed is null) as uploads, (select count(*) from upload_chunk) as chunks`,
  );
  return (table === 'upload' ? row?.uploads : row?.chunks) ?? Number.NaN;
};

/** Deletes what a test has left, and looks that nothing stays behind. */
async function assertNothingStays(hrefs: readonly string[] = []): Promise<void> {
  for (const href of hrefs) assert.equal((await app.request('DELETE', href)).status, 204);
  assert.deepEqual(await files(), { chunks: [], pending: [] });
  assert.deepEqual([await count('upload'), await count('upload_chunk')], [0, 0]);
}

async function committed(href: string, whole: Buffer): Promise<void> {
  const task = await commit(href, sha256Of(whole));
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  const { body } = await app.request('GET', task.created_resources[0]);
  const stored = await app.services.storage.read(body.file);
  assert.deepEqual(Buffer.concat(await stored.toArray()), whole);
}

describe('chunks', () => {
  test('are files of their own, until the upload is committed', async () => {
    const whole = randomBytes(1000);
    const href = await open(1000);
    await put(href, whole.subarray(500), 500, 1000);
    await put(href, whole.subarray(0, 500), 0, 1000);
    assert.equal((await files()).chunks.length, 2);
    await committed(href, whole);
    await assertNothingStays();
  });

  test('that are sent again take the place of the earlier ones', async () => {
    const href = await open(1000);
    for (const bytes of [randomBytes(1000), randomBytes(10), randomBytes(500)]) await put(href, bytes, 0, 1000);
    assert.deepEqual((await app.request('GET', href)).body.chunks, [{ offset: 0, size: 500 }]);
    assert.equal((await files()).chunks.length, 1);
    await assertNothingStays([href]);
  });

  test('that are sent at once, to the same place, leave one of them', async () => {
    const href = await open(1000);
    const answers = await Promise.all(Array.from({ length: 8 }, () => put(href, randomBytes(1000), 0, 1000)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal((await files()).chunks.length, 1);
    await assertNothingStays([href]);
  });

  test('may overlap: the last one counts', async () => {
    const whole = randomBytes(1000);
    const href = await open(1000);
    const right = (from: number, to: number) => put(href, whole.subarray(from, to), from, 1000);
    await put(href, randomBytes(1000), 0, 1000);
    await right(100, 400);
    await put(href, randomBytes(100), 350, 1000);
    await right(300, 900);
    await right(0, 200);
    await right(850, 1000);
    await right(500, 510);
    await committed(href, whole);
    await assertNothingStays();
  });

  test('are told apart where they are missing', async () => {
    const href = await open(1000);
    for (const [from, to] of [
      [100, 200],
      [200, 300],
      [400, 500],
    ] as const)
      await put(href, randomBytes(to - from), from, 1000);
    const { state, error } = await commit(href, '0'.repeat(64));
    assert.equal(state, 'failed');
    assert.equal(
      error.description,
      'The sha256 checksum did not match. Of the 1000 bytes of the upload, 0-99, 300-399, 500-999 were never uploaded.',
    );
    await assertNothingStays([href]);
  });

  test('that are refused or break off leave nothing', async () => {
    const href = await open(300_000);
    const refused = await putChunk(`${app.url}${href}`, randomBytes(300_001), 0, 300_000);
    assert.equal(refused.status, 400);
    const { status } = await streamChunk(`${app.url}${href}`, 300_000, (write) => write(randomBytes(200_000)));
    assert.equal(status, 400);
    await assert.rejects(
      streamChunk(`${app.url}${href}`, 300_000, async (write, abort) => {
        await write(randomBytes(200_000));
        await eventually('the pending file', async () => (await files()).pending.length > 0);
        abort();
      }),
    );
    await eventually('the pending file goes', async () => (await files()).pending.length === 0);
    assert.deepEqual((await app.request('GET', href)).body.chunks, []);
    await assertNothingStays([href]);
  });

  test('pass through without being held, and so does the file that is made of them', async () => {
    const MiB = 2 ** 20;
    const size = 256 * MiB;
    const href = await open(size);
    const piece = randomBytes(MiB);
    const hash = createHash('sha256');
    const start = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - start);
    }, 5);
    const answer = await streamChunk(`${app.url}${href}`, size, async (write) => {
      for (let sent = 0; sent < size; sent += MiB) {
        piece.writeUInt32BE(sent, 0);
        hash.update(piece);
        await write(Buffer.from(piece));
      }
    });
    assert.equal(answer.status, 200, answer.body);
    const task = await commit(href, hash.digest('hex'));
    clearInterval(watch);
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.ok(most < 100 * MiB, `${most} bytes were held`);
    await assertNothingStays();
  });
});

describe('an upload', () => {
  test('that is as empty as it was announced becomes the empty file', async () => {
    await committed(await open(0), Buffer.alloc(0));
    await assertNothingStays();
  });

  for (const size of [-1, 2 ** 53]) {
    test(`of ${size} bytes is refused`, async () => {
      const { status, body } = await app.request('POST', UPLOADS, { size });
      assert.equal(status, 400);
      assert.match(body.size[0], /^Ensure this value is (greater|less) than or equal to \d+\.$/);
    });
  }

  test('takes no more chunks and is not deleted once its commit has ended; the commit may be asked for twice', async () => {
    const whole = randomBytes(100);
    const href = await open(100);
    await put(href, whole, 0, 100);
    const first = await app.request('POST', `${href}commit/`, { sha256: sha256Of(whole) });
    const second = await app.request('POST', `${href}commit/`, { sha256: sha256Of(whole) });
    const tasks = await Promise.all([first, second].filter(({ status }) => status === 202).map((answer) => app.finished(answer)));
    for (const task of tasks) assert.equal(task.state, 'completed');
    assert.equal(new Set(tasks.map(({ created_resources }) => created_resources[0])).size, 1);
    assert.equal((await put(href, whole, 0, 100)).status, 404);
    assert.equal((await app.request('DELETE', href)).status, 404);
    await assertNothingStays();
  });

  test('that is deleted before its commit has run makes nothing', async () => {
    const own = await startApp({ worker: false });
    try {
      const whole = randomBytes(100);
      const { body } = await own.request('POST', UPLOADS, { size: 100 });
      await putChunk(`${own.url}${body.pulp_href}`, whole, 0, 100);
      const dispatched = await own.request('POST', `${body.pulp_href}commit/`, { sha256: sha256Of(whole) });
      await sweepUploads(own.services);
      assert.equal((await own.request('DELETE', body.pulp_href)).status, 204);
      assert.deepEqual((await uploadFiles(own.services.config.DATA_DIR)).chunks, []);
      assert.equal((await own.request('GET', dispatched.body.task)).body.state, 'waiting');
    } finally {
      await own.stop();
    }
  });
});

describe('the sweeper', () => {
  const age = (table: 'upload' | 'upload_chunk', hours: number) =>
    table === 'upload'
      ? app.services.db.execute(sql`update upload set pulp_last_updated = now() - make_interval(hours => ${hours}::int)`)
      : app.services.db.execute(sql`update upload_chunk set pulp_created = now() - make_interval(hours => ${hours}::int)`);

  test('removes uploads to which nothing has come for a day, with their files', async () => {
    const [old, fresh] = [await open(100), await open(100)];
    for (const href of [old, fresh]) await put(href, randomBytes(100), 0, 100);
    await age('upload', 23);
    assert.equal(await sweepUploads(app.services), 0);
    await age('upload', 25);
    await age('upload_chunk', 25);
    await put(fresh, randomBytes(10), 50, 100);
    assert.equal(await sweepUploads(app.services), 1);
    assert.equal((await app.request('GET', old)).status, 404);
    assert.equal((await app.request('GET', fresh)).body.chunks.length, 2);
    assert.equal((await files()).chunks.length, 2);
    await assertNothingStays([fresh]);
  });

  test('spares uploads whose commit waits', async () => {
    const href = await open(100);
    await age('upload', 1000);
    const resource = `prn:core.upload:${href.split('/').at(-2)}`;
    const task = v7();
    const { db, domain } = app.services;
    await db.execute(sql`insert into task (id, domain_id, name, state, logging_cid, args)
      values (${task}::uuid, ${domain.id}::uuid, 'test', 'waiting', '', '')`);
    await db.execute(
      sql`insert into task_reservation (resource, seq, task_id, exclusive) values (${resource}, 1, ${task}::uuid, true)`,
    );
    assert.equal(await sweepUploads(app.services), 0);
    await db.execute(sql`delete from task where id = ${task}::uuid`);
    assert.equal(await sweepUploads(app.services), 1);
    await assertNothingStays();
  });

  test('removes the file of a chunk that a process died over, but not at once', async () => {
    const { db, storage } = app.services;
    const id = v7();
    await db.execute(sql`insert into upload_chunk (id, "offset", size) values (${id}::uuid, 0, 4)`);
    const pending = await storage.create();
    await pending.write(Buffer.from('half'));
    await pending.commit(uploadChunkKey(id));
    await sweepUploads(app.services);
    assert.equal((await files()).chunks.length, 1);
    await age('upload_chunk', 2);
    await sweepUploads(app.services);
    await assertNothingStays();
  });
});

describe('limits', () => {
  test('a user has so many uploads open, and no more, also where they are made at once', async () => {
    const own = await startApp({ env: { DECKLE_UPLOADS_PER_USER: '3' } });
    try {
      const answers = await Promise.all(Array.from({ length: 10 }, () => own.request('POST', UPLOADS, { size: 1 })));
      assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 201, ...Array(7).fill(429)]);
      const refused = answers.find(({ status }) => status === 429);
      assert.match(refused?.body.detail, /3 uploads open/);
      await own.request('DELETE', answers.find(({ status }) => status === 201)?.body.pulp_href);
      assert.equal((await own.request('POST', UPLOADS, { size: 1 })).status, 201);
    } finally {
      await own.stop();
    }
  });

  test('uploads leave room on the disk', async () => {
    const own = await startApp({ env: { DECKLE_FREE_SPACE_MB: '10000000' } });
    try {
      const { body } = await own.request('POST', UPLOADS, { size: 10 });
      const { status } = await putChunk(`${own.url}${body.pulp_href}`, randomBytes(10), 0, 10);
      assert.equal(status, 507);
      assert.deepEqual((await own.request('GET', body.pulp_href)).body.chunks, []);
      const form = new FormData();
      form.append('file', new Blob(['a']), 'a');
      const artifact = await fetch(`${own.url}${ARTIFACTS}`, {
        method: 'POST',
        headers: { authorization: AUTHORIZATION },
        body: form,
      });
      assert.equal(artifact.status, 507);
      assert.match(((await artifact.json()) as { detail: string }).detail, /no space left/);
    } finally {
      await own.stop();
    }
  });
});
