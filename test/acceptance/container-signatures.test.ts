import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { missing } from '../support/missing.ts';
import { type SigningKey, signingKey } from '../support/signing-key.ts';
import { type Body, openServer, type Server, unique } from './server.ts';

const run = promisify(execFile);
const REPOSITORIES = '/pulp/api/v3/repositories/container/container/';
const EMPTY_CONFIG = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';

/** Signatures of images, as clients push them and as the REST API tells of them. */
describe('signatures', { skip: missing('gpg', 'skopeo') }, () => {
  let server: Server;
  let key: SigningKey;
  let folder: string;
  let token: string;
  const name = unique('signed');
  before(async () => {
    [server, key] = await Promise.all([openServer(), signingKey('primary')]);
    folder = await mkdtemp(join(tmpdir(), 'deckle-signed-'));
    // An image without layers, in skopeo's own form.
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: EMPTY_CONFIG, size: 2 },
      layers: [],
      annotations: { name },
    };
    await writeFile(join(folder, 'version'), 'Directory Transport Version: 1.1\n');
    await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
    await writeFile(join(folder, EMPTY_CONFIG.slice('sha256:'.length)), '{}');
    await copy('v1');
    const { host } = new URL(server.url);
    const challenge = (await fetch(`${server.url}/v2/`)).headers.get('www-authenticate') ?? '';
    const service = /service="([^"]+)"/.exec(challenge)?.[1] ?? host;
    const query = new URLSearchParams({ service, scope: `repository:${name}:pull,push` });
    const { body } = await server.request('GET', `/token/?${query}`);
    token = body.token;
  });
  after(async () => {
    await server?.stop();
    await key?.remove();
    await rm(folder, { recursive: true, force: true });
  });

  const copy = (tag: string, ...options: readonly string[]) =>
    run(
      'skopeo',
      [
        '--insecure-policy',
        'copy',
        '--dest-tls-verify=false',
        '--dest-creds=admin:password',
        ...options,
        `dir:${folder}`,
        `docker://${new URL(server.url).host}/${name}:${tag}`,
      ],
      { env: { ...process.env, GNUPGHOME: key.home } },
    );

  const repository = async (): Promise<Body> => {
    const { body } = await server.request('GET', `${REPOSITORIES}?name=${name}`);
    return body.results[0];
  };
  const version = async (): Promise<Body> => (await server.request('GET', (await repository()).latest_version_href)).body;
  const manifest = async (): Promise<Body> => {
    const { pulp_href } = await version();
    const { body } = await server.request('GET', `/pulp/api/v3/content/container/manifests/?repository_version=${pulp_href}`);
    return body.results[0];
  };
  const extension = async (method: string, digest: string, body?: unknown) => {
    const response = await fetch(`${server.url}/extensions/v2/${name}/signatures/${digest}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? '' : (JSON.parse(text) as Body) };
  };

  it('are pushed by skopeo, each in a version of its own', async () => {
    const before = (await version()).number;
    const { digest, pulp_href } = await manifest();
    assert.deepEqual((await extension('GET', digest)).body, { signatures: [] });
    await copy('v1', '--sign-by', key.fingerprint);
    const now = await version();
    assert.equal(now.number, before + 1);
    assert.deepEqual(Object.keys(now.content_summary.added), ['container.signature']);
    const { body } = await server.request(
      'GET',
      `/pulp/api/v3/content/container/signatures/?repository_version=${now.pulp_href}`,
    );
    assert.equal(body.count, 1);
    const [signature] = body.results;
    assert.match(signature.name, new RegExp(`^${digest}@[0-9a-f]{32}$`));
    assert.match(signature.digest, /^sha256:[0-9a-f]{64}$/);
    assert.equal(signature.type, 'atomic');
    assert.equal(signature.fingerprint, key.fingerprint);
    assert.equal(signature.key_id, key.fingerprint.slice(-16));
    assert.match(signature.creator, /^atomic /);
    assert.ok(Math.abs(Date.now() / 1000 - signature.timestamp) < 600);
    assert.equal(signature.signed_manifest, pulp_href);
    const listed = (await extension('GET', digest)).body.signatures;
    assert.deepEqual(
      listed.map((one: Body) => ({ ...one, content: undefined })),
      [{ schemaVersion: 2, type: 'atomic', name: signature.name, content: undefined }],
    );
  });

  it('can be sent again, which changes nothing', async () => {
    const { digest } = await manifest();
    const [signature] = (await extension('GET', digest)).body.signatures;
    const before = (await version()).number;
    const answer = await extension('PUT', digest, signature);
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('location'), `/extensions/v2/${name}/signatures/${digest}`);
    assert.equal((await version()).number, before);
  });

  it('are refused where they are none, or of nothing', async () => {
    const { digest } = await manifest();
    const [signature] = (await extension('GET', digest)).body.signatures;
    for (const body of ['{', { ...signature, content: 'anVuaw==' }]) {
      const { status, body: told } = await extension('PUT', digest, body);
      assert.equal(status, 400);
      assert.deepEqual(
        told.errors.map(({ code, detail }: Body) => ({ code, detail })),
        [{ code: 'SIGNATURE_INVALID', detail: { manifest_digest: digest } }],
      );
    }
    const unknown = await extension('PUT', EMPTY_CONFIG, signature);
    assert.deepEqual([unknown.status, unknown.body.errors[0].code], [404, 'MANIFEST_UNKNOWN']);
  });

  it('by the server take a service', async () => {
    const { pulp_href } = await repository();
    const { status, body } = await server.request('POST', `${pulp_href}sign/`, {});
    assert.deepEqual(
      [status, body],
      [400, { manifest_signing_service: ['This field is required since a signing_service is not set on the repo.'] }],
    );
    const other = await server.request('POST', `${pulp_href}sign/`, {
      manifest_signing_service: '/pulp/api/v3/signing-services/01a1fdcb-0000-7a1e-a831-a2ff5c41839f/',
    });
    assert.deepEqual(
      [other.status, other.body],
      [400, { manifest_signing_service: ['Invalid hyperlink - Object does not exist.'] }],
    );
  });

  it('and builds take one Containerfile', async () => {
    const { pulp_href } = await repository();
    const build = async (fields: Readonly<Record<string, string>>) => {
      const form = new FormData();
      for (const [field, value] of Object.entries(fields)) form.append(field, value);
      const response = await fetch(`${server.url}${pulp_href}build_image/`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from('admin:password').toString('base64')}` },
        body: form,
      });
      return [response.status, await response.json()];
    };
    const exactly = {
      non_field_errors: ["Exactly one of 'containerfile' or 'containerfile_name' must be specified."],
    };
    assert.deepEqual(await build({ tag: 'v2' }), [400, exactly]);
    assert.deepEqual(await build({ containerfile_name: 'Containerfile' }), [
      400,
      { non_field_errors: ["A 'build_context' must be specified when 'containerfile_name' is present."] },
    ]);
    assert.deepEqual(await build({ containerfile: 'FROM scratch' }), [
      400,
      { containerfile: ['The submitted data was not a file. Check the encoding type on the form.'] },
    ]);
  });
});
