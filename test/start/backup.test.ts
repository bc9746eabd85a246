import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { type Mirror, startMirror } from '../bad-luck/mirror.ts';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { runDeckle } from '../support/deckle-process.ts';
import { simpleImage } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { type OstreeFixture, ostree, ostreeFixture } from '../support/ostree-fixtures.ts';
import { createDatabase } from '../support/postgres.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { OstreeUpstream } from '../support/upstream-ostree.ts';
import { startUpstream } from '../support/upstream-registry.ts';

const API = '/pulp/api/v3/';
const EMBEDDED = { DATABASE_URL: '' };

/** Runs a command to its end. */
async function outcome(args: readonly string[], env: Readonly<Record<string, string>>) {
  const run = runDeckle(args, { LOG_LEVEL: 'error', ...env });
  const code = await run.exit;
  return { code, output: run.output(), errors: run.errors() };
}

/** A command that has to succeed; what it printed. */
async function done(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const { code, output } = await outcome(args, env);
  assert.equal(code, 0, output);
  return output;
}

const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

const filesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe('deckle backup and deckle restore', { skip: missing('ostree') }, () => {
  const images = { one: simpleImage('backup one'), two: simpleImage('backup two') };
  const held = simpleImage('backup held');
  let folder: string;
  let target: string;
  let source: Mirror;
  let restored: Mirror | undefined;
  let fixture: OstreeFixture;
  let upstream: OstreeUpstream;
  let repository: string;
  let remote: string;
  let trees: string;
  let treesPath: string;
  let token: string;
  let seen: unknown;
  /** Opened when the sync that ran may run again. */
  const again = gate();

  const get = async (mirror: Mirror, path: string, user = 'admin:password') => {
    const response = await fetch(`${mirror.installation.url}${path}`, { headers: { authorization: `Basic ${btoa(user)}` } });
    return { status: response.status, body: (await response.json()) as { count: number; results: Record<string, unknown>[] } };
  };
  /** What the API tells of everything that lasts. */
  const everything = async (mirror: Mirror) => {
    const lists = [
      'repositories',
      'remotes',
      'distributions',
      'repository_versions',
      'content/container/tags',
      'content/ostree/refs',
    ];
    const more = [
      'users',
      'groups',
      'roles',
      'api-tokens',
      'content/container/blobs',
      'content/ostree/commits',
      'access_policies',
    ];
    const shown = await Promise.all(
      [...lists, ...more].map(async (name) => {
        const { body } = await get(mirror, `${API}${name}/?limit=1000`);
        const own = `${mirror.installation.url}/`;
        const rows = JSON.parse(JSON.stringify(body.results).replaceAll(own, '/')) as Record<string, unknown>[];
        return [name, body.count, rows] as const;
      }),
    );
    // What follows from the address of the server, and from having just logged in.
    return shown.map(([name, count, rows]) => [
      name,
      count,
      rows.map(({ last_login, last_used_at, base_url, registry_path, ...row }) => row),
    ]);
  };
  const assertServed = async (mirror: Mirror): Promise<void> => {
    await mirror.pullAll(repository, images);
    const client = await mkdtemp(join(folder, 'client-'));
    await ostree(client, 'init', '--mode=archive');
    await ostree(client, 'remote', 'add', '--no-gpg-verify', 'deckle', `${mirror.installation.url}/pulp/content/${treesPath}/`);
    await ostree(client, 'pull', '--mirror', 'deckle');
    await ostree(client, 'fsck');
    for (const [ref, commit] of fixture.refs) assert.equal((await ostree(client, 'rev-parse', ref)).trim(), commit);
  };
  /** The backup that was made first. */
  const theBackup = async (): Promise<string> => join(target, (await readdir(target)).sort()[0] as string);
  const inUnusedFolder = (name: string) => ({ DATA_DIR: join(folder, name) });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-backup-'));
    target = join(folder, 'backups');
    fixture = await ostreeFixture('small', join(folder, 'upstream'));
    upstream = await OstreeUpstream.start(fixture.path);
    source = await startMirror(EMBEDDED);
    for (const [tag, image] of Object.entries(images)) source.upstream.put('app', image, tag);
    source.upstream.put('held', held, 'late');
    repository = await source.repository();
    remote = await source.remote('app', { username: 'robot', password: 'kept secret' });
    await source.synced(repository, remote);
    trees = await source.create('repositories/ostree/ostree/', { name: 'trees' });
    await source.synced(trees, await source.create('remotes/ostree/ostree/', { name: 'trees', url: upstream.url }));
    treesPath = await source.distribute('ostree/ostree', trees);
    const ada = await source.create('users/', { username: 'ada', password: 'correct horse' });
    const group = await source.create('groups/', { name: 'readers' });
    await source.create(`${group.slice(API.length)}users/`, { username: 'ada' });
    await source.create(`${group.slice(API.length)}roles/`, {
      role: 'container.containerrepository_viewer',
      content_object: repository,
    });
    const made = await source.installation.request('POST', `${API}api-tokens/`, { name: 'ci', user: ada });
    token = (made.body as { token: string }).token;
  });
  after(async () => {
    again.open();
    if (restored) {
      restored.deckle.kill('SIGTERM');
      await restored.deckle.exit;
      await restored.stop();
    }
    await source.stop();
    await upstream.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('a backup is made while a sync and pulls run', async () => {
    await source.pullAll(repository, images);
    const open = gate();
    const fault = source.upstream.fault({ repository: 'held', kind: 'blob', fault: FAULTS.held(open.passed) });
    const task = await source.begin(await source.repository(), await source.remote('held'));
    await eventually('the sync is held', () => fault.hits > 0);
    seen = await everything(source);
    let pulling = true;
    const pulls = (async () => {
      while (pulling) await source.pullAll(repository, images);
    })();
    const output = await done(['backup', target], source.installation.env);
    pulling = false;
    await pulls;
    assert.match(output, /keys +are in it/);
    open.open();
    assert.equal((await source.ended(task)).state, 'completed');
  });

  test('only its owner may read it; SHA256SUMS names what it holds beside the stored files', async () => {
    const backup = await theBackup();
    assert.equal(await mode(backup), 0o700);
    for (const file of await filesIn(backup)) assert.equal(await mode(file), 0o600, file);
    const sums = (await readFile(join(backup, 'SHA256SUMS'), 'utf8'))
      .match(/ {2}.*$/gm)
      ?.map((name) => join(backup, name.trim()));
    const held = (await filesIn(backup)).filter(
      (file) => !file.startsWith(join(backup, 'media')) && !file.endsWith('SHA256SUMS'),
    );
    assert.deepEqual(sums?.sort(), held.sort());
    assert.match(await done(['restore', target, '--check'], inUnusedFolder('none')), /^The backup is whole\./);
  });

  test('the next one copies what is new alone, and both are whole', async () => {
    const output = await done(['backup', target, '--without-keys'], source.installation.env);
    assert.match(output, /keys +ARE NOT IN IT/);
    // The layer, and the config, of the image that was held.
    assert.match(output, /files .*; 2 of \d+ bytes were copied/);
    const [first, second, ...more] = (await readdir(target)).sort();
    assert.deepEqual(more, []);
    for (const name of [first, second]) await done(['restore', join(target, name as string), '--check'], inUnusedFolder('none'));
    assert.deepEqual(await readdir(join(target, second as string)), [
      'SHA256SUMS',
      'backup.json',
      'database',
      'files.tsv',
      'media',
    ]);
    await rm(join(target, second as string), { recursive: true });
    await done(['restore', target, '--check'], inUnusedFolder('none'));
  });

  test('one that was broken off is looked through by the next: what it has whole is not copied again', async () => {
    const other = join(folder, 'broken-off');
    await done(['backup', other], source.installation.env);
    const [name] = (await readdir(other)) as [string];
    await rename(join(other, name), join(other, '.unfinished'));
    const [spoilt] = (await filesIn(join(other, '.unfinished/media'))) as [string];
    await writeFile(spoilt, (await readFile(spoilt)).fill(0));
    assert.match(await done(['backup', other], source.installation.env), /files .*; 1 of \d+ bytes were copied/);
    await done(['restore', other, '--check'], inUnusedFolder('none'));
    assert.equal((await readdir(other)).length, 1);
  });

  test('a backup into DATA_DIR itself is refused', async () => {
    const { code, errors } = await outcome(['backup', join(source.installation.dataDir, 'backups')], source.installation.env);
    assert.equal(code, 1);
    assert.match(errors, /is inside DATA_DIR, and would be lost with it\n$/);
  });

  test('a flipped byte and a missing file are named, and nothing is restored', async () => {
    const backup = await theBackup();
    const inMedia = (await filesIn(join(backup, 'media'))).sort();
    const inDatabase = join(backup, 'database/content.copy.gz');
    for (const path of [inMedia[0] as string, inDatabase]) {
      const whole = await readFile(path);
      const name = path.slice(backup.length + 1).replaceAll('.', '\\.');
      const assertRefused = async (what: string) => {
        const env = inUnusedFolder('damaged');
        for (const args of [
          ['restore', backup],
          ['restore', backup, '--check'],
        ]) {
          const { code, errors } = await outcome(args, env);
          assert.equal(code, 1);
          assert.match(errors, new RegExp(`^deckle: the backup .* is damaged: ${name} ${what}\n$`));
        }
        await assert.rejects(stat(env.DATA_DIR), { code: 'ENOENT' });
      };
      const flipped = Buffer.from(whole);
      flipped[whole.length >> 1] = (flipped[whole.length >> 1] as number) ^ 1;
      // In its place: the next backup shares the file.
      const write = async (bytes: Buffer) => {
        const file = await open(path, 'r+');
        await file.write(bytes, 0, bytes.length, 0);
        await file.close();
      };
      await write(flipped);
      await assertRefused('is not what was written');
      await rm(path);
      await assertRefused('is missing');
      await writeFile(path, whole, { mode: 0o600 });
    }
    await done(['restore', backup, '--check'], inUnusedFolder('none'));
  });

  test('a place that is not empty is refused, and left as it is', async () => {
    const env = inUnusedFolder('used');
    await mkdir(env.DATA_DIR);
    await writeFile(join(env.DATA_DIR, 'notes.txt'), 'mine');
    const full = await outcome(['restore', target], env);
    assert.equal(full.code, 1);
    assert.match(full.errors, /used is not empty \(notes\.txt\); a backup is restored into an empty folder only/);
    assert.deepEqual(await readdir(env.DATA_DIR), ['notes.txt']);

    const database = await createDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(`insert into app_group (name) values ('somebody')`);
    await client.end();
    const other = { ...inUnusedFolder('other'), DATABASE_URL: database.url };
    const taken = await outcome(['restore', target], other);
    assert.deepEqual(
      [taken.code, taken.errors],
      [1, 'deckle: DATABASE_URL: the database is not empty; a backup is restored into an empty one only\n'],
    );
    await assert.rejects(stat(other.DATA_DIR), { code: 'ENOENT' });
    await database.drop();
    const strange = await outcome(['restore', folder], inUnusedFolder('none'));
    assert.match(strange.errors, /is no backup, and there is none in it/);
  });

  test('the source is destroyed; what is restored is the same to everybody', async () => {
    await source.installation.remove();
    const env = inUnusedFolder('restored');
    await mkdir(join(env.DATA_DIR, 'media'), { recursive: true }); // as a volume of its own
    assert.match(await done(['restore', target], env), /^Restored into /m);
    source.upstream.fault({ repository: 'held', kind: 'blob', fault: FAULTS.held(again.passed) });
    restored = await startMirror({ ...EMBEDDED, ...env });
    assert.deepEqual(await everything(restored), seen);
    await assertServed(restored);
    const list = `${API}repositories/container/container/`;
    for (const secret of ['correct horse', token]) {
      const { status, body } = await get(restored, list, `ada:${secret}`);
      assert.equal(status, 200);
      assert.deepEqual(
        body.results.map(({ pulp_href }) => pulp_href),
        [repository],
      );
    }
    assert.equal((await get(restored, list, 'ada:wrong')).status, 401);
  });

  test('the sync that ran is run again, and the next ones work', async () => {
    const mirror = restored as Mirror;
    again.open();
    const { body } = await get(mirror, `${API}tasks/?name__contains=sync&ordering=pulp_created`);
    const task = await mirror.ended(String(body.results.at(-1)?.pulp_href));
    assert.equal(task.state, 'completed', task.error?.description);
    assert.deepEqual((await mirror.synced(repository, remote)).created_resources, [], 'it has everything');
    source.upstream.put('app', simpleImage('backup three'), 'three');
    await mirror.synced(repository, remote);
    assert.deepEqual(await mirror.versions(repository), [0, 1, 2]);
    await mirror.pullAll(repository, { ...images, three: simpleImage('backup three') });
  });
});

