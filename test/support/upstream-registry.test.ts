import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get as httpGet, request as httpRequest, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { imageOf, indexOf, multiPlatformOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { atomicSigner } from './atomic-signature.ts';
import { companionTag, cosignSignatureOf, helmChartOf, schema1Of, signedSchema1Of } from './images.ts';
import { missing } from './missing.ts';
import { testCertificates } from './upstream-certificates.ts';
import { startProxy } from './upstream-proxy.ts';
import { startUpstream, type Upstream, type UpstreamOptions } from './upstream-registry.ts';

const run = promisify(execFile);
const stops: (() => Promise<unknown>)[] = [];
after(async () => {
  for (const stop of stops) await stop();
});

async function upstreamWith(options: UpstreamOptions = {}): Promise<Upstream> {
  const upstream = await startUpstream(options);
  stops.push(() => upstream.stop());
  upstream.put('team/app', imageOf(), 'v1');
  return upstream;
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A whole answer: rejects when the connection breaks before its end. */
function fetchRaw(url: string, headers: Record<string, string> = {}): Promise<{ response: IncomingMessage; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = httpGet(url, { headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ response, body: Buffer.concat(chunks) }));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

describe('contents', () => {
  it('serves layers whose digest and diff id are those of their bytes', async () => {
    const upstream = await upstreamWith();
    const large = largeLayer('a seed', 300_000);
    const small = layerOf({ 'etc/hello': 'hello', 'etc/empty': '' });
    upstream.put('team/app', imageOf({ layers: [large, small] }), 'layers');
    for (const layer of [large, small]) {
      const body = Buffer.from(await (await fetch(`${upstream.url}/v2/team/app/blobs/${layer.digest}`)).arrayBuffer());
      assert.equal(sha256(body), layer.digest);
      assert.equal(body.length, layer.size);
      assert.equal(sha256(gunzipSync(body)), layer.diffId);
    }
    assert.deepEqual(upstream.requests.counts(), { 'GET blob': 2 });
  });

  it('serves manifests by tag and digest, by GET and HEAD', async () => {
    const upstream = await upstreamWith();
    const image = imageOf({ format: 'docker', labels: { a: 'b' } });
    upstream.put('team/app', image, 'v2');
    for (const reference of ['v2', image.digest]) {
      const response = await fetch(`${upstream.url}/v2/team/app/manifests/${reference}`);
      assert.equal(response.headers.get('docker-content-digest'), image.digest);
      assert.equal(response.headers.get('content-type'), image.mediaType);
      assert.equal(sha256(new Uint8Array(await response.arrayBuffer())), image.digest);
    }
    const head = await fetch(`${upstream.url}/v2/team/app/manifests/v2`, { method: 'HEAD' });
    assert.equal(head.headers.get('content-length'), String(image.bytes.length));
    upstream.removeTag('team/app', 'v2');
    assert.equal((await fetch(`${upstream.url}/v2/team/app/manifests/v2`)).status, 404);
    assert.equal((await fetch(`${upstream.url}/v2/team/app/manifests/${image.digest}`)).status, 200);
    assert.equal(upstream.requests.count('GET', 'manifest'), 4);
    assert.equal(upstream.requests.count('HEAD', 'manifest'), 1);
  });

  it('gives ranges of a computed blob', async () => {
    const upstream = await upstreamWith();
    const layer = largeLayer('ranges', 200_000);
    upstream.put('team/app', imageOf({ layers: [layer] }), 'large');
    const url = `${upstream.url}/v2/team/app/blobs/${layer.digest}`;
    const whole = (await fetchRaw(url)).body;
    for (const [start, end] of [
      [0, 0],
      [5, 70_000],
      [65_540, 131_200],
      [199_000, layer.size - 1],
    ] as const) {
      const { response, body } = await fetchRaw(url, { range: `bytes=${start}-${end}` });
      assert.equal(response.statusCode, 206);
      assert.equal(response.headers['content-range'], `bytes ${start}-${end}/${layer.size}`);
      assert.deepEqual(body, whole.subarray(start, end + 1));
    }
    assert.equal((await fetchRaw(url, { range: `bytes=${layer.size}-` })).response.statusCode, 416);
  });

  it('pages tags by Link', async () => {
    const upstream = await upstreamWith({ pageSize: 2 });
    for (const tag of ['b', 'a', 'c', 'd']) upstream.put('team/app', imageOf(), tag);
    const tags: string[] = [];
    let next: string | undefined = '/v2/team/app/tags/list';
    while (next !== undefined) {
      const response: Response = await fetch(new URL(next, upstream.url));
      tags.push(...((await response.json()) as { tags: string[] }).tags);
      next = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    }
    assert.deepEqual(tags, ['a', 'b', 'c', 'd', 'v1']);
    assert.equal(upstream.requests.count('GET', 'tags'), 3);
  });

  it('cuts the signatures out of a signed schema 1 manifest for its digest', () => {
    const image = signedSchema1Of('team/app', 'v1');
    const { signatures } = JSON.parse(image.bytes.toString());
    const { formatLength, formatTail } = JSON.parse(Buffer.from(signatures[0].protected, 'base64url').toString());
    const payload = Buffer.concat([image.bytes.subarray(0, formatLength), Buffer.from(formatTail, 'base64url')]);
    assert.equal(sha256(payload), image.digest);
    assert.equal(JSON.parse(payload.toString()).tag, 'v1');
  });
});

describe('access', () => {
  it('asks for a token and takes it', async () => {
    const upstream = await upstreamWith({ auth: { scheme: 'bearer', username: 'u', password: 'p', realmWithQuery: true } });
    const url = `${upstream.url}/v2/team/app/tags/list`;
    const first = await fetch(url);
    assert.equal(first.status, 401);
    const challenge = first.headers.get('www-authenticate') ?? '';
    assert.match(
      challenge,
      /^Bearer realm="http.*\/token\?tenant=a=b&region=eu",service="upstream",scope="repository:team\/app:pull"$/,
    );
    const realm = new URL(/realm="([^"]+)"/.exec(challenge)?.[1] ?? '');
    realm.searchParams.set('scope', 'repository:team/app:pull');
    assert.equal((await fetch(realm)).status, 401);
    const headers = { authorization: `Basic ${Buffer.from('u:p').toString('base64')}` };
    const { token } = (await (await fetch(realm, { headers })).json()) as { token: string };
    assert.equal((await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status, 200);
    assert.equal(
      (await fetch(url.replace('team/app', 'team/other'), { headers: { authorization: `Bearer ${token}` } })).status,
      401,
    );
    assert.equal(upstream.requests.count('GET', 'token'), 2);
  });

  it('demands a client certificate over TLS', { skip: missing('openssl') }, async () => {
    const { ca, server, client } = testCertificates();
    const upstream = await upstreamWith({ tls: { ...server, clientCa: ca } });
    const status = (options: object) =>
      new Promise<number>((resolve, reject) => {
        const request = httpsGet(`${upstream.url}/v2/`, { ca, agent: false, ...options }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        request.on('error', reject);
      });
    assert.equal(await status({ ...client }), 200);
    await assert.rejects(status({}));
  });

  it('goes through a proxy with credentials', async () => {
    const upstream = await upstreamWith();
    const proxy = await startProxy({ username: 'u', password: 'p' });
    stops.push(() => proxy.stop());
    const through = (method: string, path: string, headers: Record<string, string>) =>
      new Promise<number>((resolve, reject) => {
        const request = httpRequest(proxy.url, { method, path, headers, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        request.on('connect', (response, socket) => {
          socket.destroy();
          resolve(response.statusCode ?? 0);
        });
        request.on('error', reject);
        request.end();
      });
    const credentials = { 'proxy-authorization': `Basic ${Buffer.from('u:p').toString('base64')}` };
    assert.equal(await through('GET', `${upstream.url}/v2/`, {}), 407);
    assert.equal(await through('GET', `${upstream.url}/v2/`, credentials), 200);
    assert.equal(await through('CONNECT', upstream.host, credentials), 200);
    assert.deepEqual([proxy.refused, proxy.forwarded, proxy.tunnels], [1, 1, 1]);
    assert.equal(upstream.requests.of('GET', 'ping')[0]?.headers['proxy-authorization'], undefined);
  });
});

describe('signatures', () => {
  it('serves lookaside and extension signatures', async () => {
    const upstream = await upstreamWith({ signatureExtension: true });
    const image = imageOf();
    const signature = atomicSigner('a').sign('registry.example/team/app:v1', image.digest);
    upstream.content.addLookasideSignature('team/app', image.digest, signature);
    const content = signature.toString('base64');
    upstream.content.addExtensionSignature('team/app', image.digest, {
      schemaVersion: 2,
      name: `${image.digest}@0`,
      type: 'atomic',
      content,
    });
    const path = `${upstream.url}/sigstore/team/app@${image.digest.replace(':', '=')}`;
    assert.deepEqual((await fetchRaw(`${path}/signature-1`)).body, signature);
    assert.equal((await fetchRaw(`${path}/signature-2`)).response.statusCode, 404);
    const ping = await fetch(`${upstream.url}/v2/`);
    assert.equal(ping.headers.get('x-registry-supports-signatures'), '1');
    const extension = (await (await fetch(`${upstream.url}/extensions/v2/team/app/signatures/${image.digest}`)).json()) as {
      signatures: unknown[];
    };
    assert.equal(extension.signatures.length, 1);
    assert.equal(upstream.requests.count('GET', 'signature'), 3);
  });

  it('makes signatures that gpg accepts', { skip: missing('gpg') }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atomic-'));
    stops.push(() => rm(folder, { recursive: true }));
    const signer = atomicSigner('for gpg');
    await writeFile(join(folder, 'key'), signer.publicKey);
    await writeFile(join(folder, 'signature'), signer.sign('registry.example/app:1', `sha256:${'ab'.repeat(32)}`));
    const gpg = (...args: string[]) => run('gpg', ['--homedir', folder, '--batch', '--no-autostart', ...args], { cwd: folder });
    await gpg('--import', 'key');
    const { stdout, stderr } = await gpg('--decrypt', 'signature');
    assert.match(stderr, /Good signature from "for gpg/);
    assert.ok(stderr.includes(signer.fingerprint));
    assert.equal(JSON.parse(stdout).critical.type, 'atomic container signature');
  });
});

describe('real clients', () => {
  const images = async () => {
    const upstream = await upstreamWith();
    const multi = multiPlatformOf(['linux/amd64', 'linux/arm/v7'], ({ architecture }) => ({
      layers: [layerOf({ arch: architecture })],
    }));
    upstream.put('team/app', multi, 'multi');
    upstream.put('team/app', indexOf({ entries: [{ content: multi }] }), 'nested');
    upstream.put('team/app', imageOf({ format: 'docker' }), 'docker');
    upstream.put('team/app', cosignSignatureOf(multi), companionTag(multi.digest, '.sig'));
    upstream.put('team/app', helmChartOf('chart', '1.0.0'), 'chart');
    upstream.put('team/app', schema1Of('team/app', 'old'), 'old');
    return upstream;
  };

  it('passes crane validate', { skip: missing('crane') }, async () => {
    const upstream = await images();
    for (const tag of ['v1', 'multi', 'docker'])
      await run('crane', ['validate', '--insecure', '--remote', `${upstream.host}/team/app:${tag}`]);
    const { stdout } = await run('crane', ['ls', '--insecure', `${upstream.host}/team/app`]);
    assert.equal(stdout.trim().split('\n').length, 7);
  });

  it('is copied by skopeo', { skip: missing('skopeo') }, async () => {
    const upstream = await images();
    const folder = await mkdtemp(join(tmpdir(), 'copied-'));
    stops.push(() => rm(folder, { recursive: true }));
    for (const tag of ['multi', 'docker', 'chart']) {
      const source = `docker://${upstream.host}/team/app:${tag}`;
      await run('skopeo', ['copy', '--all', '--src-tls-verify=false', source, `oci:${folder}:${tag}`]);
    }
    assert.equal(Object.keys(upstream.requests.repeatedBlobs()).length, 0);
  });
});
