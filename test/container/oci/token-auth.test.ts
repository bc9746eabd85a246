import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { imageOf } from '../../../src/demo/image.ts';
import type { RemoteSettings } from '../../../src/download/remote-settings.ts';
import type { Digest } from '../../../src/lib/digest.ts';
import { openRegistry, type Registry } from '../../../src/plugins/container/oci/registry-client.ts';
import { openFor, serve, targetAt, targetInMemory, temporaryFolder } from '../../download/rig.ts';
import { missing } from '../../support/missing.ts';
import { type AuthOptions, revokeTokens } from '../../support/upstream-auth.ts';
import { testCertificates } from '../../support/upstream-certificates.ts';
import { startUpstream, type UpstreamOptions } from '../../support/upstream-registry.ts';

const image = imageOf();
const ME = { username: 'me', password: 'se:cret' };

async function rig(
  t: TestContext,
  auth: AuthOptions,
  given: Partial<RemoteSettings> = ME,
  { tokenRealms = [], ...behaviour }: UpstreamOptions & { tokenRealms?: string[] } = {},
) {
  const upstream = await startUpstream({ auth, ...behaviour });
  t.after(() => upstream.stop());
  upstream.put('team/app', image, 'latest');
  const registry = openRegistry(openFor(t, upstream.url, given), {
    url: upstream.url,
    upstreamName: 'team/app',
    sigstore: null,
    tokenRealms,
  });
  return { upstream, registry };
}

/** One of each request. */
async function useAll(registry: Registry): Promise<void> {
  for await (const tag of registry.tags()) await registry.head(tag);
  const { layers } = await registry.manifest('latest');
  const [layer] = layers;
  assert.ok(layer);
  await registry.blob(layer);
  await registry.downloadBlob(layer, targetInMemory(), ['sha256']);
  for await (const _ of (await registry.streamBlob(layer)).body);
}

describe('challenges are answered (spec: sync, retries and auth)', () => {
  const cases: Record<string, { auth: AuthOptions; given?: Partial<RemoteSettings>; tokens: number }> = {
    'a token for everybody': { auth: { scheme: 'bearer' }, given: {}, tokens: 1 },
    'a token for a user': { auth: { scheme: 'bearer', ...ME }, tokens: 1 },
    'a realm with a query': { auth: { scheme: 'bearer', realmWithQuery: true }, given: {}, tokens: 1 },
    'no scope in the challenge': { auth: { scheme: 'bearer', withoutScope: true }, given: {}, tokens: 1 },
    'token alone': { auth: { scheme: 'bearer', tokenField: 'token' }, given: {}, tokens: 1 },
    'access_token alone': { auth: { scheme: 'bearer', tokenField: 'access_token' }, given: {}, tokens: 1 },
    Basic: { auth: { scheme: 'basic', ...ME }, tokens: 0 },
  };
  for (const [name, { auth, given, tokens }] of Object.entries(cases)) {
    test(name, async (t) => {
      const { upstream, registry } = await rig(t, auth, given);
      await useAll(registry);
      assert.equal(upstream.requests.count('GET', 'token'), tokens);
      // Nothing is sent in advance, and after one refusal everything is.
      const [first, ...others] = upstream.requests.log.filter(({ kind }) => kind !== 'token');
      assert.deepEqual([first?.status, first?.headers.authorization], [401, undefined]);
      assert.ok(others.every(({ status }) => status === 200));
    });
  }

  test('a token is asked for once, however many wait for it', async (t) => {
    const { upstream, registry } = await rig(t, { scheme: 'bearer' }, {});
    await Promise.all(Array.from({ length: 30 }, () => registry.manifest('latest')));
    assert.equal(upstream.requests.count('GET', 'token'), 1);
  });

  test('a token that was revoked, or has expired, is replaced', async (t) => {
    const { upstream, registry } = await rig(t, { scheme: 'bearer', expiresIn: 300 }, {});
    await registry.manifest('latest');
    revokeTokens();
    await Promise.all(Array.from({ length: 5 }, () => registry.manifest('latest')));
    assert.equal(upstream.requests.count('GET', 'token'), 2);
    const short = await rig(t, { scheme: 'bearer', expiresIn: 1 }, {});
    await short.registry.manifest('latest');
    await short.registry.manifest('latest');
    assert.equal(short.upstream.requests.count('GET', 'token'), 2);
  });

  test('through a thread, a 401 is answered as well', async (t) => {
    const { registry } = await rig(t, { scheme: 'bearer' }, {});
    const { digest, size } = image.blobs[1] ?? { digest: '', size: 0 };
    const done = await registry.downloadBlob(
      { digest: digest as Digest, size },
      targetAt(join(await temporaryFolder(t), 'file')),
      ['sha256'],
    );
    assert.equal(done.size, size);
  });
});