describe('an orphan cleanup while a backup runs', () => {
  let app: TestApp;
  let folder: string;
  before(async () => {
    app = await startApp();
    folder = await mkdtemp(join(tmpdir(), 'deckle-backup-'));
  });
  after(async () => {
    await app.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('removes no file that the backup has seen; the next one does; a second backup waits for its turn', async () => {
    const upstream = await startUpstream();
    upstream.put('app', simpleImage('orphan'), 'latest');
    const repository = await app.request('POST', `${API}repositories/container/container/`, { name: 'orphans' });
    const settings = { name: 'orphans', url: upstream.url, upstream_name: 'app', policy: 'immediate' };
    const remote = await app.request('POST', `${API}remotes/container/container/`, settings);
    await app.run(`${repository.body.pulp_href}sync/`, { remote: remote.body.pulp_href });
    await upstream.stop();
    await app.finished(await app.request('DELETE', repository.body.pulp_href));
    const { DATABASE_URL = '', DATA_DIR } = app.services.config;
    const env = { DATABASE_URL, DATA_DIR };

    // It has read the database's state, and cannot go on.
    const client = new pg.Client({ connectionString: DATABASE_URL });
    await client.connect();
    await client.query('begin; lock table signing_service in access exclusive mode');
    const running = runDeckle(['backup', folder], { LOG_LEVEL: 'error', ...env });
    await eventually('the backup waits', async () => {
      const { rows } = await client.query(`select from pg_locks where relation = 'signing_service'::regclass and not granted`);
      return rows.length > 0;
    });
    const second = await outcome(['backup', folder], env);
    assert.deepEqual([second.code, second.errors], [1, 'deckle: another backup of this database is running; wait for its end\n']);
    const beside = await app.run(`${API}orphans/cleanup/`, { orphan_protection_time: 0 });
    assert.equal(beside.state, 'completed');
    assert.deepEqual([beside.result.files, beside.result.files_left], [0, 2]);
    assert.equal((await app.request('GET', `${API}artifacts/`)).body.count, 0);
    await client.query('commit');
    await client.end();

    assert.equal(await running.exit, 0, running.output());
    assert.match(running.output(), /files +2 of \d+ bytes/);
    assert.match(await done(['restore', folder, '--check'], {}), /files +2 of \d+ bytes, each compared/);
    const afterwards = await app.run(`${API}orphans/cleanup/`, { orphan_protection_time: 0 });
    assert.deepEqual([afterwards.result.files, afterwards.result.files_left], [2, 0]);
  });

  test('a file that the storage lacks is named, and the backup of the rest is whole', async () => {
    const upload = new FormData();
    upload.append('file', new Blob(['soon lost']), 'lost');
    const response = await fetch(`${app.url}${API}artifacts/`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('admin:password')}` },
      body: upload,
    });
    assert.equal(response.status, 201);
    const { sha256, file } = (await response.json()) as { sha256: string; file: string };
    const { DATABASE_URL = '', DATA_DIR } = app.services.config;
    await rm(join(DATA_DIR, 'media', file));
    const target = join(folder, 'lacking');
    const { code, errors } = await outcome(['backup', target], { DATABASE_URL, DATA_DIR });
    assert.equal(code, 1);
    assert.match(errors, new RegExp(`is whole but for 1 files that the storage itself lacks or has damaged \\(${sha256}\\)`));
    const database = await createDatabase({ migrated: false });
    const env = { DATABASE_URL: database.url, DATA_DIR: join(folder, 'restored') };
    assert.match(await done(['restore', target], env), /LACKING +1 files/);
    await database.drop();
  });
});

test('a backup of an older Deckle is brought to this version', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-backup-'));
  const [older, other] = [await createDatabase({ migrated: false }), await createDatabase({ migrated: false })];
  await migrate(older.url, pino({ level: 'silent' }), readMigrations().slice(0, -1));
  const rows = async (url: string, statement: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(statement)).rows;
    } finally {
      await client.end();
    }
  };
  await rows(older.url, `insert into app_group (name) values ('elders')`);
  const source = join(folder, 'data');
  await mkdir(source);
  await done(['backup', join(folder, 'backups')], { DATABASE_URL: older.url, DATA_DIR: source });
  await done(['restore', join(folder, 'backups')], { DATABASE_URL: other.url, DATA_DIR: join(folder, 'restored') });
  assert.deepEqual(await rows(other.url, 'select id, name from app_group'), [{ id: 1, name: 'elders' }]);
  const applied = await rows(other.url, 'select migration_name as name from _prisma_migrations order by 1');
  assert.deepEqual(
    applied.map(({ name }) => name),
    readMigrations().map(({ name }) => name),
  );
  await older.drop();
  await other.drop();
  await rm(folder, { recursive: true });
});
