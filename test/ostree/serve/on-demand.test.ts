import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '../../../src/db/sql.ts';
import { artifactKey } from '../../../src/storage/layout.ts';
import { type PlainAnswer, type PlainOptions, plainRequest } from '../../content-app/plain-request.ts';
import { eventually } from '../../queue/eventually.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { type FileObject, fileObject } from '../file-objects.ts';
import { type MemoryUpstream, startMemoryUpstream } from './memory-upstream.ts';
import { OstreeRows } from './ostree-rows.ts';

const MEGABYTE = 1024 * 1024;
let app: TestApp;
let rows: OstreeRows;
let upstream: MemoryUpstream;
let count = 0;

before(async () => {
  app = await startApp({ worker: false, env: { DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8' } });
  rows = new OstreeRows(app.services);
  upstream = await startMemoryUpstream();
});
after(async () => {
  await app?.stop();
  await upstream?.stop();
});

interface Served extends FileObject {
  ask(options?: PlainOptions): Promise<PlainAnswer>;
  /** sha256 of the stored file; undefined while there is none. */
  stored(): Promise<string | undefined>;
}

/** A repository with one file, which is only known, from each of `urls`; the upstream has it. */
async function serve(object: FileObject, urls: readonly string[] = [upstream.url]): Promise<Served> {
  const basePath = `on-demand-${++count}`;
  const remotes: string[] = [];
  for (const url of urls) remotes.push(await rows.remote(url));
  const repository = await rows.repository(remotes[0] ?? null);
  await rows.publish(repository, [object], remotes);
  await rows.distribution(basePath, { repository_id: repository });
  upstream.files.set(object.path, object.bytes);
  return {
    ...object,
    ask: (options) => plainRequest(app.url, `/pulp/content/${basePath}/${object.path}`, options),
    stored: async () => {
      const [row] = await app.services.db.query<{ sha256: string }>(sql`
        select a.sha256 from ostree_object o join content c on c.id = o.id join artifact a on a.id = c.artifact_id
        where o.checksum = ${object.checksum}`);
      return row?.sha256;
    },
  };
}

const small = (): FileObject => fileObject(`file ${++count}`);
const large = (): FileObject => fileObject(randomBytes(4 * MEGABYTE));
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes that come as slowly as a second's pause in the middle of them. */
const slowly = (bytes: Buffer) => (_request: unknown, response: ServerResponse) => {
  response.writeHead(200, { 'content-length': bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2), async () => {
    await delay(500);
    response.end(bytes.subarray(bytes.length / 2));
  });
};

async function temporaryFiles(): Promise<string[]> {
  const folder = join(app.services.config.DATA_DIR, 'media', 'tmp');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name.startsWith('file-')).map(({ name }) => name);
}
const cleanedUp = () => eventually('temporary files to be gone', async () => (await temporaryFiles()).length === 0);

it('fetches a file once for all who ask, stores it, and serves it from the storage afterwards', async () => {
  const served = await serve(large());
  upstream.files.set(served.path, slowly(served.bytes));
  for (const answer of await Promise.all(Array.from({ length: 12 }, () => served.ask()))) {
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['cache-control'], 'public, max-age=31536000, immutable');
    assert.ok(answer.body.equals(served.bytes));
  }
  assert.equal(upstream.count(served.path), 1);
  await eventually('the file to be stored', async () => (await served.stored()) === sha256(served.bytes));
  const again = await served.ask({ headers: { range: 'bytes=10-19' } });
  assert.equal(again.status, 206);
  assert.ok(again.body.equals(served.bytes.subarray(10, 20)));
  assert.equal(again.headers.etag, `"${sha256(served.bytes)}"`);
  assert.equal(upstream.count(served.path), 1);
  await cleanedUp();
});

it('keeps no client waiting until the file is stored', async () => {
  for (const served of [await serve(small()), await serve(large())]) {
    await app.services.db.transaction(async (tx) => {
      await tx.query(sql`
        select from content c join ostree_object o on o.id = c.id where o.checksum = ${served.checksum} for update of c`);
      assert.ok((await served.ask()).body.equals(served.bytes));
      assert.ok((await served.ask()).body.equals(served.bytes));
      assert.equal(await served.stored(), undefined);
    });
    await eventually('the file to be stored', async () => (await served.stored()) !== undefined);
    assert.equal(upstream.count(served.path), 1);
  }
});

it('asks for one file after the other over one connection', async () => {
  const other = await startMemoryUpstream();
  try {
    const remote = await rows.remote(other.url);
    const repository = await rows.repository(remote);
    const objects = Array.from({ length: 10 }, small);
    await rows.publish(repository, objects, [remote]);
    await rows.distribution('one-by-one', { repository_id: repository });
    for (const { path, bytes } of objects) {
      other.files.set(path, bytes);
      assert.ok((await plainRequest(app.url, `/pulp/content/one-by-one/${path}`)).body.equals(bytes));
    }
    assert.ok(other.connections <= 2, `${other.connections} connections`);
  } finally {
    await other.stop();
  }
});

it('answers HEAD without asking the upstream', async () => {
  const served = await serve(small());
  assert.equal((await served.ask({ method: 'HEAD' })).status, 200);
  assert.equal(upstream.count(served.path), 0);
});

it('takes any form of the file: what counts is the checksum of its content', async () => {
  const content = randomBytes(1000).toString('hex');
  const served = await serve(fileObject(content, 9));
  const theirs = fileObject(content, 0);
  assert.notDeepEqual(theirs.bytes, served.bytes);
  upstream.files.set(served.path, theirs.bytes);
  assert.ok((await served.ask()).body.equals(theirs.bytes));
  await eventually('their form to be stored', async () => (await served.stored()) === sha256(theirs.bytes));
});

it('never gives out the last of wrong bytes, keeps nothing of them, and lets the source rest', async () => {
  for (const [what, wrong] of [
    ['another file', (bytes: Buffer) => fileObject(randomBytes(bytes.length)).bytes],
    [
      'a changed byte',
      (bytes: Buffer) => Buffer.from(bytes).fill(bytes.readUInt8(bytes.length - 100) ^ 1, bytes.length - 100, bytes.length - 99),
    ],
    ['bytes behind the end', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('more')])],
    ['a file that is cut', (bytes: Buffer) => bytes.subarray(0, bytes.length - 5)],
    ['another length', () => fileObject('short').bytes],
  ] as const) {
    const served = await serve(large());
    upstream.files.set(served.path, wrong(served.bytes));
    const answer = await served.ask().catch((error: NodeJS.ErrnoException) => error);
    assert.ok(answer instanceof Error ? answer.code === 'ECONNRESET' : answer.status === 502, what);
    assert.equal(await served.stored(), undefined, what);
    upstream.files.set(served.path, served.bytes);
    assert.equal((await served.ask()).status, 502, what);
    assert.equal(upstream.count(served.path), 1, what);
  }
  await cleanedUp();
});

