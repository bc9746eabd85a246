import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FAULTS } from '../support/upstream-faults.ts';
import { closedUrl, startUpstream } from '../support/upstream-registry.ts';
import { openFor, serve } from './rig.ts';

const get = (url: string, maxBytes = 1024) => ({ method: 'GET', url, maxBytes }) as const;

describe('answers', () => {
  test('status, headers, body, and the final URL; the remote headers and our name are sent', async (t) => {
    let seen: IncomingHttpHeaders = {};
    const url = await serve(t, (request, response) => {
      seen = request.headers;
      response.writeHead(200, { 'x-two': ['a', 'b'] }).end('hello');
    });
    const upstream = openFor(t, url, { headers: [{ 'X-Team': 'red' }, { 'x-more': '1' }] });
    const answer = await upstream.request(get(`${url}/a?b=c`));
    assert.deepEqual([answer.status, answer.body.toString(), answer.url], [200, 'hello', `${url}/a?b=c`]);
    assert.equal(answer.headers['x-two'], 'a, b');
    assert.match(seen['user-agent'] ?? '', /^deckle\/\d+\.\d+\.\d+$/);
    assert.deepEqual([seen['x-team'], seen['x-more'], seen['accept-encoding']], ['red', '1', 'identity']);
  });

  test('HEAD keeps its connection', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    const upstream = openFor(t, registry.url, { download_concurrency: 1 });
    for (let count = 0; count < 10; count += 1) {
      const answer = await upstream.request({ method: 'HEAD', url: `${registry.url}/v2/`, maxBytes: 0 });
      assert.equal(answer.body.byteLength, 0);
    }
    assert.equal(registry.connections, 1);
  });

  test('no more at once than download_concurrency', async (t) => {
    let running = 0;
    let most = 0;
    const url = await serve(t, (_request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end();
      }, 5);
    });
    const upstream = openFor(t, url, { download_concurrency: 3 });
    await Promise.all(Array.from({ length: 20 }, () => upstream.request(get(url))));
    assert.equal(most, 3);
  });

  test('gzip is asked for and decoded only where that is wanted', async (t) => {
    const url = await serve(t, (request, response) => {
      const coded = request.headers['accept-encoding'] === 'gzip';
      response.writeHead(200, coded ? { 'content-encoding': 'gzip' } : {}).end(coded ? gzipSync('plain') : 'plain');
    });
    const upstream = openFor(t, url);
    assert.equal((await upstream.request(get(url))).body.toString(), 'plain');
    assert.equal((await upstream.request({ ...get(url), decode: true })).body.toString(), 'plain');
  });
});

describe('error texts (spec: sync, error texts)', () => {
  test('a status', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    const url = `${registry.url}/v2/none/tags/list`;
    const upstream = openFor(t, registry.url);
    await assert.rejects(upstream.request(get(`${url}?secret=1`)), {
      name: 'UpstreamError',
      kind: 'status',
      status: 404,
      message: `404, message='Not Found', url='${url}'`,
    });
    for (const [status, reason] of [
      [401, 'Unauthorized'],
      [403, 'Forbidden'],
      [429, 'Too Many Requests'],
      [500, 'Internal Server Error'],
    ] as const) {
      registry.fault({ fault: FAULTS.status(status), times: 1 });
      await assert.rejects(upstream.request(get(url)), { status, message: `${status}, message='${reason}', url='${url}'` });
    }
  });

  test('refused', async (t) => {
    const url = await closedUrl();
    const { port } = new URL(url);
    await assert.rejects(openFor(t, url).request(get(url)), {
      kind: 'refused',
      message: `Cannot connect to host 127.0.0.1:${port} ssl:default [Connect call failed ('127.0.0.1', ${port})]`,
    });
  });

  test('a name that does not exist', async (t) => {
    const url = 'http://bh.invalid';
    const failure = await openFor(t, url)
      .request(get(url))
      .catch((error: unknown) => error);
    // Without any name server the resolver says that it cannot say.
    assert.match(
      String(failure),
      /^UpstreamError: Cannot connect to host bh\.invalid:80 ssl:default \[(Name or service not known|Temporary failure in name resolution)\]$/,
    );
  });

  test('no answer, a broken one, one that is not HTTP', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    const url = `${registry.url}/v2/`;
    const upstream = openFor(t, registry.url, { sock_read_timeout: 0.2 });
    registry.fault({ fault: FAULTS.drop, times: 1 });
    await assert.rejects(upstream.request(get(url)), {
      kind: 'connection',
      message: /closed the connection without an answer to http/,
    });
    registry.fault({ fault: FAULTS.slowHeaders(1_500), times: 1 });
    await assert.rejects(upstream.request(get(url)), { kind: 'timeout', message: `No answer from ${url} within 0.2 s` });
    registry.fault({ fault: FAULTS.cutOff(1), times: 1 });
    await assert.rejects(upstream.request(get(url)), {
      kind: 'truncated',
      message: `The answer of ${url} was cut off before its end`,
    });
    registry.fault({ fault: FAULTS.idleBody(1), times: 1 });
    await assert.rejects(upstream.request(get(url)), {
      kind: 'timeout',
      message: `The answer of ${url} stopped: not a byte for 0.2 s`,
    });
  });

  test('total_timeout', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    registry.fault({ fault: FAULTS.slowHeaders(1_500) });
    const upstream = openFor(t, registry.url, { total_timeout: 0.1 });
    await assert.rejects(upstream.request(get(`${registry.url}/v2/`)), {
      message: /took longer than the total timeout of 0\.1 s/,
    });
  });
});

