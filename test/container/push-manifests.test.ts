import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { descriptorOf, type ImageContent, indexOf, MEDIA_TYPES, manifestContent } from '../../src/demo/image.ts';
import { blobOf, layerOf } from '../../src/demo/layer.ts';
import { artifactKey } from '../../src/storage/layout.ts';
import { schema1Of, signedSchema1Of, simpleImage } from '../support/images.ts';
import { assertRefused, blocked, bytesOf, digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
});
afterEach(() => assert.deepEqual(world.faults(), []));
after(() => world?.stop());

const NAME = 'bad/manifests';
const OCI = MEDIA_TYPES.oci;
const MiB4 = 4 * 1024 * 1024;

/** Pushes what the manifest names of blobs, and then it. */
async function pushed(image: ImageContent, reference = 'v1', name = NAME): Promise<Response> {
  for (const blob of image.blobs) await user.blob(name, bytesOf(blob));
  return user.manifest(name, reference, image);
}

const bytes = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

/** Bytes sent as a manifest. */
const sent = (body: Buffer, mediaType: string, reference = 'v1'): Promise<Response> =>
  user.ask('PUT', NAME, `manifests/${reference}`, { body, headers: { 'content-type': mediaType } });

/** An image whose manifest is changed after it was made. */
function changed(change: (manifest: Record<string, unknown>) => unknown, image = simpleImage('changed')): ImageContent {
  const body = bytes(change(JSON.parse(image.bytes.toString())));
  return { ...image, bytes: body, digest: digestOf(body) };
}

