import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { atomicSigner } from '../support/atomic-signature.ts';
import { codeOf, digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const IMAGE = imageOf({ layers: [layerOf({ 'etc/motd': 'signed' })] });
const INDEX = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
  layers: [layerOf({ 'etc/motd': architecture })],
}));
const signer = atomicSigner('pushes');

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
});
after(() => world?.stop());

const pathOf = (name: string, digest: string): string => `/extensions/v2/${name}/signatures/${digest}`;
/** As clients write it: what is behind the digest in the name is random. */
const bodyOf = (digest: string, signature: Buffer) => ({
  schemaVersion: 2,
  type: 'atomic',
  name: `${digest}@0123456789abcdef0123456789abcdef`,
  content: signature.toString('base64'),
});
const put = (name: string, digest: string, body: unknown, as = user) =>
  as.ask('PUT', name, pathOf(name, digest), { body: typeof body === 'string' ? body : JSON.stringify(body) });
const sign = (name: string, digest: string, reference = `registry.example.org/${name}:latest`) =>
  put(name, digest, bodyOf(digest, signer.sign(reference, digest)));

async function listed(name: string, digest: string): Promise<{ name: string; content: string }[]> {
  const response = await user.ask('GET', name, pathOf(name, digest));
  assert.equal(response.status, 200);
  return ((await response.json()) as { signatures: { name: string; content: string }[] }).signatures;
}