describe('limits', () => {
  test('a body over its limit, by length and without one; too many headers; a bomb', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    const url = `${registry.url}/v2/x/tags/list`;
    const upstream = openFor(t, registry.url);
    for (const fault of [FAULTS.hugeManifest(100_000_000), FAULTS.hugeManifest(100_000_000, true)]) {
      registry.fault({ fault, times: 1 });
      await assert.rejects(upstream.request(get(url, 4_194_304)), { kind: 'too-large', message: /larger than 4194304 bytes/ });
    }
    registry.fault({ fault: FAULTS.headerBomb, times: 1 });
    await assert.rejects(upstream.request(get(url)), { kind: 'too-large', message: /headers of .* are over 64 KiB/ });
    registry.fault({ fault: FAULTS.gzipBomb, times: 1 });
    await assert.rejects(upstream.request({ ...get(url, 8_388_608), decode: true }), { kind: 'too-large' });
  });
});

describe('redirects', () => {
  test('followed up to five times; credentials stay at their server', async (t) => {
    const seen: IncomingHttpHeaders[] = [];
    const other = await serve(
      t,
      (request, response) => {
        seen.push(request.headers);
        response.end('there');
      },
      '127.0.0.2',
    );
    const url = await serve(t, (request, response) => {
      seen.push(request.headers);
      const step = Number(request.url?.slice(1));
      response.writeHead(307, { location: step < 4 ? `/${step + 1}` : `${other}/x` }).end();
    });
    const upstream = openFor(t, url);
    const headers = { authorization: 'Bearer secret', cookie: 'a=b', 'x-kept': '1' };
    assert.equal((await upstream.request({ ...get(`${url}/0`), headers })).body.toString(), 'there');
    assert.deepEqual(
      seen.map((one) => [one.authorization, one.cookie, one['x-kept']]),
      [...Array.from({ length: 5 }, () => ['Bearer secret', 'a=b', '1']), [undefined, undefined, '1']],
    );
    await assert.rejects(upstream.request(get(`${url}/-1`)), { kind: 'redirect', message: /redirects more than 5 times/ });
  });

  const refused: Record<string, { location?: string; message: RegExp }> = {
    'to a metadata service': {
      location: 'http://169.254.169.254/latest/',
      message: /Refused to connect to 169\.254\.169\.254:80/,
    },
    'to a file': { location: 'file:///etc/passwd', message: /redirects to file:/ },
    nowhere: { message: /redirects without saying where to/ },
    'to no URL': { location: 'http://[', message: /is no URL/ },
  };
  for (const [name, { location, message }] of Object.entries(refused)) {
    test(`refused: ${name}`, async (t) => {
      const url = await serve(t, (_request, response) => {
        response.writeHead(302, location === undefined ? {} : { location }).end();
      });
      await assert.rejects(openFor(t, url).request(get(url)), { name: 'UpstreamError', message });
    });
  }

  test('refused: to where this server listens', async (t) => {
    const own = await serve(t, (_request, response) => response.end('own'));
    const url = await serve(t, (_request, response) => response.writeHead(302, { location: own }).end());
    const { hostname: address, port } = new URL(own);
    const upstream = openFor(t, url, {}, { ownAddresses: [{ address, port: Number(port) }] });
    await assert.rejects(upstream.request(get(url)), { kind: 'forbidden-address', message: /this server's own address/ });
  });
});

describe('tries, aborts, close', () => {
  test('max_retries counts the further tries, Retry-After is waited for', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    const fault = registry.fault({ fault: FAULTS.tooMany(0) });
    await assert.rejects(openFor(t, registry.url, { max_retries: 2 }).request(get(`${registry.url}/v2/`)), { status: 429 });
    assert.equal(fault.hits, 3);
    fault.clear();
    registry.fault({ fault: FAULTS.tooMany(1), times: 1 });
    const started = Date.now();
    await openFor(t, registry.url, { max_retries: null }).request(get(`${registry.url}/v2/`));
    assert.ok(Date.now() - started >= 990);
  });

  test('an answer that the caller finds wrong is asked for again', async (t) => {
    const { checksumError } = await import('../../src/download/resume.ts');
    const registry = await startUpstream();
    t.after(() => registry.stop());
    let looked = 0;
    const verify = (): void => {
      looked += 1;
      if (looked === 1) throw checksumError(registry.url, 'a', 'b');
    };
    await openFor(t, registry.url, { max_retries: 1 }).request({ ...get(`${registry.url}/v2/`), verify });
    assert.equal(looked, 2);
  });

  test('an abort ends a running request and one that waits, with its reason', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    registry.fault({ fault: FAULTS.slowHeaders(1_500) });
    const upstream = openFor(t, registry.url, { download_concurrency: 1 });
    const controller = new AbortController();
    const requests = Array.from({ length: 20 }, () =>
      upstream.request({ ...get(`${registry.url}/v2/`), signal: controller.signal }),
    );
    setImmediate(() => controller.abort(new Error('canceled')));
    for (const one of await Promise.allSettled(requests)) {
      assert.equal(one.status, 'rejected');
      assert.equal((one.reason as Error).message, 'canceled');
    }
  });

  test('close ends a running request', async (t) => {
    const registry = await startUpstream();
    t.after(() => registry.stop());
    registry.fault({ fault: FAULTS.slowHeaders(1_500) });
    const upstream = openFor(t, registry.url, { max_retries: null });
    const request = upstream.request(get(`${registry.url}/v2/`));
    setImmediate(() => upstream.close());
    await assert.rejects(request);
  });
});
