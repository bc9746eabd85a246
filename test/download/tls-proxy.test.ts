import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { blobOf } from '../../src/demo/layer.ts';
import type { RemoteSettings } from '../../src/download/remote-settings.ts';
import { missing } from '../support/missing.ts';
import { type KeyPair, type TestCertificates, testCertificates } from '../support/upstream-certificates.ts';
import { startProxy } from '../support/upstream-proxy.ts';
import { startUpstream } from '../support/upstream-registry.ts';
import { bytesOf, openFor, targetAt, targetInMemory, temporaryFolder } from './rig.ts';

const { body, digest } = bytesOf('blob', 1_000_000);

async function rig(t: TestContext, tls?: KeyPair & { clientCa?: string }) {
  const registry = await startUpstream(tls === undefined ? {} : { tls });
  t.after(() => registry.stop());
  registry.content.putBlob('x', blobOf(body));
  const file = join(await temporaryFolder(t), 'file');
  const blob = { url: `${registry.url}/v2/x/blobs/${digest}`, digest, size: body.length };
  return { registry, file, blob, ping: { method: 'GET', url: `${registry.url}/v2/`, maxBytes: 1000 } as const };
}

describe('TLS', { skip: missing('openssl') }, () => {
  const cases: Record<
    string,
    (made: TestCertificates) => { server?: KeyPair; settings: Partial<RemoteSettings>; refused?: RegExp }
  > = {
    'the right authority': ({ ca }) => ({ settings: { ca_cert: ca } }),
    'no authority': () => ({ settings: {}, refused: /unable to verify the first certificate/ }),
    'another authority': ({ otherCa }) => ({ settings: { ca_cert: otherCa }, refused: /unable to verify the first certificate/ }),
    'tls_validation off': () => ({ settings: { tls_validation: false } }),
    expired: ({ ca, expired }) => ({ server: expired, settings: { ca_cert: ca }, refused: /certificate has expired/ }),
    'another host': ({ ca, wrongHost }) => ({
      server: wrongHost,
      settings: { ca_cert: ca },
      refused: /does not match certificate/,
    }),
  };
  for (const [name, make] of Object.entries(cases)) {
    test(`${name}: the same for small answers, files and streams`, async (t) => {
      const made = testCertificates();
      const { server = made.server, settings, refused } = make(made);
      const { registry, file, blob, ping } = await rig(t, server);
      const upstream = openFor(t, registry.url, settings);
      const tries = [
        () => upstream.request(ping),
        () => upstream.download({ ...blob, file: targetAt(file) }),
        async () => (await upstream.stream(blob)).body.destroy(),
      ];
      for (const run of tries) {
        if (!refused) await run();
        else
          await assert.rejects(run(), {
            kind: 'tls',
            message: new RegExp(`^Cannot connect to host 127.* \\[.*${refused.source}`),
          });
      }
      if (!refused) assert.deepEqual(await readFile(file), body);
    });
  }

  test('a client certificate, where one is demanded', async (t) => {
    const { ca, server, client } = testCertificates();
    const { registry, file, blob, ping } = await rig(t, { ...server, clientCa: ca });
    const anonymous = openFor(t, registry.url, { ca_cert: ca });
    await assert.rejects(anonymous.request(ping), { name: 'UpstreamError' });
    await assert.rejects(anonymous.download({ ...blob, file: targetAt(file) }), { name: 'UpstreamError' });
    const upstream = openFor(t, registry.url, { ca_cert: ca, client_cert: client.cert, client_key: client.key });
    await upstream.request(ping);
    await upstream.download({ ...blob, file: targetAt(file) });
    assert.deepEqual(await readFile(file), body);
  });

  test('no step from https to http', async (t) => {
    const { ca, server } = testCertificates();
    const plain = await startUpstream();
    t.after(() => plain.stop());
    const { registry, file, blob, ping } = await rig(t, server);
    registry.fault({ fault: { redirect: ({ url }) => `${plain.url}${url}` } });
    const upstream = openFor(t, registry.url, { ca_cert: ca });
    for (const run of [() => upstream.request(ping), () => upstream.download({ ...blob, file: targetAt(file) })]) {
      await assert.rejects(run(), { kind: 'redirect', message: /from https to http/ });
    }
    assert.equal(plain.requests.total, 0);
  });

  test('through a proxy, by a tunnel', async (t) => {
    const { ca, server } = testCertificates();
    const { registry, blob, ping } = await rig(t, server);
    const proxy = await startProxy();
    t.after(() => proxy.stop());
    const upstream = openFor(t, registry.url, { ca_cert: ca, proxy_url: proxy.url });
    await upstream.request(ping);
    const file = targetInMemory();
    await upstream.download({ ...blob, file });
    assert.deepEqual(file.bytes(), body);
    assert.ok(proxy.tunnels > 0);
  });
});

describe('a proxy without TLS', () => {
  test('is given the credentials; small answers, files and streams go through it', async (t) => {
    const { registry, blob, ping } = await rig(t);
    const proxy = await startProxy({ username: 'me', password: 'a:b' });
    t.after(() => proxy.stop());
    const through = { proxy_url: proxy.url, proxy_username: 'me', proxy_password: 'a:b' };
    const upstream = openFor(t, registry.url, through);
    await upstream.request(ping);
    await upstream.request({ ...ping, method: 'HEAD' });
    const file = targetInMemory();
    await upstream.download({ ...blob, file });
    assert.deepEqual(file.bytes(), body);
    for await (const _ of (await upstream.stream(blob)).body);
    assert.equal(proxy.refused, 0);
    assert.equal(proxy.targets.length, 4);
    await assert.rejects(openFor(t, registry.url, { ...through, proxy_password: 'wrong' }).request(ping), {
      kind: 'protocol',
      message: /^The proxy refuses the way to 127.* \(407\)/,
    });
  });

  test('an address that is written out is checked all the same', async (t) => {
    const proxy = await startProxy();
    t.after(() => proxy.stop());
    const upstream = openFor(t, 'http://169.254.169.254', { proxy_url: proxy.url });
    await assert.rejects(upstream.request({ method: 'GET', url: 'http://169.254.169.254/', maxBytes: 10 }), {
      kind: 'forbidden-address',
    });
    assert.deepEqual(proxy.targets, []);
  });
});
