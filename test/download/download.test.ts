import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { blobOf, largeLayer } from '../../src/demo/layer.ts';
import type { RemoteSettings } from '../../src/download/remote-settings.ts';
import type { Digest } from '../../src/lib/digest.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { startUpstream, type Upstream as TestRegistry } from '../support/upstream-registry.ts';
import { bytesOf, openFor, serve, targetAt, targetInMemory, temporaryFolder } from './rig.ts';

/** Large enough to be written past the page cache, and no number of whole blocks. */
const SIZE = 5_000_011;

/** A registry with one blob, an upstream for it, and a file to download to. */
async function rig(t: TestContext, given: Partial<RemoteSettings> = {}) {
  const registry: TestRegistry = await startUpstream();
  t.after(() => registry.stop());
  const { body, digest } = bytesOf('blob', SIZE);
  registry.content.putBlob('x', blobOf(body));
  const path = join(await temporaryFolder(t), 'file');
  const url = `${registry.url}/v2/x/blobs/${digest}`;
  const upstream = openFor(t, registry.url, given);
  return { registry, upstream, body, path, url, request: { url, digest, size: SIZE, file: targetAt(path) } };
}

describe('a file', () => {
  test('is written, hashed and verified; further checksums on demand', async (t) => {
    const { upstream, request, path, body } = await rig(t);
    const done = await upstream.download({ ...request, checksums: ['md5', 'sha256', 'sha512'] });
    assert.deepEqual(await readFile(path), body);
    const checksums = Object.fromEntries(
      ['sha256', 'md5', 'sha512'].map((name) => [name, createHash(name).update(body).digest('hex')]),
    );
    assert.deepEqual(done, { size: SIZE, checksums });
  });

  test('of sha512, of no stated size, of no bytes', async (t) => {
    const { upstream, request, registry, path, body } = await rig(t);
    const digest = `sha512:${createHash('sha512').update(body).digest('hex')}` as Digest;
    const done = await upstream.download({ ...request, digest, size: undefined });
    assert.deepEqual(Object.keys(done.checksums).sort(), ['sha256', 'sha512']);
    const empty = blobOf('');
    registry.content.putBlob('x', empty);
    const url = `${registry.url}/v2/x/blobs/${empty.digest}`;
    const none = await upstream.download({ url, digest: empty.digest as Digest, size: 0, file: targetAt(`${path}-empty`) });
    assert.equal(none.size, 0);
  });

  // /dev/shm is a tmpfs, on which older kernels write nothing past the page cache.
  for (const parent of [undefined, ...(existsSync('/dev/shm') ? ['/dev/shm'] : [])]) {
    test(`of any size${parent ? `, in ${parent}` : ''}: of whole blocks, with a rest, small`, async (t) => {
      const { upstream, registry } = await rig(t);
      const folder = await temporaryFolder(t, parent);
      const block = 512 * 1024;
      await Promise.all(
        [1000, 3_000_000, 8 * block - 1, 8 * block, 8 * block + 1, 11 * block, 12 * block + 511].map(async (size) => {
          const { body, digest } = bytesOf(`size ${size}`, size);
          registry.content.putBlob('x', blobOf(body));
          const path = join(folder, String(size));
          await upstream.download({ url: `${registry.url}/v2/x/blobs/${digest}`, digest, size, file: targetAt(path) });
          assert.ok(body.equals(await readFile(path)), String(size));
        }),
      );
    });
  }

  test('in chunks; its connection is used again', async (t) => {
    const { body, digest } = bytesOf('chunks', 200_000);
    let connections = 0;
    const server = createServer((_request, response) => {
      for (let at = 0; at < body.length; at += 7919) response.write(body.subarray(at, at + 7919));
      response.end();
    });
    server.on('connection', () => {
      connections += 1;
    });
    const listening = new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await listening;
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
    const path = join(await temporaryFolder(t), 'file');
    const upstream = openFor(t, url, {}, { threads: 1 });
    for (let count = 0; count < 5; count += 1) {
      await upstream.download({ url, digest, size: body.length, file: targetAt(`${path}${count}`) });
      assert.deepEqual(await readFile(`${path}${count}`), body);
    }
    assert.ok(connections < 5, `${connections} connections for five files`);
  });

  test('by a redirect, which is not given the credentials', async (t) => {
    const { body, digest } = bytesOf('cdn', 100_000);
    const seen: (string | undefined)[] = [];
    const cdn = await serve(
      t,
      (request, response) => {
        seen.push(request.headers.authorization);
        response.end(body);
      },
      '127.0.0.2',
    );
    const url = await serve(t, (request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(307, { location: `${cdn}/file?signature=1` }).end('it is over there');
    });
    const path = join(await temporaryFolder(t), 'file');
    const headers = { authorization: 'Bearer secret' };
    await openFor(t, url).download({ url, headers, digest, size: body.length, file: targetAt(path) });
    assert.deepEqual(seen, ['Bearer secret', undefined]);
    assert.deepEqual(await readFile(path), body);
  });

  test('without a local path is written chunk by chunk', async (t) => {
    const { upstream, request, body, registry } = await rig(t, { max_retries: 1 });
    registry.fault({ kind: 'blob', fault: FAULTS.cutOff(1_000_000), times: 1 });
    const file = targetInMemory();
    const done = await upstream.download({ ...request, file });
    assert.deepEqual(file.bytes(), body);
    assert.equal(done.checksums.sha256, request.digest.slice(7));
  });
});

