import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Digest, digestOf } from '../../../src/lib/digest.ts';
import { parseSignature } from '../../../src/plugins/container/oci/signature.ts';
import { atomicSigner } from '../../support/atomic-signature.ts';
import { missing } from '../../support/missing.ts';

const DIGEST = `sha256:${'4e'.repeat(32)}` as Digest;

const payloadOf = (given: { type?: string; digest?: string; optional?: unknown } = {}): string =>
  JSON.stringify({
    critical: {
      identity: { 'docker-reference': 'registry.example/app:1' },
      image: { 'docker-manifest-digest': given.digest ?? DIGEST },
      type: given.type ?? 'atomic container signature',
    },
    optional: 'optional' in given ? given.optional : { creator: 'test 1.0', timestamp: 1_700_000_000 },
  });

/** A GnuPG home of the test's own, with one key. */
function gpgHome(t: TestContext): { run: (args: readonly string[], input?: string) => Buffer; fingerprint: string } {
  const home = mkdtempSync(join(tmpdir(), 'gpg-'));
  const run = (args: readonly string[], input = ''): Buffer =>
    execFileSync(
      'gpg',
      ['--homedir', home, '--batch', '--quiet', '--yes', '--pinentry-mode', 'loopback', '--passphrase', '', ...args],
      {
        input,
        stdio: ['pipe', 'pipe', 'ignore'],
      },
    );
  t.after(() => {
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true });
  });
  run(['--quick-generate-key', 'signer@example.org', 'rsa2048', 'sign', '0']);
  const listing = run(['--list-keys', '--with-colons']).toString();
  return { run, fingerprint: /^fpr:+([0-9A-F]{40}):/m.exec(listing)?.[1] ?? '' };
}

describe('an atomic signature', () => {
  test('made by gpg, compressed in each way', { skip: missing('gpg', 'gpgconf') }, (t) => {
    const { run, fingerprint } = gpgHome(t);
    for (const compression of [['--compress-algo', 'none'], ['--compress-algo', 'zip'], ['--compress-algo', 'zlib'], []]) {
      const before = Math.floor(Date.now() / 1000);
      const body = run([...compression, '--sign'], payloadOf());
      const { timestamp, ...signature } = parseSignature(body, DIGEST);
      assert.deepEqual(signature, {
        name: `${DIGEST}@${digestOf(body).slice(7, 39)}`,
        digest: digestOf(body),
        type: 'atomic',
        key_id: fingerprint.slice(-16),
        fingerprint,
        creator: 'test 1.0',
        signed_digest: DIGEST,
        docker_reference: 'registry.example/app:1',
        data: body.toString('base64'),
      });
      assert.ok(timestamp >= before && timestamp <= Date.now() / 1000);
    }
  });

  test('made by gpg some time ago', () => {
    const fixture = JSON.parse(readFileSync(new URL('./gpg-signature.json', import.meta.url), 'utf8')) as Record<string, string>;
    const body = Buffer.from(String(fixture.signature), 'base64');
    const signature = parseSignature(body, String(fixture.manifest) as Digest);
    assert.deepEqual(
      [signature.key_id, signature.fingerprint, signature.timestamp, signature.creator],
      [fixture.fingerprint?.slice(-16), fixture.fingerprint, Number(fixture.timestamp), fixture.creator],
    );
  });

  test('by a key of Ed25519', () => {
    const signer = atomicSigner('seed');
    const signature = parseSignature(signer.sign('registry.example/app', DIGEST), DIGEST);
    assert.deepEqual(
      [signature.key_id, signature.fingerprint, signature.timestamp, signature.creator],
      [signer.keyId, signer.fingerprint, 1_704_067_200, 'test'],
    );
  });

  test('need not say who made it', () => {
    const signer = atomicSigner('seed');
    for (const optional of [undefined, null, {}]) {
      assert.equal(parseSignature(signer.signPayload(payloadOf({ optional })), DIGEST).creator, null);
    }
  });
});

describe('what is refused, by name', () => {
  const signer = atomicSigner('seed');
  const good = signer.signPayload(payloadOf());
  const cases: Record<string, { body: Buffer; message: RegExp }> = {
    'no bytes': { body: Buffer.alloc(0), message: /it holds no text/ },
    text: { body: Buffer.from('not a signature'), message: /no packet begins/ },
    armor: { body: Buffer.from('-----BEGIN PGP MESSAGE-----\n\nabc'), message: /armored/ },
    'a sigstore format': { body: Buffer.from('\0sigstore-json\n{}'), message: /sigstore format/ },
    'another manifest': {
      body: signer.signPayload(payloadOf({ digest: `sha256:${'0'.repeat(64)}` })),
      message: /is of sha256:0+/,
    },
    'another purpose': {
      body: signer.signPayload(payloadOf({ type: 'cosign container image signature' })),
      message: /critical\.type/,
    },
    'no JSON': { body: signer.signPayload('hello'), message: /is not JSON/ },
    unsigned: { body: Buffer.concat([Buffer.from([0xcb, 7]), Buffer.from('b\0\0\0\0\0{')]), message: /is not JSON|not signed/ },
    'a compression bomb in name only': { body: Buffer.from([0xc8, 2, 3, 0]), message: /unsupported way \(3\)/ },
  };
  for (const [name, { body, message }] of Object.entries(cases)) {
    test(name, () => assert.throws(() => parseSignature(body, DIGEST), { name: 'RegistryError', kind: 'signature', message }));
  }

  test('a signature that ends too early, at each byte', () => {
    for (let length = 0; length < good.length; length += 1) {
      assert.throws(() => parseSignature(good.subarray(0, length), DIGEST), { name: 'RegistryError' }, `after ${length} bytes`);
    }
  });
});
