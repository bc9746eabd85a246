import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { type ImageContent, imageOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { closedUrl, startUpstream, type Upstream } from '../support/upstream-registry.ts';
import { type RegistryServer, type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const MEGABYTE = 1024 * 1024;
let world: RegistryWorld;
let upstream: Upstream;
let count = 0;

before(async () => {
  world = await startRegistryWorld();
  upstream = await startUpstream();
});
afterEach(() => {
  upstream.clearFaults();
  upstream.requests.reset();
});
after(async () => {
  await world?.stop();
  await upstream?.stop();
});

interface Served {
  readonly name: string;
  readonly digest: string;
  readonly size: number;
}

/** A repository whose layer is only known, from each of `urls`. */
async function serve(options: { size?: number; policy?: string; urls?: readonly string[] } = {}): Promise<Served> {
  count += 1;
  const name = `on-demand-${count}`;
  const layer = options.size ? largeLayer(name, options.size) : layerOf({ 'etc/motd': name });
  const image: ImageContent = imageOf({ layers: [layer] });
  upstream.put('library/app', image, name);
  const remotes: string[] = [];
  for (const url of options.urls ?? [upstream.url]) remotes.push(await world.remote(url, 'library/app', options.policy));
  const repository = await world.repository(name, remotes[0]);
  await world.publish(repository, { latest: image }, { onDemandFrom: remotes });
  await world.distribution(name, { repository_id: repository });
  return { name, digest: layer.digest, size: layer.size };
}

async function request(
  { name, digest }: Served,
  init: RequestInit = {},
  server: RegistryServer = world.server,
): Promise<Response> {
  const answer = await fetch(`${server.origin}/token/?service=${server.host}&scope=repository:${name}:pull`);
  const { token } = (await answer.json()) as { token: string };
  return fetch(`${server.origin}/v2/${name}/blobs/${digest}`, {
    ...init,
    headers: { authorization: `Bearer ${token}`, ...init.headers },
  });
}

const digestOf = async (response: Response): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
};

const isStored = async ({ digest }: Served): Promise<boolean> => {
  const rows = await world.services.db.query(sql`
    select from container_blob b join content c on c.id = b.id where b.digest = ${digest} and c.artifact_id is not null`);
  return rows.length > 0;
};

const blobGets = (): number => upstream.requests.count('GET', 'blob');

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 10_000; !(await condition()); ) assert.ok(Date.now() < end, what);
}

async function temporaryFiles(): Promise<string[]> {
  const entries = await readdir(join(world.services.config.DATA_DIR, 'media', 'tmp'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && entry.name.startsWith('file-')).map((entry) => entry.name);
}

it('fetches once for many clients at once, stores, and serves from the storage afterwards', async () => {
  const served = await serve({ size: 8 * MEGABYTE });
  upstream.fault({ kind: 'blob', fault: FAULTS.slowBody(16 * MEGABYTE) });
  const answers = await Promise.all(Array.from({ length: 10 }, () => request(served)));
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-length'), String(served.size));
    assert.equal(answer.headers.get('docker-content-digest'), served.digest);
  }
  for (const digest of await Promise.all(answers.map(digestOf))) assert.equal(digest, served.digest);
  assert.equal(blobGets(), 1);
  await until(() => isStored(served), 'not stored');
  const again = await request(served, { headers: { range: 'bytes=0-9' } });
  assert.equal(again.status, 206);
  assert.equal((await again.arrayBuffer()).byteLength, 10);
  assert.equal(blobGets(), 1);
  await until(async () => (await temporaryFiles()).length === 0, 'temporary files left');
});

it('answers HEAD from the descriptor without asking the upstream', async () => {
  const served = await serve();
  const head = await request(served, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('content-length'), String(served.size));
  assert.equal(upstream.requests.total, 0);
});

