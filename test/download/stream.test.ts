import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { blobOf } from '../../src/demo/layer.ts';
import type { RemoteSettings } from '../../src/download/remote-settings.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { startUpstream } from '../support/upstream-registry.ts';
import { bytesOf, openFor } from './rig.ts';

const SIZE = 3_000_000;

async function rig(t: TestContext, given: Partial<RemoteSettings> = {}) {
  const registry = await startUpstream();
  t.after(() => registry.stop());
  const { body, digest } = bytesOf('blob', SIZE);
  registry.content.putBlob('x', blobOf(body));
  const url = `${registry.url}/v2/x/blobs/${digest}`;
  return { registry, upstream: openFor(t, registry.url, given), body, request: { url, digest, size: SIZE } };
}

/** Everything that a reader gets, and the error that ended it. */
async function readAll(body: AsyncIterable<Buffer>): Promise<{ bytes: Buffer; error: Error | undefined }> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of body) chunks.push(chunk);
    return { bytes: Buffer.concat(chunks), error: undefined };
  } catch (error) {
    return { bytes: Buffer.concat(chunks), error: error as Error };
  }
}

describe('a stream', () => {
  test('gives the bytes and their number', async (t) => {
    const { upstream, request, body } = await rig(t);
    const stream = await upstream.stream(request);
    assert.equal(stream.size, SIZE);
    assert.deepEqual((await readAll(stream.body)).bytes, body);
    const unsized = await upstream.stream({ ...request, size: undefined });
    assert.equal(unsized.size, SIZE);
    assert.deepEqual((await readAll(unsized.body)).bytes, body);
  });

  test('goes on where the upstream broke it, unnoticed by the reader', async (t) => {
    const { upstream, request, body, registry } = await rig(t, { max_retries: 2 });
    registry.fault({ kind: 'blob', fault: FAULTS.cutOff(1_000_000), times: 2 });
    const { bytes, error } = await readAll((await upstream.stream(request)).body);
    assert.equal(error, undefined);
    assert.deepEqual(bytes, body);
  });

  test('never ends well with wrong bytes', async (t) => {
    const { upstream, request, registry } = await rig(t);
    registry.fault({ kind: 'blob', fault: FAULTS.wrongDigest });
    const { bytes, error } = await readAll((await upstream.stream(request)).body);
    assert.match(error?.message ?? '', /^\[PLP0003\]/);
    assert.ok(bytes.length < SIZE);
  });

  test('fails before it begins where there is no body to give', async (t) => {
    const { upstream, request, registry } = await rig(t);
    registry.fault({ kind: 'blob', fault: FAULTS.status(404), times: 1 });
    await assert.rejects(upstream.stream(request), { status: 404 });
    registry.fault({ kind: 'blob', fault: FAULTS.wrongLength(1), times: 1 });
    await assert.rejects(upstream.stream(request), { kind: 'size' });
  });

  test('a reader that leaves gives its connection back', async (t) => {
    const { upstream, request } = await rig(t, { download_concurrency: 1 });
    for (let count = 0; count < 3; count += 1) {
      const { body } = await upstream.stream(request);
      if (count === 1) for await (const _ of body) break;
      body.destroy();
    }
    assert.equal((await readAll((await upstream.stream(request)).body)).bytes.length, SIZE);
  });

  test('an abort ends it', async (t) => {
    const { upstream, request, registry } = await rig(t);
    registry.fault({ kind: 'blob', fault: FAULTS.idleBody(1000) });
    const controller = new AbortController();
    const { body } = await upstream.stream({ ...request, signal: controller.signal });
    setImmediate(() => controller.abort(new Error('canceled')));
    assert.match((await readAll(body)).error?.message ?? '', /canceled/);
  });
});