describe('a broken transfer', () => {
  test('goes on where it broke, by Range', async (t) => {
    const { upstream, request, registry, path, body } = await rig(t, { max_retries: 3 });
    registry.fault({ kind: 'blob', fault: FAULTS.cutOff(1_000_000), times: 2 });
    await upstream.download(request);
    assert.deepEqual(await readFile(path), body);
    const ranges = registry.requests.of('GET', 'blob').map(({ headers }) => headers.range);
    assert.equal(ranges[0], undefined);
    const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]));
    assert.equal(starts.length, 2);
    const [first = 0, second = 0] = starts;
    assert.ok(first > 0 && second > first, `resumed at ${first} and ${second}`);
  });

  test('is begun again, past what is there, where the upstream knows no Range', async (t) => {
    const { upstream, request, registry, path, body } = await rig(t, { max_retries: 1 });
    registry.fault({ kind: 'blob', fault: FAULTS.cutOff(1_000_000, true), times: 1 });
    registry.fault({
      kind: 'blob',
      fault: { deliver: { ignoreRange: true } },
      when: ({ headers }) => headers.range !== undefined,
    });
    await upstream.download(request);
    assert.deepEqual(await readFile(path), body);
  });

  test('is asked for with If-Range where there is a strong ETag', async (t) => {
    const { body, digest } = bytesOf('etag', 200_000);
    const conditions: unknown[] = [];
    const url = await serve(t, (request, response) => {
      conditions.push([request.headers.range !== undefined, request.headers['if-range']]);
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const range = { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` };
      const head = { etag: '"v1"', 'content-length': body.length - start, ...(start > 0 ? range : {}) };
      response.writeHead(start > 0 ? 206 : 200, head);
      if (start > 0) response.end(body.subarray(start));
      else response.write(body.subarray(0, 100_000), () => setImmediate(() => response.destroy()));
    });
    const path = join(await temporaryFolder(t), 'file');
    await openFor(t, url, { max_retries: 1 }).download({ url, digest, size: body.length, file: targetAt(path) });
    assert.deepEqual(await readFile(path), body);
    assert.deepEqual(conditions, [
      [false, undefined],
      [true, '"v1"'],
    ]);
  });

  test('fails with its reason when the tries are used up', async (t) => {
    const { upstream, request, registry, url } = await rig(t, { sock_read_timeout: 0.2 });
    registry.fault({ kind: 'blob', fault: FAULTS.cutOff(1000), times: 1 });
    await assert.rejects(upstream.download(request), {
      kind: 'truncated',
      message: `The answer of ${url} was cut off before its end`,
    });
    registry.fault({ kind: 'blob', fault: FAULTS.idleBody(1000), times: 1 });
    await assert.rejects(upstream.download(request), {
      kind: 'timeout',
      message: `The answer of ${url} stopped: not a byte for 0.2 s`,
    });
    registry.fault({ kind: 'blob', fault: FAULTS.slowHeaders(1_500), times: 1 });
    await assert.rejects(upstream.download(request), { kind: 'timeout', message: `No answer from ${url} within 0.2 s` });
    registry.fault({ kind: 'blob', fault: FAULTS.drop, times: 1 });
    await assert.rejects(upstream.download(request), { kind: 'connection' });
    registry.fault({ kind: 'blob', fault: FAULTS.status(404), times: 1 });
    await assert.rejects(upstream.download(request), { status: 404, message: `404, message='Not Found', url='${url}'` });
    registry.fault({ kind: 'blob', fault: FAULTS.redirectLoop, times: 10 });
    await assert.rejects(upstream.download(request), { kind: 'redirect', message: /more than 5 times/ });
  });

  test('slower than 1 KiB a second for a minute is given up', async () => {
    const { SlowBody } = await import('../../src/download/slow-body.ts');
    const slow = new SlowBody('http://h/x');
    for (let minute = 0; minute < 3; minute += 1) for (let count = 0; count < 60; count += 1) slow.add(1024, 1000);
    assert.throws(() => {
      for (let count = 0; count < 60; count += 1) slow.add(1000, 1000);
    }, /The answer of http:\/\/h\/x is too slow: under 1024 bytes a second for 60 s/);
  });
});

describe('wrong bytes', () => {
  test('are fetched again from the start', async (t) => {
    const { upstream, request, registry, path, body } = await rig(t, { max_retries: 1 });
    registry.fault({ kind: 'blob', fault: FAULTS.wrongDigest, times: 1 });
    await upstream.download(request);
    assert.deepEqual(await readFile(path), body);
  });

  test('fail with both checksums', async (t) => {
    const { upstream, request, registry, url, body } = await rig(t);
    registry.fault({ kind: 'blob', fault: FAULTS.wrongDigest });
    const failure = await upstream.download(request).catch((error: unknown) => error);
    const expected = createHash('sha256').update(body).digest('hex');
    const text = `[PLP0003] A file located at the url ${url} failed validation due to checksum. Expected '${expected}', Actual '`;
    assert.ok((failure as Error).message.startsWith(text), (failure as Error).message);
  });

  for (const [name, off] of [
    ['too many', 10],
    ['too few', -10],
  ] as const) {
    test(`${name}: the size is wrong`, async (t) => {
      const { upstream, request, registry, url } = await rig(t);
      registry.fault({ kind: 'blob', fault: FAULTS.wrongLength(off) });
      await assert.rejects(upstream.download(request), {
        kind: 'size',
        message: `The file at ${url} should have ${SIZE} bytes and has ${SIZE + off}`,
      });
    });
  }

  test('after a good beginning: the second try begins anew', async (t) => {
    const { upstream, request, registry, path, body } = await rig(t, { max_retries: 2 });
    registry.fault({ kind: 'blob', fault: { deliver: { cutAfter: 1_000_000, corrupt: true } }, times: 1 });
    await upstream.download(request);
    assert.deepEqual(await readFile(path), body);
    assert.equal(registry.requests.of('GET', 'blob').at(-1)?.headers.range, undefined);
  });
});

describe('the surroundings', () => {
  test('a full disk is named as such and not tried again', async (t) => {
    const { upstream, request, registry } = await rig(t, { max_retries: null });
    await assert.rejects(upstream.download({ ...request, file: targetAt('/dev/full') }), { code: 'ENOSPC' });
    assert.equal(registry.requests.count('GET', 'blob'), 1);
  });

  test('an abort ends it with its reason', async (t) => {
    const { upstream, request, registry } = await rig(t, { max_retries: null });
    registry.fault({ kind: 'blob', fault: FAULTS.idleBody(1000) });
    const controller = new AbortController();
    const download = upstream.download({ ...request, signal: controller.signal });
    const poll = setInterval(() => {
      if (registry.requests.count('GET', 'blob') > 0) controller.abort(new Error('canceled'));
    }, 5);
    await assert.rejects(download, /canceled/);
    clearInterval(poll);
  });

  test('a redirect to a refused address is refused in the thread, too', async (t) => {
    const url = await serve(t, (_request, response) => response.writeHead(302, { location: 'http://169.254.1.1/' }).end());
    const { digest } = bytesOf('x', 10);
    const file = targetAt(join(await temporaryFolder(t), 'file'));
    await assert.rejects(openFor(t, url).download({ url, digest, size: 10, file }), { kind: 'forbidden-address' });
  });

  test('memory stays flat: 20 files of 20 MB at once', async (t) => {
    const { upstream, registry, path } = await rig(t);
    const layer = largeLayer('flat', 20_000_000);
    registry.content.putBlob('x', layer);
    const digest = layer.digest as Digest;
    const url = `${registry.url}/v2/x/blobs/${digest}`;
    const before = process.memoryUsage().rss;
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        upstream.download({ url, digest, size: layer.size, file: targetAt(`${path}-${index}`) }),
      ),
    );
    const grown = (process.memoryUsage().rss - before) / 1e6;
    // The server that sends them is in this process as well.
    assert.ok(grown < 200, `400 MB came through ${grown} MB`);
  });
});
