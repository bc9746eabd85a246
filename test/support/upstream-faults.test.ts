import assert from 'node:assert/strict';
import { get, type IncomingMessage } from 'node:http';
import { after, before, beforeEach, describe, it } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { largeLayer, sha256Digest } from '../../src/demo/layer.ts';
import { crowdedIndex, selfListingIndex } from './images.ts';
import { FAULTS } from './upstream-faults.ts';
import { closedUrl, startUpstream, type Upstream } from './upstream-registry.ts';

const layer = largeLayer('faults', 100_000);
const image = imageOf({ layers: [layer] });
const tagList = '/v2/team/app/tags/list';
const manifest = '/v2/team/app/manifests/v1';
const blob = `/v2/team/app/blobs/${layer.digest}`;

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
  upstream.put('team/app', image, 'v1');
});
after(() => upstream?.stop());
beforeEach(() => {
  upstream.clearFaults();
  upstream.requests.reset();
});

interface Answer {
  response: IncomingMessage;
  body: Buffer;
  /** Whether the body came to its announced end. */
  whole: boolean;
}

/** An answer as far as it comes, at most `ms` after its headers; rejects when there is none. */
function ask(path: string, headers: Record<string, string> = {}, ms = 5_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get(upstream.url + path, { headers, agent: false, maxHeaderSize: 16 * 2 ** 20 }, (response) => {
      const chunks: Buffer[] = [];
      const finish = (whole: boolean) => {
        clearTimeout(timer);
        resolve({ response, body: Buffer.concat(chunks), whole });
      };
      const timer = setTimeout(() => {
        finish(false);
        request.destroy();
      }, ms);
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => finish(true));
      response.on('error', () => finish(false));
    });
    request.on('error', reject);
  });
}

describe('replaced answers', () => {
  it('answers with a status for a number of times, then well', async () => {
    const fault = upstream.fault({ kind: 'tags', times: 2, fault: FAULTS.tooMany(3) });
    const first = await ask(tagList);
    assert.equal(first.response.statusCode, 429);
    assert.equal(first.response.headers['retry-after'], '3');
    assert.equal((await ask(manifest)).response.statusCode, 200);
    assert.equal((await ask(tagList)).response.statusCode, 429);
    assert.equal((await ask(tagList)).response.statusCode, 200);
    assert.equal(fault.hits, 2);
  });

  it('names a date in Retry-After and sends a 401 without a challenge', async () => {
    upstream.fault({ kind: 'tags', fault: FAULTS.tooMany(new Date('2030-01-01T00:00:00Z')) });
    assert.equal((await ask(tagList)).response.headers['retry-after'], 'Tue, 01 Jan 2030 00:00:00 GMT');
    upstream.fault({ kind: 'tags', fault: FAULTS.status(401) });
    const refused = (await ask(tagList)).response;
    assert.equal(refused.statusCode, 401);
    assert.equal(refused.headers['www-authenticate'], undefined);
  });

  it('applies to one repository, reference or predicate only', async () => {
    upstream.put('team/other', image, 'v1');
    upstream.fault({ repository: 'team/other', fault: FAULTS.status(403) });
    upstream.fault({ reference: layer.digest, fault: FAULTS.status(500) });
    const byPredicate = upstream.fault({ when: (request) => request.method === 'HEAD', fault: FAULTS.status(503) });
    assert.equal((await ask(tagList)).response.statusCode, 200);
    assert.equal((await ask('/v2/team/other/tags/list')).response.statusCode, 403);
    assert.equal((await ask(blob)).response.statusCode, 500);
    assert.equal((await fetch(upstream.url + manifest, { method: 'HEAD' })).status, 503);
    byPredicate.clear();
    assert.equal((await fetch(upstream.url + manifest, { method: 'HEAD' })).status, 200);
  });

  it('sends HTML, garbage, null tags and deep JSON', async () => {
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.html });
    assert.match((await ask(tagList)).body.toString(), /^<!DOCTYPE html>/);
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.nullTags });
    assert.equal(JSON.parse((await ask(tagList)).body.toString()).tags, null);
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.deepJson });
    assert.ok((await ask(tagList)).body.toString().includes('['.repeat(100_000)));
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.garbage });
    const garbage = (await ask(tagList)).body.toString();
    assert.throws(() => JSON.parse(garbage));
  });

  it('pages without end, links and redirects elsewhere, redirects in a circle', async () => {
    upstream.fault({ kind: 'tags', times: 2, fault: FAULTS.endlessPages() });
    assert.equal((await ask(tagList)).response.headers.link, `<${tagList}?page=1>; rel="next"`);
    assert.equal((await ask(`${tagList}?page=1`)).response.headers.link, `<${tagList}?page=2>; rel="next"`);
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.linkTo('http://127.0.0.2:1/v2/x') });
    assert.equal((await ask(tagList)).response.headers.link, '<http://127.0.0.2:1/v2/x>; rel="next"');
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.redirectTo('http://127.0.0.2:1') });
    const redirect = (await ask(blob)).response;
    assert.equal(redirect.statusCode, 307);
    assert.equal(redirect.headers.location, `http://127.0.0.2:1${blob}`);
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.redirectLoop });
    assert.equal((await ask(blob)).response.headers.location, upstream.url + blob);
  });

  it('sends bombs: headers, gzip, a huge manifest', async () => {
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.headerBomb });
    const bomb = (await ask(tagList)).response;
    // Node's client keeps the first 1,000 headers only.
    assert.ok(bomb.rawHeaders.join('').length > 1_000_000);
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.gzipBomb });
    const gzip = await ask(tagList);
    assert.equal(gzip.response.headers['content-encoding'], 'gzip');
    assert.ok(gzip.body.length < 2_000_000);
    upstream.fault({ kind: 'manifest', times: 1, fault: FAULTS.hugeManifest(3_000_000, true) });
    const huge = await ask(manifest);
    assert.equal(huge.response.headers['content-length'], undefined);
    assert.equal(JSON.parse(huge.body.toString()).annotations.filler.length, 3_000_000 - 47);
  });

  it('drops connections, and has URLs at which nothing listens', async () => {
    upstream.fault({ kind: 'tags', times: 1, fault: FAULTS.drop });
    await assert.rejects(ask(tagList), { code: 'ECONNRESET' });
    await assert.rejects(
      fetch(await closedUrl()),
      (error: Error) => (error.cause as NodeJS.ErrnoException).code === 'ECONNREFUSED',
    );
  });
});