describe('a manifest', () => {
  it('sent by the digest of other bytes is refused', async () => {
    const image = simpleImage('other bytes');
    for (const digest of [digestOf(randomBytes(16)), digestOf(image.bytes, 'sha512').replace(/.$/, 'z'), 'sha256:abc'])
      await assertRefused(await pushed(image, digest), 400, 'DIGEST_INVALID', digest);
    assert.equal((await pushed(image, digestOf(image.bytes, 'sha512'))).status, 201);
  });

  it('is refused where config, layer or child were not pushed, by name', async () => {
    const image = simpleImage('incomplete');
    const [config, layer] = image.blobs as [(typeof image.blobs)[0], (typeof image.blobs)[0]];
    const index = indexOf({ entries: [{ content: image }] });
    const missing = async (content: ImageContent, digest: string) => {
      const response = await user.manifest(NAME, 'v1', content);
      assert.equal(response.status, 400);
      const { errors } = (await response.json()) as { errors: { code: string; detail: object }[] };
      assert.deepEqual(
        errors.map(({ code, detail }) => ({ code, detail })),
        [{ code: 'MANIFEST_BLOB_UNKNOWN', detail: { digest } }],
      );
    };
    await missing(index, image.digest);
    await missing(image, config.digest);
    await user.blob(NAME, bytesOf(config));
    await missing(image, layer.digest);
    await user.blob(NAME, bytesOf(layer));
    await missing(index, image.digest);
    assert.equal((await user.manifest(NAME, image.digest, image)).status, 201);
    assert.equal((await user.manifest(NAME, 'v1', index)).status, 201);
  });

  it('cannot name what only another repository has, and learns nothing of it', async () => {
    const image = simpleImage('elsewhere');
    await user.image('bad/elsewhere', 'v1', image);
    await user.blob(NAME, randomBytes(1));
    const absent = simpleImage('nowhere');
    for (const content of [image, absent]) {
      const response = await user.manifest(NAME, 'v1', content);
      await assertRefused(response, 400, 'MANIFEST_BLOB_UNKNOWN');
      for (const digest of content.blobs.map((blob) => blob.digest)) {
        assert.equal((await user.ask('HEAD', NAME, `blobs/${digest}`)).status, 404);
        await assertRefused(await user.ask('DELETE', NAME, `blobs/${digest}`), 404, 'BLOB_UNKNOWN');
      }
      await assertRefused(await user.ask('DELETE', NAME, `manifests/${content.digest}`), 404, 'MANIFEST_UNKNOWN');
      await assertRefused(await user.ask('GET', NAME, `manifests/${content.digest}`), 404, 'MANIFEST_UNKNOWN');
    }
  });

  it('whose config was lost on the disk has it sent again', async () => {
    const image = simpleImage('lost config');
    for (const blob of image.blobs) await user.blob(NAME, bytesOf(blob));
    const [config] = image.blobs;
    await rm(join(world.services.config.DATA_DIR, 'media', artifactKey(config?.digest.slice(7) as string)));
    await assertRefused(await user.manifest(NAME, 'v1', image), 400, 'MANIFEST_BLOB_UNKNOWN');
    assert.equal((await pushed(image)).status, 201);
  });

  it('is refused where a blob that it names was deleted and cleaned up since it was looked for', async () => {
    const image = simpleImage('cleaned up');
    const name = 'bad/cleaned';
    for (const blob of image.blobs) await user.blob(name, bytesOf(blob));
    const { db } = world.services;
    const digests = image.blobs.map(({ digest }) => digest);
    let answer: Promise<Response> | undefined;
    await db.transaction(async (tx) => {
      await tx.query(sql`lock table container_manifest in share mode`);
      answer = user.manifest(name, 'v1', image);
      await blocked(db, 'insert into container_manifest');
      await tx.execute(sql`
        delete from container_pending_content p using container_blob b where b.id = p.content_id and b.digest = any(${digests}::text[])`);
      await tx.execute(
        sql`delete from content where id in (select id from container_blob where digest = any(${digests}::text[]))`,
      );
    });
    await assertRefused((await answer) as Response, 400, 'MANIFEST_BLOB_UNKNOWN');
    assert.deepEqual(await versionsOf(world.server, name), [0]);
  });

  it('is refused where its repository is deleted while it waits for that', async () => {
    const image = simpleImage('deleted meanwhile');
    const name = 'bad/deleted';
    for (const blob of image.blobs) await user.blob(name, bytesOf(blob));
    const { db } = world.services;
    let answer: Promise<Response> | undefined;
    await db.transaction(async (tx) => {
      await tx.query(sql`select from repository where name = ${name} for update`);
      answer = user.manifest(name, 'v1', image);
      await blocked(db, 'for no key update');
      await tx.execute(sql`delete from repository where name = ${name}`);
    });
    await assertRefused((await answer) as Response, 404, 'NAME_UNKNOWN');
    assert.equal(await versionsOf(world.server, name), undefined);
  });

  const refused: Readonly<Record<string, () => ImageContent>> = {
    'with another size of a layer': () =>
      changed((manifest) => ({
        ...manifest,
        layers: (manifest.layers as { size: number }[]).map((layer) => ({ ...layer, size: layer.size + 1 })),
      })),
    'with another size of its config': () =>
      changed((manifest) => ({ ...manifest, config: { ...(manifest.config as object), size: 1 } })),
    'with a size that is none': () =>
      changed((manifest) => ({ ...manifest, config: { ...(manifest.config as object), size: -1 } })),
    'with a digest that is none': () =>
      changed((manifest) => ({ ...manifest, config: { ...(manifest.config as object), digest: 'sha256:../../x' } })),
    'of an unknown media type': () =>
      changed((manifest) => ({ ...manifest, mediaType: 'application/vnd.example.manifest.v1+json' })),
    'that says it is something else than it is sent as': () => ({
      ...simpleImage('type'),
      mediaType: MEDIA_TYPES.docker.manifest,
    }),
    'that is an image and an index': () => changed((manifest) => ({ ...manifest, manifests: [] })),
    'that is an image and schema 1': () => changed((manifest) => ({ ...manifest, fsLayers: [] })),
    'of schema 1': () => schema1Of(NAME, 'v1'),
    'of schema 1, signed': () => signedSchema1Of(NAME, 'v1'),
    'with a subject that is none': () => changed((manifest) => ({ ...manifest, subject: { digest: 'x' } })),
    'with annotations that are no text': () => changed((manifest) => ({ ...manifest, annotations: { a: 1 } })),
    'without layers that are a list': () => changed((manifest) => ({ ...manifest, layers: { length: 1 } })),
    'of another schema version': () => changed((manifest) => ({ ...manifest, schemaVersion: 3 })),
    'whose config is no JSON': () => imageWithConfig('<html>'),
    'whose config is a list': () => imageWithConfig('[]'),
    'whose config is 100,000 levels deep': () => imageWithConfig(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`),
    'whose config names labels that are no text': () => imageWithConfig('{"config": {"Labels": {"a": 1}}}'),
    'of 1,001 manifests': () =>
      manifestContent(
        OCI.index,
        {
          schemaVersion: 2,
          mediaType: OCI.index,
          manifests: Array.from({ length: 1001 }, (_, n) => ({
            mediaType: OCI.manifest,
            digest: digestOf(Buffer.from(`${n}`)),
            size: 1,
          })),
        },
        [],
      ),
  };
  for (const [what, make] of Object.entries(refused)) {
    it(`${what} is refused`, async () => {
      const image = make();
      await assertRefused(await pushed(image, 'refused'), 400, 'MANIFEST_INVALID', what);
      assert.equal((await user.ask('GET', NAME, 'manifests/refused')).status, 404);
    });
  }

  for (const [what, body] of [
    ['nothing', ''],
    ['no JSON', '{'],
    ['HTML', '<!doctype html><title>x</title>'],
    ['no text', randomBytes(200)],
    ['a number', '1e400'],
    ['null', 'null'],
    ['a list', '[{}]'],
    ['text', '"a"'],
    ['no fields', '{}'],
    ['a prototype', '{"__proto__": {"schemaVersion": 2}, "constructor": {"prototype": {}}}'],
    ['lists of 100,000 levels', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['objects of 100,000 levels', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['annotations of 100,000 levels', `{"schemaVersion": 2, "annotations": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ] as const) {
    it(`of ${what} is refused`, async () => {
      for (const type of [OCI.manifest, OCI.index, MEDIA_TYPES.docker.index, 'text/html', 'application/json; charset=utf-16'])
        await assertRefused(await sent(Buffer.from(body), type), 400, 'MANIFEST_INVALID', type);
    });
  }

  it('sent as something that is no media type is refused', async () => {
    await assertRefused(await sent(simpleImage('no type').bytes, 'x'), 415, 'UNSUPPORTED');
  });

  it('with text that a database has no place for is kept as it is', async () => {
    const odd = { 'a\0b': 'c\0d', '\ud800': '\udfff', __proto__: null, constructor: 'x' };
    const config = blobOf(JSON.stringify({ architecture: 'amd\0', os: '\ud800', config: { Labels: odd } }));
    const image = manifestContent(
      OCI.manifest,
      {
        schemaVersion: 2,
        mediaType: OCI.manifest,
        artifactType: 'a/b\0',
        config: descriptorOf(config, OCI.config),
        layers: [],
        annotations: odd,
      },
      [config],
    );
    assert.equal((await pushed(image, 'odd')).status, 201);
    const platform = { architecture: 'x\0', os: 'y\ud800', variant: '\0' };
    const index = indexOf({ entries: [{ content: image, platform }] });
    assert.equal((await user.manifest(NAME, 'odd', index)).status, 201);
    const got = await user.ask('GET', NAME, 'manifests/odd');
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), index.bytes);
  });

  it('of 4 MiB is taken, of one byte more it is not, whether its length is said or not', async () => {
    const image = simpleImage('large');
    const padding = MiB4 - bytes({ ...JSON.parse(image.bytes.toString()), annotations: { a: '' } }).byteLength;
    const padded = (more: number) =>
      changed((manifest) => ({ ...manifest, annotations: { a: 'x'.repeat(padding + more) } }), image);
    assert.equal(padded(0).bytes.byteLength, MiB4);
    assert.equal((await pushed(padded(0), 'large')).status, 201);
    const got = await user.ask('GET', NAME, 'manifests/large');
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), padded(0).bytes);
    await assertRefused(await pushed(padded(1), 'larger'), 413, 'SIZE_INVALID');
    for (const size of [MiB4 + 1, 40 * 1024 * 1024]) {
      const body = new Blob([new Uint8Array(size)]).stream();
      const headers = { 'content-type': OCI.manifest };
      await assertRefused(await user.ask('PUT', NAME, 'manifests/larger', { body, headers }), 413, 'SIZE_INVALID', `${size}`);
    }
  });
});