describe('challenges that cannot be answered', () => {
  const cases: Record<string, { auth: AuthOptions; given?: Partial<RemoteSettings> }> = {
    'no credentials for Basic': { auth: { scheme: 'basic', ...ME }, given: {} },
    'wrong credentials for Basic': { auth: { scheme: 'basic', ...ME, password: 'x' } },
    'no credentials for a token': { auth: { scheme: 'bearer', ...ME }, given: {} },
    'wrong credentials for a token': { auth: { scheme: 'bearer', ...ME, password: 'x' } },
  };
  for (const [name, { auth, given }] of Object.entries(cases)) {
    test(`${name}: the text of Pulp`, async (t) => {
      const { upstream, registry } = await rig(t, auth, given);
      await assert.rejects(registry.tags().next(), {
        status: 401,
        message: `401, message='Unauthorized', url='${upstream.url}/v2/team/app/tags/list'`,
      });
    });
  }

  const answers: Record<string, { answer: string; message: RegExp }> = {
    'no token': { answer: '{"expires_in":1}', message: /answered without a token/ },
    'no JSON': { answer: '<html>', message: /looks like a web page/ },
    'a token that breaks the header': { answer: '{"token":"a\\r\\nx: y"}', message: /a token that cannot be a header/ },
  };
  for (const [name, { answer, message }] of Object.entries(answers)) {
    test(`the token server gives ${name}`, async (t) => {
      const realm = await serve(t, (_request, response) => response.end(answer));
      const { registry } = await rig(t, { scheme: 'bearer', realm }, {});
      await assert.rejects(registry.tags().next(), { name: 'RegistryError', kind: 'token', message });
    });
  }
});

describe('where credentials go (spec: security, rule 8)', () => {
  test('not to a realm on another host that is named without TLS, unless it is listed', async (t) => {
    const asked: (string | undefined)[] = [];
    const realm = await serve(
      t,
      (request, response) => {
        asked.push(request.headers.authorization);
        response.end('{"token":"x"}');
      },
      '127.0.0.2',
    );
    const { registry } = await rig(t, { scheme: 'bearer', realm });
    await assert.rejects(registry.tags().next(), {
      kind: 'realm',
      message: /named by http:\/\/127\.0\.0\.1.* without TLS, is refused: list 127\.0\.0\.2:\d+ in DECKLE_TOKEN_REALMS/,
    });
    assert.deepEqual(asked, []);
    const listed = await rig(t, { scheme: 'bearer', realm }, ME, { tokenRealms: ['127.0.0.2'] });
    await assert.rejects(listed.registry.tags().next(), { status: 401 });
    assert.equal(asked.length, 1);
  });

  test('not to a realm over http that is named over https', { skip: missing('openssl') }, async (t) => {
    const asked: string[] = [];
    const realm = await serve(t, (request, response) => {
      asked.push(request.url ?? '');
      response.end('{"token":"x"}');
    });
    const { ca, server } = testCertificates();
    const { registry } = await rig(
      t,
      { scheme: 'bearer', realm },
      { ...ME, ca_cert: ca },
      { tls: server, tokenRealms: ['127.0.0.1'] },
    );
    await assert.rejects(registry.tags().next(), { kind: 'realm', message: /is refused: it is not https/ });
    assert.deepEqual(asked, []);
  });

  test('not for a challenge by a server that the upstream redirects to', async (t) => {
    const asked: string[] = [];
    const thief = await serve(t, (request, response) => {
      asked.push(`${request.url} ${request.headers.authorization}`);
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://127.0.0.1/token", Basic realm="x"` }).end();
    });
    const { upstream, registry } = await rig(t, { scheme: 'basic', ...ME });
    upstream.fault({ kind: 'tags', fault: { redirect: ({ url }) => `${thief}${url}` } });
    await assert.rejects(registry.tags().next(), { status: 401 });
    assert.deepEqual(asked, ['/v2/team/app/tags/list undefined']);
  });

  test('to a realm at a refused address neither', async (t) => {
    const realm = 'http://169.254.169.254/token';
    const { registry } = await rig(t, { scheme: 'bearer', realm }, ME, { tokenRealms: ['169.254.169.254'] });
    await assert.rejects(registry.tags().next(), { kind: 'forbidden-address' });
  });
});
