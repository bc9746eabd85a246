import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { RemoteSettings } from '../../src/download/remote-settings.ts';
import { childProgram } from '../support/child-program.ts';
import { openFor, serve, targetAt, targetInMemory, temporaryFolder } from './rig.ts';

const PROOF = { module: pathToFileURL(childProgram(join(import.meta.dirname, 'letter-proof.ts'))).href, expected: 'a' };

/** A server that answers `/<letters>/<count>` with that many of each letter, `/cut/…` in two tries, and an upstream of it. */
async function rig(t: TestContext, given: Partial<RemoteSettings> = {}) {
  const asked: string[] = [];
  const url = await serve(t, (request, response) => {
    const path = request.url ?? '';
    asked.push(`${path} ${request.headers.range ?? ''}`.trim());
    const [, letters = '', count] = path.replace('?cut', '').split('/');
    const body = Buffer.from([...letters].map((letter) => letter.repeat(Number(count))).join(''));
    if (request.headers.range || asked.length > 1 || !path.endsWith('?cut')) {
      response.end(body);
      return;
    }
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, 10), () => response.destroy());
  });
  return { url, asked, upstream: openFor(t, url, given), folder: await temporaryFolder(t) };
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('a small body is held; its file is never made', async (t) => {
  const { url, asked, upstream, folder } = await rig(t);
  const path = join(folder, 'file');
  const bodies = await Promise.all(
    Array.from({ length: 100 }, (_, size) =>
      upstream.fetch({
        url: `${url}/a/${size}`,
        proof: PROOF,
        maxHeld: 1000,
        file: targetAt(path),
        checksums: ['sha256', 'md5'],
      }),
    ),
  );
  for (const [size, { bytes, checksums, ...body }] of bodies.entries()) {
    const expected = Buffer.alloc(size, 'a');
    assert.deepEqual(bytes, expected);
    assert.deepEqual(body, { size });
    assert.deepEqual(checksums, { sha256: sha256(expected), md5: createHash('md5').update(expected).digest('hex') });
  }
  assert.equal(asked.length, 100);
  assert.equal(existsSync(path), false);
});

test('a large body goes to the file, in the same request, and is proven too', async (t) => {
  const { url, asked, upstream, folder } = await rig(t);
  const path = join(folder, 'file');
  const large = await upstream.fetch({ url: `${url}/a/3000000`, proof: PROOF, maxHeld: 1000, file: targetAt(path) });
  const expected = Buffer.alloc(3_000_000, 'a');
  assert.deepEqual(large, { size: 3_000_000, checksums: { sha256: sha256(expected) }, bytes: undefined });
  assert.deepEqual(await readFile(path), expected);
  assert.equal(asked.length, 1);
  await assert.rejects(
    upstream.fetch({ url: `${url}/ab/2000000`, proof: PROOF, maxHeld: 1000, file: targetAt(join(folder, 'b')) }),
    {
      kind: 'checksum',
      message: `not only a: b, at ${url}/ab/2000000`,
    },
  );
  await assert.rejects(upstream.fetch({ url: `${url}/a/2000`, proof: PROOF, maxHeld: 1000 }), {
    kind: 'too-large',
    message: `The answer of ${url}/a/2000 is larger than 1000 bytes`,
  });
});

test('wrong bytes are asked for again, as often as the remote says', async (t) => {
  const { url, asked, upstream } = await rig(t, { max_retries: 1 });
  await assert.rejects(upstream.fetch({ url: `${url}/ba/5`, proof: PROOF, maxHeld: 1000 }), { kind: 'checksum' });
  assert.equal(asked.length, 2);
});

test('what broke off is gone on with', async (t) => {
  const { url, asked, upstream } = await rig(t, { max_retries: 1 });
  const { bytes } = await upstream.fetch({ url: `${url}/a/50?cut`, proof: PROOF, maxHeld: 1000 });
  assert.deepEqual(bytes, Buffer.alloc(50, 'a'));
  assert.deepEqual(asked, ['/a/50?cut', '/a/50?cut bytes=10-']);
});

test('without a local path it is the same', async (t) => {
  const { url, upstream } = await rig(t);
  const [small, large] = [targetInMemory(), targetInMemory()];
  const held = await upstream.fetch({ url: `${url}/a/10`, proof: PROOF, maxHeld: 1000, file: small });
  assert.deepEqual(held.bytes, Buffer.alloc(10, 'a'));
  assert.equal(small.bytes().length, 0);
  const written = await upstream.fetch({ url: `${url}/a/200000`, proof: PROOF, maxHeld: 1000, file: large });
  assert.deepEqual(written, { size: 200_000, checksums: { sha256: sha256(large.bytes()) }, bytes: undefined });
  await assert.rejects(upstream.fetch({ url: `${url}/ab/10`, proof: PROOF, maxHeld: 1000, file: small }), { kind: 'checksum' });
});

test('an abort ends it', async (t) => {
  const url = await serve(t, (_request, response) => response.write('a'));
  const upstream = openFor(t, url);
  const controller = new AbortController();
  const fetching = upstream.fetch({ url, proof: PROOF, maxHeld: 1000, signal: controller.signal });
  setImmediate(() => controller.abort(new Error('enough')));
  await assert.rejects(fetching, { message: 'enough' });
});

test('there are never more requests at once than the remote wants, however many wait', async (t) => {
  for (const download_concurrency of [1, 3, 8]) {
    let running = 0;
    let most = 0;
    const url = await serve(t, (_request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end('a');
      }, 5);
    });
    const upstream = openFor(t, url, { download_concurrency });
    await Promise.all(Array.from({ length: 60 }, () => upstream.fetch({ url, proof: PROOF, maxHeld: 1000 })));
    assert.ok(most <= download_concurrency, `${most} at once where ${download_concurrency} are allowed`);
  }
});
