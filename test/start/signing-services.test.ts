import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startApp, type TestApp } from '../support/app.ts';
import { runDeckle } from '../support/deckle-process.ts';
import { missing } from '../support/missing.ts';
import { pulpCli } from '../support/pulp-cli.ts';
import { SIGN_DETACHED, SIGN_MANIFEST, type SigningKey, signingKey } from '../support/signing-key.ts';

const SERVICES = '/pulp/api/v3/signing-services/';
const REPOSITORIES = '/pulp/api/v3/repositories/container/container/';
const MANIFESTS = ['--class', 'container:ManifestSigningService'] as const;

describe('signing services', { skip: missing('gpg') }, () => {
  let app: TestApp;
  let key: SigningKey;
  let other: SigningKey;
  before(async () => {
    [app, key, other] = await Promise.all([startApp(), signingKey(), signingKey()]);
  });
  after(async () => {
    await app?.stop();
    await key?.remove();
    await other?.remove();
  });

  async function deckle(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
    const { DATABASE_URL = '', DATA_DIR } = app.services.config;
    const run = runDeckle(['signing-service', ...args], { DATABASE_URL, DATA_DIR, LOG_LEVEL: 'warn' });
    return { code: await run.exit, output: run.output() };
  }

  const add = (name: string, script: string, ...more: readonly string[]) =>
    deckle(
      'add',
      name,
      script,
      '--key',
      key.fingerprint,
      ...(more.includes('--public-key') ? [] : ['--home', key.home]),
      ...more,
    );

  async function added(name: string, script: string, ...more: readonly string[]): Promise<string> {
    const { code, output } = await add(name, script, ...more);
    assert.deepEqual([code, output], [0, `The signing service ${name} signs with the key ${key.fingerprint}.\n`]);
    const { body } = await app.request('GET', `${SERVICES}?name=${name}`);
    return body.results[0].pulp_href;
  }

  test('one is added, shown and removed', async () => {
    const script = await key.script('detached.sh', SIGN_DETACHED);
    const href = await added('detached', script);
    const { status, body } = await app.request('GET', href);
    assert.equal(status, 200);
    const { pulp_href, prn, pulp_created, pulp_last_updated, ...rest } = body;
    assert.equal(pulp_href, href);
    assert.equal(prn, `prn:core.signingservice:${href.split('/').at(-2)}`);
    assert.ok(Date.parse(pulp_created) <= Date.parse(pulp_last_updated));
    assert.deepEqual(rest, { name: 'detached', public_key: key.publicKey, pubkey_fingerprint: key.fingerprint, script });
    assert.deepEqual(await deckle('list'), { code: 0, output: 'detached\n' });
    const again = await add('detached', script);
    assert.deepEqual([again.code, again.output.split('\n')[0]], [1, 'deckle: there is a signing service "detached" already']);
    assert.deepEqual(await deckle('remove', 'detached'), { code: 0, output: 'The signing service detached is removed.\n' });
    assert.equal((await app.request('GET', href)).status, 404);
    assert.equal((await deckle('remove', 'detached')).output.split('\n')[0], 'deckle: there is no signing service "detached"');
  });

  test('the public key may be a file, also where gpg knows no key', async () => {
    const file = join(key.home, 'public.asc');
    await writeFile(file, key.publicKey);
    await added('by file', await key.script('by-file.sh', SIGN_DETACHED), '--public-key', file);
    await deckle('remove', 'by file');
  });

  test('a repository of images takes one that signs manifests, and loses it with the service', async () => {
    const manifests = await added('manifests', await key.script('a=b manifests.sh', SIGN_MANIFEST), ...MANIFESTS);
    const detached = await added('files', await key.script('files.sh', SIGN_DETACHED));
    const make = (service: unknown) =>
      app.request('POST', REPOSITORIES, { name: `signed ${String(service)}`, manifest_signing_service: service });
    const wrong = { manifest_signing_service: ['Invalid hyperlink - Object does not exist.'] };
    for (const service of [detached, `${SERVICES}01a1fdcb-0000-7a1e-a831-a2ff5c41839f/`]) {
      const { status, body } = await make(service);
      assert.deepEqual([status, body], [400, wrong]);
    }
    const { status, body } = await make(manifests);
    assert.deepEqual([status, body.manifest_signing_service], [201, manifests]);
    const byPrn = await make(`prn:core.signingservice:${manifests.split('/').at(-2)}`);
    assert.deepEqual([byPrn.status, byPrn.body.manifest_signing_service], [201, manifests]);

    const unchanged = await app.request('PATCH', body.pulp_href, { manifest_signing_service: manifests });
    assert.equal(unchanged.status, 200);
    const cleared = await app.finished(await app.request('PATCH', body.pulp_href, { manifest_signing_service: null }));
    assert.deepEqual([cleared.state, cleared.result.manifest_signing_service], ['completed', null]);

    assert.equal((await deckle('remove', 'manifests')).code, 0);
    assert.equal((await app.request('GET', byPrn.body.pulp_href)).body.manifest_signing_service, null);
    await deckle('remove', 'files');
  });

  for (const [what, body, expected] of [
    ['that fails', 'echo no key today >&2; exit 3', /failed: no key today/],
    ['that prints no JSON', 'echo signed', /has to print JSON with the path of the signature as "signature"/],
    ['that names no signature', 'echo {}', /has to print JSON with the path of the signature as "signature"/],
    ['that makes none', 'echo "{\\"signature\\": \\"nowhere\\"}"', /nowhere/],
    ['that signs other bytes', `echo x > "$1.x"; set -- "$1.x"; ${SIGN_DETACHED}`, /BAD signature/],
    ['that makes a message', 'sign --sign --output s "$1"; echo "{\\"signature\\": \\"s\\"}"', /not a detached signature/],
  ] as const) {
    test(`a script ${what} is not added`, async () => {
      const { code, output } = await add('bad', await key.script('bad.sh', body));
      assert.equal(code, 1);
      assert.match(output, expected);
      assert.match(output, /^deckle: /);
      assert.doesNotMatch(output, /\n {4}at /, 'a stack is not for the operator');
      assert.equal((await app.request('GET', `${SERVICES}?name=bad`)).body.count, 0);
    });
  }

  test("a script that signs with another one's key is not added", async () => {
    const script = await other.script('other.sh', SIGN_DETACHED.replace('sign ', `sign --local-user ${other.fingerprint} `));
    const changed = await other.script('plain.sh', `PULP_SIGNING_KEY_FINGERPRINT=${other.fingerprint}\n${SIGN_DETACHED}`);
    for (const path of [script, changed]) {
      const { code, output } = await add('bad', path);
      assert.equal(code, 1, output);
    }
    assert.equal((await app.request('GET', `${SERVICES}?name=bad`)).body.count, 0);
  });

  for (const [what, args, expected] of [
    ['no key', ['add', 'x', '/bin/true'], /^deckle: usage: deckle signing-service add NAME SCRIPT --key FINGERPRINT/],
    ['another action', ['change', 'x'], /^deckle: usage: /],
    [
      'a class that is none',
      ['add', 'x', '/bin/true', '--key', 'x', '--class', 'x'],
      /^deckle: --class: there are core:AsciiArmored/,
    ],
    ['no script', ['add', 'x', '/nowhere/sign.sh', '--key', 'x'], /^deckle: the script \/nowhere\/sign\.sh cannot be run: /],
    ['a folder for a script', ['add', 'x', '/tmp', '--key', 'x'], /^deckle: the script \/tmp cannot be run: it is no file/],
    [
      'no such public key',
      ['add', 'x', '/bin/true', '--key', 'x', '--public-key', '/nowhere'],
      /public key \/nowhere cannot be read/,
    ],
  ] as const) {
    test(`${what}: the operator is told`, async () => {
      const { code, output } = await deckle(...args);
      assert.equal(code, 1);
      assert.match(output, expected);
    });
  }

  test('a key that gpg does not have is named', async () => {
    const script = await key.script('unknown.sh', SIGN_DETACHED);
    const { code, output } = await deckle('add', 'x', script, '--home', key.home, '--key', 'F'.repeat(40));
    assert.equal(code, 1);
    assert.match(output, /No public key/);
  });

  test('without gpg it is gpg that is asked for', async () => {
    const { DATABASE_URL = '', DATA_DIR } = app.services.config;
    const script = await key.script('lacking.sh', SIGN_DETACHED);
    // No program is in there.
    const PATH = key.home;
    const run = runDeckle(['signing-service', 'add', 'x', script, '--key', key.fingerprint], { DATABASE_URL, DATA_DIR, PATH });
    assert.equal(await run.exit, 1);
    assert.match(run.output(), /^deckle: gpg is not on the PATH: install GnuPG/);
  });

  test('the pulp command line lists and shows them', { skip: missing('pulp') }, async () => {
    const href = await added('by cli', await key.script('cli.sh', SIGN_DETACHED));
    const cli = await pulpCli(app.url);
    try {
      const { body } = await app.request('GET', href);
      assert.deepEqual(await cli.pulp('signing-service', 'show', '--name', 'by cli'), body);
      assert.deepEqual(await cli.pulp('signing-service', 'show', '--href', href), body);
      assert.deepEqual(await cli.pulp('signing-service', 'list', '--name', 'by cli'), [body]);
    } finally {
      await cli.remove();
    }
  });

  test('they are read, and nothing else, through the API', async () => {
    const href = await added('read only', await key.script('read.sh', SIGN_DETACHED));
    for (const [method, path] of [
      ['POST', SERVICES],
      ['DELETE', href],
      ['PATCH', href],
    ] as const) {
      const { status, body } = await app.request(method, path, {});
      assert.deepEqual([status, body], [405, { detail: `Method "${method}" not allowed.` }]);
    }
    const { body } = await app.request('GET', `${SERVICES}?name__contains=x`);
    assert.deepEqual(body, { errors: ["Invalid Filter: 'name__contains'"] });
    const unknown = await app.request('GET', `${SERVICES}01a1fdcb-0000-7a1e-a831-a2ff5c41839f/`);
    assert.deepEqual(unknown.body, { detail: 'No SigningService matches the given query.' });
  });
});