it('breaks off where the upstream does', async () => {
  const served = await serve(large());
  upstream.files.set(served.path, (_request, response) => {
    response.writeHead(200, { 'content-length': served.bytes.length });
    response.write(served.bytes.subarray(0, MEGABYTE), () => response.destroy());
  });
  await assert.rejects(served.ask());
  assert.equal(await served.stored(), undefined);
  await cleanedUp();
});

it('relies on no length: an upstream may tell none', async () => {
  const right = await serve(large());
  const wrong = await serve(large());
  const withoutLength = (bytes: Buffer) => (_request: unknown, response: ServerResponse) => {
    response.writeHead(200);
    response.write(bytes.subarray(0, MEGABYTE));
    response.end(bytes.subarray(MEGABYTE));
  };
  upstream.files.set(right.path, withoutLength(right.bytes));
  const answer = await right.ask();
  assert.equal(answer.headers['transfer-encoding'], 'chunked');
  assert.ok(answer.body.equals(right.bytes));
  upstream.files.set(wrong.path, withoutLength(large().bytes));
  await assert.rejects(wrong.ask());
});

it('says in words that a small file is wrong, or not to be had', async () => {
  const wrong = await serve(small());
  upstream.files.set(wrong.path, fileObject('something else').bytes);
  const answer = await wrong.ask();
  assert.equal(answer.status, 502);
  assert.equal(answer.headers['retry-after'], '30');
  assert.match(answer.body.toString(), /its upstream does not give it now/);
  const gone = await serve(small());
  upstream.files.delete(gone.path);
  assert.equal((await gone.ask()).status, 502);
  assert.equal((await (await serve(small(), [])).ask()).status, 404);
});