it('passes streamed content through and stores nothing', async () => {
  const served = await serve({ policy: 'streamed' });
  assert.equal(await digestOf(await request(served)), served.digest);
  assert.equal(await digestOf(await request(served)), served.digest);
  assert.equal(blobGets(), 2);
  assert.equal(await isStored(served), false);
  await until(async () => (await temporaryFiles()).length === 0, 'temporary files left');
});

for (const [what, fault] of [
  ['wrong bytes', FAULTS.wrongDigest],
  ['a body that breaks off', FAULTS.cutOff(MEGABYTE, true)],
] as const) {
  it(`breaks the client's connection at ${what}, stores nothing, and lets the source rest`, async () => {
    const served = await serve({ size: 2 * MEGABYTE });
    upstream.fault({ kind: 'blob', fault });
    const answer = await request(served);
    assert.equal(answer.status, 200);
    await assert.rejects(answer.arrayBuffer());
    await until(async () => (await temporaryFiles()).length === 0, 'temporary files left');
    assert.equal(await isStored(served), false);
    upstream.clearFaults();
    upstream.requests.reset();
    const resting = await request(served);
    assert.equal(resting.status, 502);
    assert.deepEqual(((await resting.json()) as { errors: { code: string }[] }).errors[0]?.code, 'UNAVAILABLE');
    assert.equal(blobGets(), 0);
  });
}

it('answers in words when the bytes are wrong before any was passed on', async () => {
  const served = await serve();
  upstream.fault({ kind: 'blob', fault: FAULTS.wrongDigest });
  assert.equal((await request(served)).status, 502);
  assert.equal(await isStored(served), false);
});

it('goes to the next remote when one does not answer, the own remote first', async () => {
  const served = await serve({ urls: [await closedUrl(), upstream.url] });
  assert.equal(await digestOf(await request(served)), served.digest);
  assert.equal(blobGets(), 1);
});

it('answers 502 when the upstream refuses, and 404 when no remote has the blob', async () => {
  const refused = await serve();
  upstream.fault({ kind: 'blob', fault: FAULTS.status(403) });
  assert.equal((await request(refused)).status, 502);
  assert.equal((await request(await serve({ urls: [] }))).status, 404);
});

it('finishes and stores a blob although the client has gone', async () => {
  const served = await serve({ size: 4 * MEGABYTE });
  upstream.fault({ kind: 'blob', fault: FAULTS.slowBody(8 * MEGABYTE) });
  const gone = new AbortController();
  const answer = await request(served, { signal: gone.signal });
  assert.equal(answer.status, 200);
  gone.abort();
  await until(() => isStored(served), 'not stored');
});

it('stores one artifact when two processes fetch the same blob', async () => {
  const served = await serve({ size: MEGABYTE });
  const other = await world.join();
  upstream.fault({ kind: 'blob', fault: FAULTS.slowBody(4 * MEGABYTE) });
  const digests = await Promise.all([request(served), request(served, {}, other)].map(async (answer) => digestOf(await answer)));
  assert.deepEqual(digests, [served.digest, served.digest]);
  await until(() => isStored(served), 'not stored');
  const artifacts = await world.services.db.query(sql`select from artifact where sha256 = ${served.digest.slice(7)}`);
  assert.equal(artifacts.length, 1);
});

it('fetches a stored blob again when its file is gone', async () => {
  const served = await serve();
  assert.equal(await digestOf(await request(served)), served.digest);
  await until(() => isStored(served), 'not stored');
  const [row] = await world.services.db.query<{ file: string }>(
    sql`select file from artifact where sha256 = ${served.digest.slice(7)}`,
  );
  await world.services.storage.delete(row?.file as string);
  assert.equal(await digestOf(await request(served)), served.digest);
  assert.equal(blobGets(), 2);
  await until(async () => (await world.services.storage.size(row?.file as string)) === served.size, 'not stored again');
  assert.equal(await digestOf(await request(served)), served.digest);
  assert.equal(blobGets(), 2);
});
