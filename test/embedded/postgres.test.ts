import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/postgres.ts';
import { isAlive } from '../../src/embedded/postgres-folder.ts';

const log = pino({ level: 'silent' });

async function ask(url: string, statement: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query({ text: statement, rowMode: 'array' });
    return rows[0]?.[0];
  } finally {
    await client.end();
  }
}

describe('the embedded PostgreSQL', () => {
  let parent: string;
  let folder: string;
  const servers: EmbeddedPostgres[] = [];
  const start = async (options: Partial<Parameters<typeof startPostgres>[0]> = {}) => {
    const server = await startPostgres({ folder, log, ...options });
    servers.push(server);
    return server;
  };
  before(async () => {
    // Private, as /root is: the account that runs PostgreSQL in place of root cannot walk through it.
    parent = await mkdtemp(join(tmpdir(), 'deckle-postgres-'));
    folder = join(parent, 'postgres');
  });
  after(async () => {
    for (const server of servers) await server?.stop();
    await rm(parent, { recursive: true });
  });

  test('is one server for all who start it at the same time, the first time too', async () => {
    const [first, ...others] = await Promise.all([start(), start(), start()]);
    for (const other of others) assert.equal(other.pid, first.pid);
    assert.deepEqual(
      [first, ...others].map(({ adopted }) => adopted).filter((adopted) => !adopted),
      [false],
    );
  });

  test('is durable, listens on loopback only, and lets nobody in without its password', async () => {
    const { superuserUrl, port } = await start();
    assert.equal(await ask(superuserUrl, 'show fsync'), 'on');
    assert.equal(await ask(superuserUrl, 'show data_checksums'), 'on');
    assert.equal(await ask(superuserUrl, 'show listen_addresses'), '127.0.0.1');
    await assert.rejects(ask(`postgresql://postgres:guess@127.0.0.1:${port}/postgres`, 'select 1'), { code: '28P01' });
    assert.equal((await stat(join(folder, 'password'))).mode & 0o777, 0o600);
    assert.equal((await stat(join(folder, 'data'))).mode & 0o777, 0o700);
  });

  test('gives the application a role that is no superuser and owns its database', async () => {
    const { url } = await start();
    assert.equal(await ask(url, 'select current_user'), 'deckle');
    assert.equal(
      await ask(url, 'select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user'),
      false,
    );
    assert.equal(await ask(url, "select pg_get_userbyid(datdba) from pg_database where datname = 'deckle'"), 'deckle');
  });

  test('keeps text of every language in order of its code points, and knows its letters', async () => {
    const { url } = await start();
    assert.equal(await ask(url, "select lower('ÄÖ') || upper('é')"), 'äöÉ');
    assert.equal(await ask(url, "select string_agg(x, '' order by x) from unnest(array['b','A','a','B']) x"), 'ABab');
  });

  test('keeps rows and port over a stop, and over a kill', async () => {
    const first = await start();
    await ask(first.url, "create table kept as select 'here' as what");
    await first.stop();
    assert.ok(!isAlive(first.pid));
    const second = await start();
    assert.equal(second.port, first.port);
    process.kill(second.pid, 'SIGKILL');
    const third = await start();
    assert.notEqual(third.pid, second.pid);
    assert.equal(await ask(third.url, 'select what from kept'), 'here');
  });

  test('starts although its lock file names a process that is another program now', {
    skip: process.platform !== 'linux' && 'needs /proc',
  }, async () => {
    const server = await start();
    const file = join(folder, 'data', 'postmaster.pid');
    const lines = (await readFile(file, 'utf8')).split('\n');
    await server.stop();
    await writeFile(file, [process.pid, ...lines.slice(1)].join('\n'));
    const next = await start();
    assert.equal(await ask(next.url, 'select what from kept'), 'here');
  });

  test('of a copied folder is not that of the original', { skip: process.platform !== 'linux' && 'needs /proc' }, async () => {
    const original = await start();
    const copy = join(parent, 'copy');
    // The lock file comes along; a copy of a server at work is recovered like one that was killed.
    await cp(folder, copy, { recursive: true });
    const other = await start({ folder: copy });
    assert.notEqual(other.pid, original.pid);
    assert.notEqual(other.port, original.port);
    assert.equal(await ask(original.url, 'select what from kept'), 'here');
  });
});