describe('who sends too much before he listens', () => {
  it('hears so when he has sent it, and can go on', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const authorization = `Bearer ${await user.token(`repository:${NAME}:pull,push,delete`)}`;
    const asked = async (
      method: string,
      path: string,
      size: number,
    ): Promise<{ status: number | undefined; port: number | undefined }> => {
      const outgoing = request(`${world.server.origin}/v2/${NAME}/${path}`, {
        method,
        agent,
        timeout: 10_000,
        headers: { authorization },
      });
      outgoing.once('timeout', () => outgoing.destroy(new Error('it is not heard')));
      const response = once(outgoing, 'response');
      if (size > 0) await new Promise((resolve) => outgoing.write(Buffer.alloc(size), resolve));
      outgoing.end();
      const [incoming] = (await response) as [IncomingMessage];
      const port = incoming.socket.localPort;
      await incoming.toArray();
      return { status: incoming.statusCode, port };
    };
    const { status, port } = await asked('PUT', 'manifests/larger', 40 * 1024 * 1024);
    assert.equal(status, 413);
    assert.deepEqual(await asked('GET', 'tags/list', 0), { status: 200, port });
    agent.destroy();
  });
});

/** An image with one layer, and this text for its config. */
function imageWithConfig(text: string): ImageContent {
  const config = blobOf(text);
  const layer = layerOf({ 'etc/motd': 'config' });
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI.manifest,
    config: descriptorOf(config, OCI.config),
    layers: [descriptorOf(layer, OCI.layer)],
  };
  return manifestContent(OCI.manifest, manifest, [config, layer]);
}