describe('pushing a signature', () => {
  it('makes a version with it at once, and no other where it is there already', async () => {
    const name = 'signed/once';
    await user.image(name, 'latest', IMAGE);
    assert.deepEqual(await versionsOf(world.server, name), [0, 1]);
    const signature = signer.sign(`registry.example.org/${name}:latest`, IMAGE.digest);
    for (const _ of ['once', 'again']) {
      const response = await put(name, IMAGE.digest, bodyOf(IMAGE.digest, signature));
      assert.equal(response.status, 201, await response.text());
      assert.equal(response.headers.get('location'), pathOf(name, IMAGE.digest));
      assert.equal(response.headers.get('content-length'), '0');
      assert.deepEqual(await listed(name, IMAGE.digest), [
        {
          schemaVersion: 2,
          type: 'atomic',
          name: `${IMAGE.digest}@${digestOf(signature).slice('sha256:'.length, 'sha256:'.length + 32)}`,
          content: signature.toString('base64'),
        },
      ]);
      assert.deepEqual(await versionsOf(world.server, name), [0, 1, 2]);
    }
    const [row] = await world.services.db.query(sql`
      select key_id, fingerprint, timestamp::int, creator from container_signature where digest = ${digestOf(signature)}`);
    const facts = { key_id: signer.keyId, fingerprint: signer.fingerprint, timestamp: 1_704_067_200, creator: 'test' };
    assert.deepEqual(row, facts);
    const [entry] = await world.services.db.query<{ operation: string; object: string }>(sql`
      select operation, object from audit_entry where object = ${`${name}@${IMAGE.digest}`} order by id limit 1`);
    assert.deepEqual(entry, { operation: 'push', object: `${name}@${IMAGE.digest}` });
  });

  it('of a manifest that waits for its index waits with it', async () => {
    const name = 'signed/index';
    const [first] = INDEX.children;
    assert.ok(first);
    for (const child of INDEX.children) await user.image(name, child.digest, child);
    assert.equal((await sign(name, first.digest)).status, 201);
    assert.deepEqual(await versionsOf(world.server, name), [0]);
    assert.equal((await listed(name, first.digest)).length, 1);
    assert.equal((await user.manifest(name, 'latest', INDEX)).status, 201);
    assert.deepEqual(await versionsOf(world.server, name), [0, 1]);
    assert.equal((await listed(name, first.digest)).length, 1);
    const waiting = await world.services.db.query(sql`
      select from container_pending_content p join repository r on r.id = p.repository_id where r.name = ${name}`);
    assert.equal(waiting.length, 0);
    assert.equal((await sign(name, INDEX.digest)).status, 201);
    assert.deepEqual(await versionsOf(world.server, name), [0, 1, 2]);
  });

  it('by many at once loses none', async () => {
    const name = 'signed/many';
    await user.image(name, 'latest', IMAGE);
    const references = Array.from({ length: 12 }, (_, index) => `registry.example.org/${name}:v${index}`);
    const answers = await Promise.all(references.map((reference) => sign(name, IMAGE.digest, reference)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([201]));
    assert.equal((await listed(name, IMAGE.digest)).length, references.length);
  });

  it('goes with its manifest', async () => {
    const name = 'signed/gone';
    await user.image(name, 'latest', IMAGE);
    assert.equal((await sign(name, IMAGE.digest)).status, 201);
    assert.equal((await user.ask('DELETE', name, `manifests/${IMAGE.digest}`)).status, 202);
    assert.equal((await user.ask('GET', name, pathOf(name, IMAGE.digest))).status, 404);
    await user.image(name, 'latest', IMAGE);
    assert.deepEqual(await listed(name, IMAGE.digest), []);
  });
});

describe('what is no signature of the manifest', () => {
  const name = 'signed/badly';
  const { digest } = IMAGE;
  const good = bodyOf(digest, signer.sign('registry.example.org/x:y', digest));
  before(() => user.image(name, 'latest', IMAGE));

  // As recorded of Pulp 3.123.
  it('is refused with the code and the detail that clients of Pulp know', async () => {
    const response = await put(name, digest, { ...good, content: 'anVuaw==' });
    assert.equal(response.status, 400);
    const { errors } = (await response.json()) as { errors: { code: string; detail: unknown }[] };
    assert.deepEqual(
      errors.map(({ code, detail }) => ({ code, detail })),
      [{ code: 'SIGNATURE_INVALID', detail: { manifest_digest: digest } }],
    );
  });

  const bodies: Readonly<Record<string, unknown>> = {
    'no JSON': '{',
    nothing: '',
    'a list': [good],
    'another version': { ...good, schemaVersion: 3 },
    'another type': { ...good, type: 'sigstore' },
    'no name': { ...good, name: undefined },
    'a name without a digest': { ...good, name: '0123456789abcdef0123456789abcdef' },
    'a name of another manifest': { ...good, name: good.name.replace(digest, INDEX.digest) },
    'content that is no base64': { ...good, content: '%' },
    'content that is no text': { ...good, content: 1 },
    'a signature of another manifest': bodyOf(digest, signer.sign('registry.example.org/x:y', INDEX.digest)),
    'a signed text of another kind': bodyOf(digest, signer.signPayload('{}')),
    'a sigstore signature': bodyOf(digest, Buffer.from('\0sigstore-json\n{}')),
  };
  for (const [what, body] of Object.entries(bodies)) {
    it(`${what}: 400 SIGNATURE_INVALID`, async () => {
      const response = await put(name, digest, body);
      assert.equal(response.status, 400);
      assert.equal(await codeOf(response), 'SIGNATURE_INVALID');
      assert.deepEqual(await listed(name, digest), []);
      assert.deepEqual(await versionsOf(world.server, name), [0, 1]);
    });
  }

  it('more than 4 MB: 413, whether the length is stated or not', async () => {
    const large = JSON.stringify({ ...good, content: 'A'.repeat(4 * 1024 * 1024) });
    assert.equal((await put(name, digest, large)).status, 413);
    const stream = new Blob([large]).stream();
    assert.equal((await user.ask('PUT', name, pathOf(name, digest), { body: stream })).status, 413);
  });

  it('of a manifest that is not there: 404', async () => {
    const response = await put(name, INDEX.digest, bodyOf(INDEX.digest, signer.sign('x', INDEX.digest)));
    assert.deepEqual([response.status, await codeOf(response)], [404, 'MANIFEST_UNKNOWN']);
  });

  it('in a repository that is not there: 404, and it is not made', async () => {
    const response = await put('signed/nowhere', digest, good);
    assert.deepEqual([response.status, await codeOf(response)], [404, 'NAME_UNKNOWN']);
    assert.equal(await versionsOf(world.server, 'signed/nowhere'), undefined);
  });

  it('cannot be sent by nobody, nor by who may only read', async () => {
    for (const one of [null, { username: 'reader', password: 'reading' }]) {
      const response = await put(name, digest, good, new RegistryUser(world.server, one));
      assert.equal(response.status, 401);
      assert.match(
        response.headers.get('www-authenticate') ?? '',
        /scope="repository:signed\/badly:pull,push",error="insufficient_scope"/,
      );
    }
  });

  it('nor to a repository that mirrors content', async () => {
    const mirror = await world.repository('mirror');
    await world.publish(mirror, { latest: IMAGE });
    await world.services.db.execute(sql`update container_repository set mirrored = true where id = ${mirror}::uuid`);
    await world.distribution('mirrors/app', { repository_id: mirror });
    const response = await put('mirrors/app', digest, good);
    assert.deepEqual([response.status, await codeOf(response)], [403, 'DENIED']);
  });

  it('signatures are only read and added', async () => {
    for (const method of ['DELETE', 'POST', 'PATCH']) {
      const response = await user.ask(method, name, pathOf(name, digest));
      assert.equal(response.status, 405);
      assert.equal(response.headers.get('allow'), 'GET, HEAD, PUT');
    }
  });
});