it('passes on that the upstream takes no more requests, also while it is not asked again', async () => {
  const served = await serve(small());
  let asked = 0;
  upstream.files.set(served.path, (_request, response) => {
    asked += 1;
    response.writeHead(429, { 'retry-after': '0' }).end();
  });
  const first = await served.ask();
  const before = asked;
  const second = await served.ask();
  assert.deepEqual(
    [first, second].map(({ status, headers }) => [status, headers['retry-after']]),
    [
      [429, '0'],
      [429, '0'],
    ],
  );
  assert.equal(asked, before);
});

it('goes on to the next remote where one does not have the file, or has a wrong one that is small', async () => {
  const other = await startMemoryUpstream();
  try {
    for (const theirs of [undefined, fileObject('something else').bytes]) {
      const served = await serve(small(), [upstream.url, other.url]);
      if (theirs) upstream.files.set(served.path, theirs);
      else upstream.files.delete(served.path);
      other.files.set(served.path, served.bytes);
      assert.ok((await served.ask()).body.equals(served.bytes));
      assert.equal(upstream.count(served.path), 1);
      assert.equal(other.count(served.path), 1);
    }
  } finally {
    await other.stop();
  }
});

it('fetches a lost file again, in whatever form it comes', async () => {
  // Too large for the memory that small files are kept in.
  const content = randomBytes(100_000).toString('hex');
  const served = await serve(fileObject(content, 9));
  assert.ok((await served.ask()).body.equals(served.bytes));
  await eventually('the file to be stored', async () => (await served.stored()) !== undefined);
  assert.ok((await served.ask()).body.equals(served.bytes));
  assert.equal(upstream.count(served.path), 1);
  const key = artifactKey(sha256(served.bytes));
  await app.services.storage.delete(key);
  const theirs = fileObject(content, 0);
  upstream.files.set(served.path, theirs.bytes);
  const fresh = await served.ask();
  assert.equal(fresh.headers['content-length'], String(theirs.bytes.length));
  assert.ok(fresh.body.equals(theirs.bytes));
  await eventually('their form to be stored', async () => (await served.stored()) === sha256(theirs.bytes));
  assert.ok((await served.ask()).body.equals(theirs.bytes));
  assert.equal(upstream.count(served.path), 2);
});

it('fetches a lost commit again, and says that a lost summary of its own is gone', async () => {
  const commit = Buffer.from('a commit');
  const checksum = sha256(commit);
  const path = `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.commit`;
  const summary = { path: 'summary', bytes: randomBytes(100_000) };
  const remote = await rows.remote(upstream.url);
  const repository = await rows.repository(remote);
  await rows.publish(repository, [{ path, bytes: commit }, summary]);
  await rows.distribution('lost', { repository_id: repository });
  const { db, storage } = app.services;
  await db.execute(sql`
    insert into remote_content (content_id, remote_id) select id, ${remote}::uuid from ostree_commit where checksum = ${checksum}`);
  for (const bytes of [commit, summary.bytes]) await storage.delete(artifactKey(sha256(bytes)));
  upstream.files.set(path, commit);
  const ask = (below: string) => plainRequest(app.url, `/pulp/content/lost/${below}`);
  assert.ok((await ask(path)).body.equals(commit));
  assert.equal(upstream.count(path), 1);
  assert.equal((await ask('summary')).status, 404);
});
