import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { isAlive } from '../../src/embedded/postgres-folder.ts';
import { eventually } from '../queue/eventually.ts';
import { createInstallation, type Installation } from '../support/deckle-process.ts';
import { putChunk, sha256Of, streamChunk, uploadFiles } from '../support/upload-client.ts';

const UPLOADS = '/pulp/api/v3/uploads/';
const MiB = 2 ** 20;

// biome-ignore lint/suspicious/noExplicitAny: bodies of every shape
type Body = any;

let installation: Installation;
before(async () => {
  installation = await createInstallation({ WORKERS: '1', PULP_WORKER_TTL: '2', LOG_LEVEL: 'warn' });
  await installation.start();
});
after(() => installation?.remove());

const get = async (path: string): Promise<Body> => (await installation.request('GET', path)).body;
const files = () => uploadFiles(installation.dataDir);

async function open(size: number): Promise<string> {
  const { status, body } = await installation.request('POST', UPLOADS, { size });
  assert.equal(status, 201);
  return (body as { pulp_href: string }).pulp_href;
}

const commit = async (href: string, sha256: string): Promise<string> =>
  ((await installation.request('POST', `${href}commit/`, { sha256 })).body as { task: string }).task;

const ended = (task: string): Promise<Body> =>
  eventually('the commit ends', async () => {
    const body = await get(task);
    return ['completed', 'failed', 'canceled'].includes(body.state) ? body : undefined;
  });

const killed = async (pids: readonly number[]): Promise<void> => {
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await eventually('they are gone', () => !pids.some(isAlive));
};

const artifactsOf = async (whole: Buffer): Promise<number> =>
  (await get(`/pulp/api/v3/artifacts/?sha256=${sha256Of(whole)}`)).count;

test('the server is killed in the middle of a chunk: nothing of it is there, and the next one is taken', async () => {
  const whole = randomBytes(4 * MiB);
  const href = await open(whole.length);
  const { api } = await installation.processes();
  const broken = streamChunk(`${installation.url}${href}`, whole.length, async (write) => {
    await write(whole.subarray(0, 3 * MiB));
    await eventually('half of it is written', async () => (await files()).pending.length > 0);
    await killed(api);
  });
  await assert.rejects(broken);
  const chunks = await eventually('the server is back', () =>
    get(href)
      .then((body) => body.chunks)
      .catch(() => undefined),
  );
  assert.deepEqual(chunks, []);
  assert.deepEqual((await files()).chunks, []);
  assert.equal(await artifactsOf(whole), 0);
  assert.equal((await putChunk(`${installation.url}${href}`, whole, 0, whole.length)).status, 200);
  assert.equal((await ended(await commit(href, sha256Of(whole)))).state, 'completed');
});

test('the worker is killed in the middle of a commit: no artifact is there until another worker has made it', async () => {
  const whole = randomBytes(256 * MiB);
  const href = await open(whole.length);
  for (let at = 0; at < whole.length; at += 64 * MiB) {
    const { status } = await putChunk(`${installation.url}${href}`, whole.subarray(at, at + 64 * MiB), at, whole.length);
    assert.equal(status, 200);
  }
  const { workers } = await installation.processes();
  const earlier = new Set((await files()).pending);
  const task = await commit(href, sha256Of(whole));
  await eventually('it is being put together', async () => (await files()).pending.some((path) => !earlier.has(path)));
  await killed(workers);
  assert.equal(await artifactsOf(whole), 0);
  assert.equal((await get(href)).chunks.length, 4);

  const { state, error, created_resources } = await ended(task);
  assert.equal(state, 'completed', JSON.stringify(error));
  const artifact = await get(created_resources[0]);
  assert.deepEqual([artifact.sha256, artifact.size], [sha256Of(whole), whole.length]);
  assert.equal((await installation.request('GET', href)).status, 404);
  assert.deepEqual((await files()).chunks, []);
});
