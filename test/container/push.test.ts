import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { imageOf, indexOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { artifactOf } from '../support/images.ts';
import { bytesOf, codeOf, digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld();
  user = new RegistryUser(world.server);
});
after(() => world?.stop());

const MOTD = (text: string) => imageOf({ layers: [layerOf({ 'etc/motd': text })] });

async function assertBlob(name: string, bytes: Buffer, digest = digestOf(bytes)): Promise<void> {
  const head = await user.ask('HEAD', name, `blobs/${digest}`);
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('content-length'), String(bytes.byteLength));
  const got = await user.ask('GET', name, `blobs/${digest}`);
  assert.equal(got.headers.get('docker-content-digest'), digest);
  assert.deepEqual(Buffer.from(await got.arrayBuffer()), bytes);
}

const SIZES = { small: 700, large: 300_000 };

for (const [kind, size] of Object.entries(SIZES)) {
  describe(`a ${kind} blob`, () => {
    const name = `ways/${kind}`;
    const created = async (response: Response, digest: string) => {
      assert.equal(response.status, 201, await response.text());
      assert.equal(response.headers.get('location'), `/v2/${name}/blobs/${digest}`);
      assert.equal(response.headers.get('docker-content-digest'), digest);
    };

    it('comes by one POST', async () => {
      const bytes = randomBytes(size);
      const digest = digestOf(bytes);
      await created(await user.ask('POST', name, `blobs/uploads/?digest=${digest}`, { body: bytes }), digest);
      await assertBlob(name, bytes);
    });

    it('comes by POST and PUT', async () => {
      const bytes = randomBytes(size);
      const digest = digestOf(bytes);
      const location = await user.begin(name);
      await created(await user.ask('PUT', name, `${location}?digest=${digest}`, { body: bytes }), digest);
      await assertBlob(name, bytes);
    });

    it('comes by a streamed PATCH without Content-Range, and an empty PUT', async () => {
      const bytes = randomBytes(size);
      const digest = digestOf(bytes);
      const location = await user.begin(name);
      const stream = new ReadableStream({
        start: (controller) => {
          controller.enqueue(bytes.subarray(0, 500));
          controller.enqueue(bytes.subarray(500));
          controller.close();
        },
      });
      const patched = await user.ask('PATCH', name, location, { body: stream });
      assert.equal(patched.status, 202);
      assert.equal(patched.headers.get('range'), `0-${size - 1}`);
      await created(await user.ask('PUT', name, `${patched.headers.get('location')}?digest=${digest}`), digest);
      await assertBlob(name, bytes);
    });

    it('comes in chunks, in their order, the last with the PUT', async () => {
      const bytes = randomBytes(size);
      const digest = digestOf(bytes);
      let location = await user.begin(name);
      const cuts = [0, 100, Math.floor(size / 2), size - 50, size];
      for (const [index, start] of cuts.slice(0, -2).entries()) {
        const end = cuts[index + 1] as number;
        const headers = { 'content-range': `${start}-${end - 1}`, 'content-type': 'application/octet-stream' };
        const patched = await user.ask('PATCH', name, location, { body: bytes.subarray(start, end), headers });
        assert.equal(patched.status, 202);
        assert.equal(patched.headers.get('range'), `0-${end - 1}`);
        location = patched.headers.get('location') as string;
        const status = await user.ask('GET', name, location);
        assert.equal(status.status, 204);
        assert.equal(status.headers.get('range'), `0-${end - 1}`);
        assert.equal(status.headers.get('location'), location);
      }
      const headers = { 'content-range': `${size - 50}-${size - 1}` };
      const body = bytes.subarray(size - 50);
      await created(await user.ask('PUT', name, `${location}?digest=${digest}`, { body, headers }), digest);
      await assertBlob(name, bytes);
    });

    it('can be named by its sha512', async () => {
      const bytes = randomBytes(size);
      const digest = digestOf(bytes, 'sha512');
      await created(await user.ask('POST', name, `blobs/uploads/?digest=${digest}`, { body: bytes }), digest);
      await assertBlob(name, bytes, digest);
      const patched = await user.ask('PATCH', name, await user.begin(name), { body: randomBytes(size) });
      const wrong = await user.ask('PUT', name, `${patched.headers.get('location')}?digest=${digest}`);
      assert.equal(wrong.status, 400);
      assert.equal(await codeOf(wrong), 'DIGEST_INVALID');
    });

    it('that is not what its digest says is refused in every way, and is not there', async () => {
      const ways = [
        (body: Buffer, digest: string) => user.ask('POST', name, `blobs/uploads/?digest=${digest}`, { body }),
        async (body: Buffer, digest: string) => user.ask('PUT', name, `${await user.begin(name)}?digest=${digest}`, { body }),
        async (body: Buffer, digest: string) => {
          const location = await user.begin(name);
          await user.ask('PATCH', name, location, { body });
          return user.ask('PUT', name, `${location}?digest=${digest}`);
        },
        async (body: Buffer, digest: string) => {
          const location = await user.begin(name);
          await user.ask('PATCH', name, location, { body: body.subarray(0, 100) });
          return user.ask('PUT', name, `${location}?digest=${digest}`, { body: body.subarray(100) });
        },
      ];
      for (const way of ways) {
        const [bytes, meant] = [randomBytes(size), randomBytes(size)];
        const response = await way(bytes, digestOf(meant));
        assert.equal(response.status, 400);
        assert.equal(await codeOf(response), 'DIGEST_INVALID');
        for (const digest of [digestOf(meant), digestOf(bytes)])
          assert.equal((await user.ask('HEAD', name, `blobs/${digest}`)).status, 404);
        const { db, storage } = world.services;
        const sha256 = digestOf(bytes).slice('sha256:'.length);
        assert.deepEqual(await db.query(sql`select 1 from artifact where sha256 = ${sha256}`), []);
        assert.equal(await storage.size(`artifact/${sha256.slice(0, 2)}/${sha256.slice(2)}`), undefined);
      }
      assert.deepEqual(await world.services.db.query(sql`select id from container_upload`), []);
      for await (const keys of world.services.storage.list('push')) assert.deepEqual(keys, []);
    });
  });
}