describe('badly delivered answers', () => {
  it('cuts a blob off, which can be resumed by Range or not', async () => {
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.cutOff(70_000) });
    const cut = await ask(blob);
    assert.equal(cut.whole, false);
    assert.equal(cut.body.length, 70_000);
    const rest = await ask(blob, { range: 'bytes=70000-' });
    assert.equal(rest.response.statusCode, 206);
    assert.equal(sha256Digest(Buffer.concat([cut.body, rest.body])), layer.digest);
    upstream.fault({ kind: 'blob', fault: FAULTS.cutOff(Number.POSITIVE_INFINITY, true) });
    assert.equal((await ask(blob, { range: 'bytes=70000-' })).response.statusCode, 200);
  });

  it('delivers slowly, not at all, with a wrong digest or a wrong length', async () => {
    const started = performance.now();
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.slowHeaders(120) });
    await ask(blob);
    assert.ok(performance.now() - started >= 119);
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.slowBody(1_000) });
    const slow = await ask(blob, {}, 500);
    assert.ok(!slow.whole && slow.body.length > 0 && slow.body.length < 2_000, `${slow.body.length} bytes`);
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.idleBody(10) });
    const idle = await ask(blob, {}, 200);
    assert.ok(!idle.whole && idle.body.length === 10);
    upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.wrongDigest });
    const wrong = await ask(blob);
    assert.ok(wrong.whole && wrong.body.length === layer.size && sha256Digest(wrong.body) !== layer.digest);
    for (const off of [-5, 5]) {
      upstream.fault({ kind: 'blob', times: 1, fault: FAULTS.wrongLength(off) });
      const odd = await ask(blob);
      assert.ok(odd.whole && odd.body.length === layer.size + off);
    }
  });
});

describe('malformed contents', () => {
  it('holds an index that lists itself and one with 1,001 children', async () => {
    const self = selfListingIndex();
    upstream.put('team/odd', self, 'self');
    const body = (await ask('/v2/team/odd/manifests/self')).body;
    assert.equal(JSON.parse(body.toString()).manifests[0].digest, self.digest);
    upstream.put('team/odd', crowdedIndex(), 'crowded');
    assert.equal(JSON.parse((await ask('/v2/team/odd/manifests/crowded')).body.toString()).manifests.length, 1_001);
  });
});
