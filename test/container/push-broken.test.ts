import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { sql } from '../../src/db/sql.ts';
import { registerBodyDeadline } from '../../src/http/body-deadline.ts';
import { HELD_BYTES } from '../../src/plugins/container/push/received-blob.ts';
import { PUSHED_PARTS } from '../../src/storage/layout.ts';
import { eventually } from '../queue/eventually.ts';
import { simpleImage } from '../support/images.ts';
import { digestOf, RegistryUser, versionsOf } from './push-rig.ts';
import { type RegistryWorld, startRegistryWorld } from './registry-world.ts';

const SILENT_MS = 1000;

let world: RegistryWorld;
let user: RegistryUser;
before(async () => {
  world = await startRegistryWorld({}, (app) => registerBodyDeadline(app, SILENT_MS));
  user = new RegistryUser(world.server);
});
afterEach(async () => {
  await world.services.db.execute(sql`delete from container_upload`);
  assert.deepEqual(world.faults(), []);
});
after(() => world?.stop());

let named = 0;
/** A name that nothing has, and the files that are there before. */
async function fresh(): Promise<{ name: string; had: readonly string[] }> {
  named += 1;
  return { name: `broken/app-${named}`, had: await files() };
}

/** A request that the server has, and of whose body it has been sent the first bytes. */
interface Begun {
  readonly outgoing: ClientRequest;
  readonly closed: Promise<unknown>;
}

/** `length`: what is said of the body; else it comes in chunks. */
async function begun(method: string, name: string, path: string, first: Uint8Array, length?: number): Promise<Begun> {
  const authorization = `Bearer ${await user.token(`repository:${name}:pull,push,delete`)}`;
  const outgoing = request(`${world.server.origin}${path}`, {
    method,
    headers: { authorization, expect: '100-continue', ...(length === undefined ? {} : { 'content-length': length }) },
  });
  outgoing.on('error', () => undefined);
  const closed = new Promise((resolve) => outgoing.once('close', resolve));
  await once(outgoing, 'continue');
  await new Promise((resolve) => outgoing.write(first, resolve));
  return { outgoing, closed };
}

/** Files that are stored, or were begun to be. */
async function files(): Promise<string[]> {
  const media = join(world.services.config.DATA_DIR, 'media');
  const found = await Promise.all(
    ['tmp', PUSHED_PARTS, 'artifact'].map((folder) =>
      readdir(join(media, folder), { recursive: true, withFileTypes: true }).catch(() => []),
    ),
  );
  return found
    .flat()
    .flatMap((entry) => (entry.isFile() ? [entry.name] : []))
    .sort();
}

const uploads = () => world.services.db.query<{ received: number }>(sql`select received from container_upload`);

/** As before, nothing is there. */
async function assertNothing(name: string, had: readonly string[]): Promise<void> {
  await eventually('no upload is there', async () => (await uploads()).length === 0);
  await eventually('no file is there', async () => isDeepStrictEqual(await files(), had));
  await eventually('so is what was made for it', async () => (await versionsOf(world.server, name)) === undefined);
}

const SIZES = [10_000, 500_000];
/** The client goes, or says nothing more. */
const ENDS: Readonly<Record<string, (outgoing: ClientRequest) => void>> = {
  'breaks off': (outgoing) => outgoing.destroy(),
  'falls silent': () => undefined,
};

for (const [how, end] of Object.entries(ENDS)) {
  describe(`a client that ${how}`, () => {
    for (const size of SIZES) {
      for (const length of [undefined, 2 * size]) {
        const sent = `after ${size} bytes, ${length === undefined ? 'of no stated length' : 'which are not all'}`;

        it(`in the middle of a chunk, ${sent}, has sent nothing`, async () => {
          const { name, had } = await fresh();
          const location = await user.begin(name);
          const { outgoing, closed } = await begun('PATCH', name, location, randomBytes(size), length);
          if (size > HELD_BYTES) await eventually('it is being written', async () => (await files()).length > had.length);
          end(outgoing);
          await closed;
          await eventually('nothing of it is there', async () => isDeepStrictEqual(await files(), had));
          assert.deepEqual(await uploads(), [{ received: 0 }]);
          const bytes = randomBytes(1000);
          assert.equal((await user.ask('PUT', name, `${location}?digest=${digestOf(bytes)}`, { body: bytes })).status, 201);
        });

        it(`in the middle of the end of an upload, ${sent}, has given it up`, async () => {
          const { name, had } = await fresh();
          const location = await user.begin(name);
          assert.equal((await user.ask('PATCH', name, location, { body: randomBytes(size) })).status, 202);
          const path = `${location}?digest=${digestOf(randomBytes(16))}`;
          const { outgoing } = await begun('PUT', name, path, randomBytes(size), length);
          end(outgoing);
          await assertNothing(name, had);
        });

        it(`in the middle of a blob in one request, ${sent}, leaves nothing`, async () => {
          const { name, had } = await fresh();
          const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(randomBytes(16))}`;
          const { outgoing } = await begun('POST', name, path, randomBytes(size), length);
          await eventually('it has begun', async () => (await uploads()).length === 1);
          end(outgoing);
          await assertNothing(name, had);
        });
      }
    }

    it('in the middle of a manifest has sent none', async () => {
      const { name } = await fresh();
      const image = simpleImage(`broken ${how}`);
      await user.image(name, 'whole', image);
      const path = `/v2/${name}/manifests/broken`;
      const { outgoing, closed } = await begun('PUT', name, path, image.bytes, image.bytes.length + 1);
      end(outgoing);
      await closed;
      const { tags } = (await (await user.ask('GET', name, 'tags/list')).json()) as { tags: string[] };
      assert.deepEqual(tags, ['whole']);
      assert.deepEqual(await versionsOf(world.server, name), [0, 1]);
    });
  });
}

describe('a client that is slow', () => {
  it('is waited for, as long as something comes', async () => {
    const { name } = await fresh();
    const bytes = randomBytes(10);
    const path = `/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`;
    const { outgoing } = await begun('POST', name, path, bytes.subarray(0, 1), bytes.length);
    const answered = once(outgoing, 'response');
    for (const byte of bytes.subarray(1)) {
      await delay(SILENT_MS / 5);
      outgoing.write(Buffer.of(byte));
    }
    outgoing.end();
    const [{ statusCode }] = (await answered) as [IncomingMessage];
    assert.equal(statusCode, 201);
  });
});