describe('an upload', () => {
  const name = 'uploads/app';

  it('begins with nothing, and is told of in the words of the recorded answer', async () => {
    const response = await user.ask('POST', name, 'blobs/uploads/');
    assert.equal(response.status, 202);
    const id = response.headers.get('docker-upload-uuid');
    assert.equal(response.headers.get('location'), `/v2/${name}/blobs/uploads/${id}`);
    assert.equal(response.headers.get('range'), '0-0');
    assert.equal(response.headers.get('content-length'), '0');
  });

  it('that is canceled is gone', async () => {
    const location = await user.begin(name);
    await user.ask('PATCH', name, location, { body: randomBytes(200_000) });
    assert.equal((await user.ask('DELETE', name, location)).status, 204);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const response = await user.ask(method, name, location, method === 'PATCH' ? { body: 'x' } : {});
      assert.equal(response.status, 404);
      assert.equal(await codeOf(response), 'BLOB_UPLOAD_UNKNOWN');
    }
    for await (const keys of world.services.storage.list('push')) assert.deepEqual(keys, []);
  });

  it('takes no chunk out of order', async () => {
    const location = await user.begin(name);
    await user.ask('PATCH', name, location, { body: 'x'.repeat(10), headers: { 'content-range': '0-9' } });
    for (const range of ['0-9', '9-18', '11-20', '5-1', 'nonsense']) {
      const response = await user.ask('PATCH', name, location, { body: 'x'.repeat(10), headers: { 'content-range': range } });
      assert.equal(response.status, 416, range);
      assert.equal(response.headers.get('range'), '0-9');
      assert.equal(response.headers.get('location'), location);
      assert.equal(await codeOf(response), 'BLOB_UPLOAD_INVALID');
    }
    const short = await user.ask('PATCH', name, location, { body: 'x'.repeat(5), headers: { 'content-range': '10-19' } });
    assert.equal(short.status, 400);
    assert.equal(await codeOf(short), 'SIZE_INVALID');
  });
});

describe('a push that comes to nothing', () => {
  it('leaves no repository, distribution or namespace, nor takes away what was there', async () => {
    const { db } = world.services;
    const left = () =>
      db.query(sql`
      select name from container_namespace where name like 'vain%' union all select name from repository where name like 'vain%'
      union all select name from distribution where name like 'vain%'`);
    const wrong = () => user.ask('POST', 'vain/app', `blobs/uploads/?digest=${digestOf(randomBytes(5))}`, { body: 'other' });
    assert.equal((await wrong()).status, 400);
    assert.deepEqual(await left(), []);
    assert.equal((await user.ask('DELETE', 'vain/app', await user.begin('vain/app'))).status, 204);
    assert.deepEqual(await left(), []);
    await db.execute(sql`
      insert into container_namespace (id, domain_id, name) values (gen_random_uuid(), ${world.services.domain.id}::uuid, 'vain')`);
    assert.equal((await wrong()).status, 400);
    assert.deepEqual(await left(), [{ name: 'vain' }]);
    await user.blob('vain/app', randomBytes(10));
    assert.equal((await wrong()).status, 400);
    assert.equal((await left()).length, 3);
  });
});

