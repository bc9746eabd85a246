import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, statfsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { imageOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { type EmbeddedPostgres, removePostgres, startPostgres } from '../../src/embedded/postgres.ts';
import { bytesOf, codeOf, digestOf } from '../container/push-rig.ts';
import { eventually } from '../queue/eventually.ts';
import { createInstallation, type DeckleProcess, type Installation } from '../support/deckle-process.ts';
import { simpleImage } from '../support/images.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { Pusher } from './pusher.ts';
import { CANNOT_MOUNT, makeRoom, mountDisk, unmount } from './small-disk.ts';

const MiB = 2 ** 20;
const SETTINGS = { ADMIN_PASSWORD: 'password', PULP_TOKEN_AUTH_DISABLED: 'true', WORKERS: '1', DECKLE_LOG_FORMAT: 'json' };
const BLOBS = '/pulp/api/v3/content/container/blobs/?limit=1000&fields=digest';

/** Lines of the log about faults. */
const faults = (deckle: DeckleProcess): string[] =>
  deckle
    .output()
    .split('\n')
    .filter((line) => /^\{"level":(50|60)/.test(line));

/** Files of the storage below a folder of it. */
async function filesBelow(dataDir: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(dataDir, 'media', folder), { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : []));
}

describe('the server is killed during pushes', () => {
  const ROUNDS = 6;
  let database: TestDatabase;
  let installation: Installation;
  let deckle: DeckleProcess;
  let pusher: Pusher;
  before(async () => {
    database = await createDatabase();
    installation = await createInstallation({ ...SETTINGS, DATABASE_URL: database.url });
    deckle = await installation.start();
    pusher = new Pusher(installation.url);
  });
  after(async () => {
    await installation?.remove();
    await database?.drop();
  });

  test('at any moment: nothing half is served, and the push that is tried again succeeds', async () => {
    const image = (n: number) => imageOf({ layers: [layerOf({ 'etc/n': `${n}` }), largeLayer(`killed ${n}`, 3 * MiB)] });
    assert.equal(await pusher.image('killed/app', 'base', image(-1)), 201);
    for (let round = 0; round < ROUNDS; round += 1) {
      const names = [0, 1, 2].map((n) => [n === 0 ? 'killed/app' : `killed/new-${round}-${n}`, image(round * 3 + n)] as const);
      const pushes = names.map(([name, content]) => pusher.image(name, `tag-${round}`, content).catch(() => undefined));
      await delay(Math.random() * 400);
      deckle.killGroup('SIGKILL');
      const answered = await Promise.all(pushes);
      assert.deepEqual(faults(deckle), []);
      deckle = await installation.start();
      for (const [n, [name, content]] of names.entries()) {
        const served = await pusher.pull(name, `tag-${round}`);
        if (answered[n] === 201) assert.equal(served, content.digest);
        else assert.ok(served === undefined || served === content.digest, `${served}`);
        for (const { digest } of content.blobs) assert.ok([digest, undefined].includes(await pusher.servedBlob(name, digest)));
        assert.equal(await pusher.image(name, `tag-${round}`, content), 201);
        assert.equal(await pusher.pull(name, `tag-${round}`), content.digest);
      }
    }
    assert.equal(await pusher.pull('killed/app', 'base'), image(-1).digest);
    const { body } = await installation.request('GET', BLOBS);
    const { results } = body as { results: { digest: string }[] };
    const stored = new Set(await filesBelow(installation.dataDir, 'artifact'));
    for (const { digest } of results) assert.ok(stored.has(digest.slice('sha256:'.length + 2)), digest);
    assert.deepEqual(faults(deckle), []);
  });
});

const ROOM = 24 * MiB;
const disk = mountDisk(ROOM);

describe('the disk is full', { skip: disk === undefined && CANNOT_MOUNT }, () => {
  const folder = disk as string;
  const name = 'full/app';
  let installation: Installation;
  let postgres: EmbeddedPostgres;
  let deckle: DeckleProcess;
  let pusher: Pusher;
  const database = mkdtempSync(join(tmpdir(), 'deckle-full-'));
  before(async () => {
    postgres = await startPostgres({ folder: database, log: pino({ level: 'fatal' }), durable: false });
    const settings = { ...SETTINGS, DATABASE_URL: postgres.url, DATA_DIR: join(folder, 'data'), DECKLE_FREE_SPACE_MB: '0' };
    installation = await createInstallation(settings);
    deckle = await installation.start();
    pusher = new Pusher(installation.url);
  });
  after(async () => {
    await installation?.remove();
    await postgres?.stop();
    removePostgres(database);
    await unmount(folder);
  });

  const DATA = join(folder, 'data');
  const left = async (): Promise<number> => (await filesBelow(DATA, 'tmp')).length + (await filesBelow(DATA, 'push')).length;

  test('during an upload, in every way: 507, nothing stays of it, and what there is room for goes on', async () => {
    const small = simpleImage('full');
    assert.equal(await pusher.image(name, 'small', small), 201);
    const { bsize, bfree } = statfsSync(folder);
    const bytes = randomBytes(bsize * bfree + MiB);
    const digest = digestOf(bytes);
    /** Without a length, it is only learned while it comes. */
    const streamed = async (method: string, path: string): Promise<Response> =>
      fetch(`${installation.url}${path}`, {
        method,
        headers: { authorization: `Basic ${btoa('admin:password')}` },
        body: new Blob([bytes]).stream(),
        duplex: 'half',
      } as RequestInit);
    const begin = async (): Promise<string> =>
      (await pusher.ask('POST', `${name}/blobs/uploads/`)).headers.get('location') as string;
    const ways: Readonly<Record<string, () => Promise<Response>>> = {
      'one request': () => pusher.ask('POST', `${name}/blobs/uploads/?digest=${digest}`, bytes),
      'one request of no stated length': () => streamed('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`),
      'a chunk': async () => pusher.ask('PATCH', await begin(), bytes),
      'a chunk of no stated length': async () => streamed('PATCH', await begin()),
      'the end of an upload': async () => streamed('PUT', `${await begin()}?digest=${digest}`),
    };
    for (const [way, ask] of Object.entries(ways)) {
      const response = await ask();
      assert.equal(response.status, 507, way);
      assert.equal(await codeOf(response), 'DENIED', way);
      assert.equal(await left(), 0, way);
      assert.equal(await pusher.servedBlob(name, digest), undefined, way);
      assert.equal(await pusher.pull(name, 'small'), small.digest, way);
      assert.equal(await pusher.image(name, `after-${way.replaceAll(' ', '-')}`, simpleImage(way)), 201, way);
    }
    makeRoom(folder, 2 * bytes.length);
    assert.equal(await pusher.blob(name, bytes), 201);
    assert.equal(await pusher.servedBlob(name, digest), digest);
    assert.deepEqual(faults(deckle), []);
  });
});

describe('PostgreSQL is away', () => {
  const folder = mkdtempSync(join(tmpdir(), 'deckle-away-'));
  const log = pino({ level: 'fatal' });
  let postgres: EmbeddedPostgres;
  let installation: Installation;
  let pusher: Pusher;
  before(async () => {
    postgres = await startPostgres({ folder, log, durable: false });
    installation = await createInstallation({ ...SETTINGS, DATABASE_URL: postgres.url });
    await installation.start();
    pusher = new Pusher(installation.url);
  });
  after(async () => {
    await installation?.remove();
    await postgres?.stop();
    removePostgres(folder);
  });

  test('during a push: each request is answered 503 and when to try again, and then goes on where it was', async () => {
    const name = 'away/app';
    const image = imageOf({ layers: [largeLayer('away', MiB)] });
    const [config, layer] = image.blobs.map(bytesOf) as [Buffer, Buffer];
    assert.equal(await pusher.blob(name, config), 201);
    const begun = await pusher.ask('POST', `${name}/blobs/uploads/`);
    const location = begun.headers.get('location') as string;
    const half = layer.length / 2;
    assert.equal((await pusher.ask('PATCH', location, layer.subarray(0, half))).status, 202);
    const steps: readonly (() => Promise<Response>)[] = [
      () => pusher.ask('POST', `${name}/blobs/uploads/`),
      () => pusher.ask('PATCH', location, layer.subarray(half)),
      () => pusher.ask('PUT', `${location}?digest=${digestOf(layer)}`),
      () => pusher.manifest(name, 'latest', image),
      () => pusher.manifest(name, image.digest, image),
      () => pusher.ask('DELETE', `${name}/manifests/latest`),
    ];
    await postgres.stop();
    for (const step of steps) {
      const response = await step();
      assert.equal(response.status, 503);
      assert.equal(response.headers.get('retry-after'), '2');
      assert.equal(await codeOf(response), 'UNAVAILABLE');
    }
    postgres = await startPostgres({ folder, log, durable: false, port: postgres.port });
    const expected = [202, 202, 201, 201, 201, 202];
    for (const [n, step] of steps.entries()) {
      const status = await eventually('the database is back', async () => {
        const response = await step();
        return response.status !== 503 && response.status;
      });
      assert.equal(status, expected[n], `${n}`);
      if (n === 3) assert.equal(await pusher.pull(name, 'latest'), image.digest);
    }
  });

  test('at any moment of pushes: those that are tried again succeed', async () => {
    for (let round = 0; round < 5; round += 1) {
      const images = [0, 1, 2].map((n) => imageOf({ layers: [largeLayer(`away ${round} ${n}`, MiB)] }));
      const pushes = images.map((image, n) => pusher.image(`away/app-${n}`, `tag-${round}`, image));
      await delay(Math.random() * 200);
      process.kill(postgres.pid, 'SIGKILL');
      const statuses = await Promise.all(pushes);
      for (const status of statuses) assert.ok([201, 503].includes(status), `${status}`);
      postgres = await startPostgres({ folder, log, durable: false, port: postgres.port });
      await eventually('it is back', async () => (await pusher.ask('GET', '/pulp/api/v3/tasks/')).status === 200);
      for (const [n, image] of images.entries()) {
        const again = await eventually('it can be pushed', async () => {
          const status = await pusher.image(`away/app-${n}`, `tag-${round}`, image);
          return status !== 503 && status;
        });
        assert.equal(again, 201);
        assert.equal(await pusher.pull(`away/app-${n}`, `tag-${round}`), image.digest);
      }
    }
  });
});
