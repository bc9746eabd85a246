import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isAlive } from '../../src/embedded/postgres-folder.ts';
import { eventually } from '../queue/eventually.ts';
import { type DeckleProcess, runDeckle } from '../support/deckle-process.ts';
import { freePort } from '../support/free-port.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

/** Three processes are started from their sources, on a machine that may be busy. */
const START_MS = 60_000;

interface Status {
  readonly online_api_apps: readonly { readonly name: string }[];
  readonly health: { readonly servers: { readonly online: number; readonly missing: number } };
}

describe('deckle server with several processes', () => {
  let database: TestDatabase;
  let folder: string;
  let deckle: DeckleProcess;
  let env: Readonly<Record<string, string>>;
  let url: string;
  before(async () => {
    database = await createDatabase();
    folder = await mkdtemp(join(tmpdir(), 'deckle-servers-'));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    env = {
      DATABASE_URL: database.url,
      DATA_DIR: folder,
      PORT: String(port),
      DECKLE_SERVERS: '3',
      ADMIN_PASSWORD: 'password',
      DECKLE_LOG_FORMAT: 'json',
    };
    assert.equal(await runDeckle(['migrate'], env).exit, 0);
    deckle = runDeckle(['server'], env);
  });
  after(async () => {
    deckle?.kill('SIGKILL');
    await deckle?.exit;
    await rm(folder, { recursive: true, force: true });
    await database?.drop();
  });

  const status = async () => (await (await fetch(`${url}/pulp/api/v3/status/`)).json()) as Status;
  const pids = async () => (await status()).online_api_apps.map(({ name }) => Number.parseInt(name, 10)).filter(isAlive);
  const threeAtWork = (without?: number) =>
    eventually(
      'three servers are at work',
      async () => {
        const now = await pids().catch((): number[] => []);
        return now.length === 3 && !now.includes(without ?? 0) ? now : undefined;
      },
      START_MS,
    );

  test('answers on one port, and counts them', async () => {
    const running = await threeAtWork();
    assert.ok(!running.includes(deckle.pid), 'the one that supervises serves nothing');
    assert.deepEqual((await status()).health.servers, { online: 3, missing: 0 });
  });

  test('starts one that died again, while the others go on', async () => {
    const [victim = 0] = await pids();
    process.kill(victim, 'SIGKILL');
    await threeAtWork(victim);
    assert.match(deckle.output(), /"name":"server \d".*process ended by itself; starting it again/);
  });

  test('says in one line that the port is in use', async () => {
    const second = runDeckle(['server'], env);
    assert.equal(await second.exit, 1);
    assert.match(second.errors(), /^deckle: PORT: \d+ of 127\.0\.0\.1 is in use by another program; .*\n$/);
  });

  test('says in one line that the database is not set up', async () => {
    const empty = await createDatabase({ migrated: false });
    try {
      const second = runDeckle(['server'], { ...env, DATABASE_URL: empty.url, PORT: '0' });
      assert.equal(await second.exit, 1);
      assert.match(second.errors(), /^deckle: the database lacks migration .*\n$/);
    } finally {
      await empty.drop();
    }
  });

  test('answers what is at work when it is asked to stop, and then ends with all of them', async () => {
    const running = await pids();
    const body = JSON.stringify({ name: 'sent while stopping' });
    const request = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8');
    let answer = '';
    request.on('data', (text: string) => {
      answer += text;
    });
    request.write(
      `POST /pulp/api/v3/repositories/container/container/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${btoa('admin:password')}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    await eventually('a server is at the request', () => answer.startsWith('HTTP/1.1 100 '));
    deckle.kill('SIGTERM');
    await eventually(
      'all are stopping',
      () => deckle.output().match(/"process":"server \d"[^\n]*"msg":"stopping"/g)?.length === 3,
    );
    request.write(body);
    assert.equal(await deckle.exit, 0, deckle.output());
    assert.match(answer, /^HTTP\/1.1 201 /m);
    assert.deepEqual(running.filter(isAlive), []);
    const names = deckle.output().match(/"process":"server \d"[^\n]*"msg":"stopped"/g);
    assert.equal(names?.length, 3, 'each says that it has stopped');
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(Number(new URL(url).port), '127.0.0.1', resolve));
    listener.close();
  });
});

test('when the one that supervises is killed, the servers finish what they are at and end', async () => {
  const database = await createDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'deckle-servers-'));
  const port = await freePort();
  const env = { DATABASE_URL: database.url, DATA_DIR: folder, PORT: String(port), DECKLE_SERVERS: '2', LOG_LEVEL: 'info' };
  assert.equal(await runDeckle(['migrate'], env).exit, 0);
  const deckle = runDeckle(['server'], env);
  try {
    await eventually('it answers', async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/pulp/api/v3/readyz/`).catch(() => undefined);
      return answer?.ok;
    });
  } finally {
    deckle.kill('SIGKILL');
    await deckle.exit; // its children have its stdout
  }
  assert.match(deckle.output(), /"by":"supervisor is gone"/);
  await rm(folder, { recursive: true, force: true });
  await database.drop();
});
