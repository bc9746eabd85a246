import assert from 'node:assert/strict';
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { sql } from '../../../src/db/sql.ts';
import { eventually } from '../../queue/eventually.ts';
import { type RedisServer, startRedis } from '../../queue/redis-server.ts';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';

const READY = '/pulp/api/v3/readyz/';
const STATUS = '/pulp/api/v3/status/';

const skip = missing('redis-server');
let redis: RedisServer;
let app: TestApp;
before(async () => {
  if (skip) return;
  redis = await startRedis();
  app = await startApp({ worker: false, env: { REDIS_URL: redis.url } });
});
after(async () => {
  await app?.stop();
  await redis?.remove();
});

const ask = (path = READY): Promise<Answer> => app.request('GET', path, undefined, { user: null });

/** The answer once nothing is wrong: a state is looked up at most once a second. */
const ready = () =>
  eventually('the server is ready', async () => {
    const { status, body } = await ask();
    return status === 200 ? body : undefined;
  });

/** Does harm, awaits that the server says so of exactly these parts, and mends it. */
async function unready(
  parts: readonly string[],
  harm: () => Promise<unknown>,
  mend: () => Promise<unknown>,
): Promise<Answer['body']> {
  assert.deepEqual(await ready(), { ready: true, problems: {} });
  await harm();
  try {
    const answer = await eventually('the server says that it is not ready', async () => {
      const { status, body } = await ask();
      return status === 503 ? body : undefined;
    });
    assert.equal(answer.ready, false);
    assert.deepEqual(Object.keys(answer.problems).sort(), [...parts].sort(), JSON.stringify(answer));
    const { status, body } = await ask(STATUS);
    assert.deepEqual([status, body.health.ready], [200, false]);
    return { ...answer.problems, health: body.health };
  } finally {
    await mend();
    await ready();
  }
}

test('a queue that is away is named', { skip }, async () => {
  const { health } = await unready(
    ['queue'],
    () => redis.stop(),
    () => redis.start(),
  );
  assert.equal(health.queue.connected, false);
});

test('a storage that cannot be written is named', { skip }, async () => {
  // The folder that files are written in before they have a name: without it nothing can be stored, whoever asks.
  const media = join(app.services.config.DATA_DIR, 'media');
  const folder = (await readdir(media)).find((name) => /temp|tmp|pending/.test(name));
  assert.ok(folder, (await readdir(media)).join());
  const place = join(media, folder);
  const { health } = await unready(
    ['storage'],
    () => rename(place, `${place}-away`),
    () => rename(`${place}-away`, place),
  );
  assert.equal(health.storage.writable, false);
});

test('a migration that is lacking is named, with what to do', { skip }, async () => {
  const { db } = app.services;
  const [last] = await db.query<{ migration_name: string }>(
    sql`select migration_name from _prisma_migrations order by migration_name desc limit 1`,
  );
  const rename = (from: string, to: string) =>
    db.execute(sql`update _prisma_migrations set migration_name = ${to} where migration_name = ${from}`);
  const name = last?.migration_name ?? '';
  const { migrations } = await unready(
    ['migrations'],
    () => rename(name, `${name}-not`),
    () => rename(`${name}-not`, name),
  );
  assert.match(migrations, new RegExp(`lacks migration ${name}; run .deckle migrate.`));
});

test('a database that is away is named, and what rests on it', { skip }, async () => {
  const url = new URL(app.services.config.DATABASE_URL ?? '');
  const name = url.pathname.slice(1);
  url.pathname = '/postgres';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  const allow = (whether: boolean) => client.query(`alter database "${name}" allow_connections ${whether}`);
  try {
    const { health } = await unready(
      ['database', 'migrations'],
      async () => {
        await allow(false);
        await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
      },
      () => allow(true),
    );
    assert.deepEqual(
      [health.database.connected, health.database.latency_milliseconds, health.queue.waiting],
      [false, null, null],
    );
  } finally {
    await client.end();
  }
});

test('the status tells what waits, for how long, and who is missing', { skip }, async () => {
  const { db } = app.services;
  const { body: repository } = await app.request('POST', '/pulp/api/v3/repositories/container/container/', { name: 'status' });
  // A delete is left to a worker, and there is none.
  const { body: dispatched } = await app.request('DELETE', repository.pulp_href);
  const id = dispatched.task.split('/').at(-2);
  await db.execute(sql`update task set unblocked_at = now() - interval '100 s' where id = ${id}::uuid`);
  await db.execute(sql`
    insert into worker (id, app_type, name, last_heartbeat) values
      (gen_random_uuid(), 'worker', 'gone@host', now() - interval '1 min'), (gen_random_uuid(), 'worker', 'here@host', now() + interval '1 h')`);
  // What is looked up is kept for a second: it may be from before the last of these changes.
  const health = await eventually('the worker that is gone is counted', async () => {
    const { body } = await ask(STATUS);
    return body.health.workers.missing > 0 ? body.health : undefined;
  });
  assert.deepEqual([health.ready, health.queue.running, health.workers], [true, 0, { online: 1, missing: 1 }]);
  assert.equal(health.queue.waiting, 1);
  assert.ok(health.queue.oldest_runnable_seconds >= 100 && health.queue.oldest_runnable_seconds < 200);
  assert.ok(health.database.latency_milliseconds > 0 && health.storage.free > 0 && health.storage.writable);
});