it('a first push goes on beside one to the same name that is given up', async () => {
  for (let round = 0; round < 20; round += 1) {
    const name = `beside/app${round}`;
    const bytes = randomBytes(500);
    const canceled = async () => (await user.ask('DELETE', name, await user.begin(name))).status;
    const begun = async () => (await user.ask('POST', name, 'blobs/uploads/')).status;
    const pushed = async () => (await user.ask('POST', name, `blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes })).status;
    const results = await Promise.all([canceled(), begun(), pushed(), canceled(), begun(), pushed()]);
    assert.deepEqual(results, [204, 202, 201, 204, 202, 201]);
    await assertBlob(name, bytes);
  }
});

describe('a blob of another repository', () => {
  it('is mounted without being sent again', async () => {
    const bytes = randomBytes(1000);
    const digest = await user.blob('mount/source', bytes);
    const response = await user.ask('POST', 'mount/target', `blobs/uploads/?mount=${digest}&from=mount/source`);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get('location'), `/v2/mount/target/blobs/${digest}`);
    await assertBlob('mount/target', bytes);
  });

  it('that is not there, or is not named wholly, begins an upload', async () => {
    const digest = digestOf(randomBytes(10));
    for (const query of [
      `?mount=${digest}&from=mount/source`,
      `?mount=${digest}`,
      `?mount=${digest}&from=mount/none`,
      '?mount=x&from=y',
    ]) {
      const response = await user.ask('POST', 'mount/target', `blobs/uploads/${query}`);
      assert.equal(response.status, 202, query);
    }
  });
});

describe('an image', () => {
  it('makes namespace, repository and distribution, and one version', async () => {
    const image = MOTD('first');
    await user.image('fresh/app', 'latest', image);
    assert.deepEqual(await versionsOf(world.server, 'fresh/app'), [0, 1]);
    const got = await user.ask('GET', 'fresh/app', 'manifests/latest');
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), image.bytes);
    assert.equal(got.headers.get('content-type'), image.mediaType);
    await user.image('fresh/app', 'latest', image);
    assert.deepEqual(await versionsOf(world.server, 'fresh/app'), [0, 1], 'the same again makes no version');
    await user.image('fresh/app', 'latest', MOTD('second'));
    assert.deepEqual(await versionsOf(world.server, 'fresh/app'), [0, 1, 2]);
    const rows = await world.services.db.query(sql`select 1 from container_pending_content p
      join repository r on r.id = p.repository_id where r.name = 'fresh/app'`);
    assert.deepEqual(rows, []);
  });

  it('of several platforms is one version, and its parts can be pulled before', async () => {
    const [first, second] = [MOTD('amd64'), MOTD('arm64')];
    const index = indexOf({
      entries: [
        { content: first, platform: { os: 'linux', architecture: 'amd64' } },
        { content: second, platform: { os: 'linux', architecture: 'arm64' } },
      ],
    });
    await user.image('fresh/multi', first.digest, first);
    const early = await user.ask('GET', 'fresh/multi', `manifests/${first.digest}`);
    assert.deepEqual(Buffer.from(await early.arrayBuffer()), first.bytes);
    assert.deepEqual(await versionsOf(world.server, 'fresh/multi'), [0]);
    await user.image('fresh/multi', 'latest', index);
    assert.deepEqual(await versionsOf(world.server, 'fresh/multi'), [0, 1]);
    for (const image of [first, second]) {
      const got = await user.ask('GET', 'fresh/multi', `manifests/${image.digest}`);
      assert.deepEqual(Buffer.from(await got.arrayBuffer()), image.bytes);
    }
  });

  it('with a subject is in a version at once, under no tag, and says so', async () => {
    const image = MOTD('signed');
    await user.image('fresh/signed', 'latest', image);
    const artifact = artifactOf({
      subject: { mediaType: image.mediaType, digest: image.digest, size: image.bytes.byteLength },
      artifactType: 'application/vnd.example.sbom',
    });
    for (const blob of artifact.blobs) await user.blob('fresh/signed', bytesOf(blob));
    const response = await user.manifest('fresh/signed', artifact.digest, artifact);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get('oci-subject'), image.digest);
    assert.deepEqual(await versionsOf(world.server, 'fresh/signed'), [0, 1, 2]);
    const referrers = await user.ask('GET', 'fresh/signed', `referrers/${image.digest}`);
    const { manifests } = (await referrers.json()) as { manifests: { digest: string }[] };
    assert.deepEqual(
      manifests.map(({ digest }) => digest),
      [artifact.digest],
    );
  });

  it('sent by its digest gets the tags that are asked for', async () => {
    const image = MOTD('tagged');
    for (const blob of image.blobs) await user.blob('fresh/tagged', bytesOf(blob));
    const response = await user.ask('PUT', 'fresh/tagged', `manifests/${image.digest}?tag=a&tag=b&tag=a`, {
      body: image.bytes as never,
      headers: { 'content-type': image.mediaType },
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get('oci-tag'), 'a, b');
    const tags = (await (await user.ask('GET', 'fresh/tagged', 'tags/list')).json()) as { tags: string[] };
    assert.deepEqual(tags.tags, ['a', 'b']);
    assert.deepEqual(await versionsOf(world.server, 'fresh/tagged'), [0, 1]);
  });
});

describe('deleting', () => {
  it('a tag leaves the manifest, a manifest takes its tags along, at once', async () => {
    const image = MOTD('deleted');
    await user.image('gone/app', 'one', image);
    await user.image('gone/app', 'two', image);
    assert.equal((await user.ask('DELETE', 'gone/app', 'manifests/one')).status, 202);
    assert.equal((await user.ask('GET', 'gone/app', 'manifests/one')).status, 404);
    assert.equal((await user.ask('GET', 'gone/app', `manifests/${image.digest}`)).status, 200);
    const [blob] = image.blobs;
    const needed = await user.ask('DELETE', 'gone/app', `blobs/${blob?.digest}`);
    assert.equal(needed.status, 405);
    assert.equal((await user.ask('DELETE', 'gone/app', `manifests/${image.digest}`)).status, 202);
    for (const reference of ['two', image.digest]) {
      assert.equal((await user.ask('GET', 'gone/app', `manifests/${reference}`)).status, 404);
      const again = await user.ask('DELETE', 'gone/app', `manifests/${reference}`);
      assert.equal(again.status, 404);
      assert.equal(await codeOf(again), 'MANIFEST_UNKNOWN');
    }
  });

  it('and pushing are noted in the audit log, whatever is deleted', async () => {
    const name = 'gone/noted';
    const image = MOTD('noted');
    await user.image(name, 'latest', image);
    const blob = await user.blob(name, randomBytes(10));
    for (const path of ['manifests/latest', `manifests/${image.digest}`, `blobs/${blob}`])
      assert.equal((await user.ask('DELETE', name, path)).status, 202);
    const entries = await world.services.db.query(sql`
      select operation, method, status, username, object from audit_entry where starts_with(object, ${name}) order by id`);
    const entry = { operation: 'push', username: 'admin' };
    assert.deepEqual(entries, [
      { ...entry, method: 'PUT', status: 201, object: `${name}:latest` },
      { ...entry, method: 'DELETE', status: 202, object: `${name}:latest` },
      { ...entry, method: 'DELETE', status: 202, object: `${name}@${image.digest}` },
      { ...entry, method: 'DELETE', status: 202, object: `${name}@${blob}` },
    ]);
  });

  it('an index takes along what it lists, which is not deleted before it', async () => {
    const [kept, listed] = [MOTD('tagged, too'), MOTD('only listed')];
    const index = indexOf({
      entries: [kept, listed].map((content) => ({ content, platform: { os: 'linux', architecture: 'amd64' } })),
    });
    await user.image('gone/index', 'latest', index);
    await user.image('gone/index', 'one', kept);
    const early = await user.ask('DELETE', 'gone/index', `manifests/${listed.digest}`);
    assert.equal(early.status, 405);
    assert.equal((await user.ask('DELETE', 'gone/index', `manifests/${index.digest}`)).status, 202);
    const status = async (path: string) => (await user.ask('HEAD', 'gone/index', path)).status;
    assert.equal(await status(`manifests/${listed.digest}`), 404);
    assert.equal(await status(`blobs/${listed.blobs[0]?.digest}`), 404);
    for (const path of ['manifests/one', `manifests/${kept.digest}`, ...kept.blobs.map(({ digest }) => `blobs/${digest}`)])
      assert.equal(await status(path), 200, path);
  });

  it('a blob that no manifest needs takes it away', async () => {
    const digest = await user.blob('gone/blob', randomBytes(100));
    assert.equal((await user.ask('DELETE', 'gone/blob', `blobs/${digest}`)).status, 202);
    assert.equal((await user.ask('HEAD', 'gone/blob', `blobs/${digest}`)).status, 404);
    const again = await user.ask('DELETE', 'gone/blob', `blobs/${digest}`);
    assert.equal(again.status, 404);
    assert.equal(await codeOf(again), 'BLOB_UNKNOWN');
  });
});