describe('a tag', () => {
  const image = simpleImage('tags');

  it('has 1 to 128 characters of those that are allowed', async () => {
    for (const tag of ['a', '_', '9', 'A.b-c_D', `v${'1'.repeat(127)}`])
      assert.equal((await pushed(image, tag)).status, 201, tag);
    for (const tag of [`v${'1'.repeat(128)}`, '.a', '-a', 'a+b', 'a%20b', 'a%00', 'ä', 'a,b', '%2e%2e']) {
      const response = await pushed(image, tag);
      assert.ok(response.status === 400, `${tag}: ${response.status}`);
      assert.match(await response.text(), /"code":"(TAG_INVALID|NAME_INVALID)"/, tag);
      assert.equal((await user.ask('GET', NAME, `manifests/${tag}`)).status === 200, false, tag);
    }
  });

  it('can be named beside a digest only, and each is looked at', async () => {
    const put = (reference: string, query: string) =>
      user.ask('PUT', NAME, `manifests/${reference}?${query}`, {
        body: image.bytes as never,
        headers: { 'content-type': image.mediaType },
      });
    for (const blob of image.blobs) await user.blob(NAME, bytesOf(blob));
    for (const query of ['tag=', 'tag=a%2Fb', 'tag=ok&tag=-a', `tag=${'a'.repeat(129)}`, 'tag=%00'])
      await assertRefused(await put(image.digest, query), 400, 'TAG_INVALID', query);
    const many = (count: number) => Array.from({ length: count }, (_, n) => `tag=many-${n}`).join('&');
    await assertRefused(await put(image.digest, many(101)), 400, 'TAG_INVALID');
    assert.equal((await put(image.digest, many(100))).status, 201);
    const named = await put('named', 'tag=not-named');
    assert.deepEqual([named.status, named.headers.get('oci-tag')], [201, null]);
    assert.equal((await user.ask('GET', NAME, 'manifests/not-named')).status, 404);
    assert.equal((await user.ask('GET', NAME, 'manifests/many-99')).status, 200);
  });
});
