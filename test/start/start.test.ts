import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isAlive } from '../../src/embedded/postgres-folder.ts';
import { eventually } from '../queue/eventually.ts';
import { createInstallation, type DeckleProcess, type Installation, runDeckle } from '../support/deckle-process.ts';

const REPOSITORIES = '/pulp/api/v3/repositories/container/container/';

describe('deckle start', () => {
  let installation: Installation;
  let deckle: DeckleProcess;
  before(async () => {
    installation = await createInstallation({ DECKLE_SERVERS: '2' });
  });
  after(() => installation?.remove());

  const repositories = async () => {
    const { body } = await installation.request('GET', REPOSITORIES);
    return (body as { results: { name: string }[] }).results.map(({ name }) => name);
  };
  const answers = () =>
    eventually('the API answers', async () => {
      const answer = await installation.request('GET', REPOSITORIES).catch(() => undefined);
      return answer?.status === 200;
    });

  test('says where it is, how to log in and what to try', async () => {
    deckle = await installation.start();
    const output = deckle.output();
    assert.ok(output.includes(`Deckle is ready at ${installation.url}`), output);
    assert.match(output, /user admin, password password/);
    assert.equal((await fetch(`${installation.url}${REPOSITORIES}`)).status, 401);
    assert.equal((await installation.request('POST', REPOSITORIES, { name: 'kept' })).status, 201);
  });

  test('a second start on the same folder says so and ends; the first goes on', async () => {
    const second = runDeckle(['start'], { ...installation.env, PORT: '0' });
    assert.equal(await second.exit, 1);
    assert.match(second.errors(), new RegExp(`^deckle: Deckle already runs on .*process ${deckle.pid}.*\n$`));
    assert.deepEqual(await repositories(), ['kept']);
  });

  test('Ctrl-C stops every process, the database included', async () => {
    const { api, workers } = await installation.processes();
    const pids = [...api, ...workers, await installation.postgresPid()];
    assert.equal(api.length, 2);
    assert.equal(workers.length, 2);
    deckle.killGroup('SIGINT');
    deckle.kill('SIGINT'); // npm hands the signal on
    assert.equal(await deckle.exit, 0, deckle.output());
    assert.deepEqual(pids.filter(isAlive), []);
    assert.doesNotMatch(deckle.output(), /"level":"(warn|error|fatal)"/);
  });

  test('the next start finds everything again', async () => {
    deckle = await installation.start();
    assert.deepEqual(await repositories(), ['kept']);
  });

  test('a server that is killed is replaced, and the other goes on', async () => {
    const { api } = await installation.processes();
    process.kill(api[0] as number, 'SIGKILL');
    await answers();
    await eventually('there are two servers again', async () => {
      // A connection that is kept may have been to the one that is no more.
      const now = (await installation.processes().catch(() => undefined))?.api;
      return now?.length === 2 && !now.includes(api[0] as number);
    });
  });

  test('servers that are all killed are replaced', async () => {
    const { api } = await installation.processes();
    for (const pid of api) process.kill(pid, 'SIGKILL');
    await answers();
    assert.deepEqual(await repositories(), ['kept']);
  });

  test('a worker that is killed is replaced', async () => {
    const { workers } = await installation.processes();
    const killed = workers[0] as number;
    process.kill(killed, 'SIGKILL');
    await eventually('there are two workers again', async () => {
      const now = (await installation.processes()).workers;
      return now.length === 2 && !now.includes(killed);
    });
  });

  test('a PostgreSQL that is killed is started again, and everybody connects anew', async () => {
    const before = await installation.postgresPid();
    process.kill(before, 'SIGKILL');
    await eventually('another PostgreSQL runs', async () => {
      const pid = await installation.postgresPid().catch(() => before);
      return pid !== before && isAlive(pid);
    });
    await answers();
    assert.deepEqual(await repositories(), ['kept']);
  });

  test('when it is killed its processes end, and the next start takes the database over', async () => {
    const { api, workers } = await installation.processes();
    const postgres = await installation.postgresPid();
    deckle.kill('SIGKILL');
    assert.equal(await deckle.exit, null);
    assert.ok(![...api, ...workers].some(isAlive), deckle.output());
    assert.ok(isAlive(postgres));
    deckle = await installation.start();
    assert.equal(await installation.postgresPid(), postgres);
    assert.deepEqual(await repositories(), ['kept']);
  });

  test('when everything is killed, the next start works', async () => {
    const postgres = await installation.postgresPid();
    process.kill(postgres, 'SIGKILL');
    deckle.killGroup('SIGKILL');
    await deckle.exit;
    deckle = await installation.start();
    assert.deepEqual(await repositories(), ['kept']);
  });

  for (const others of [['server'], ['workers'], ['postgres'], ['server', 'workers']] as const) {
    test(`when it is killed together with ${others.join(' and ')}, the next start, at once, works`, async () => {
      const { api, workers } = await installation.processes();
      const pids = { server: api, workers, postgres: [await installation.postgresPid()] };
      for (const pid of others.flatMap((name) => pids[name])) process.kill(pid, 'SIGKILL');
      deckle.kill('SIGKILL');
      const killed = deckle;
      deckle = await installation.start();
      assert.deepEqual(await repositories(), ['kept']);
      await killed.exit;
      assert.ok(![...api, ...workers].some(isAlive), 'nothing of the killed one is left');
      await eventually('two workers and two servers are at work', async () => {
        const now = await installation.processes();
        return now.api.length === 2 && now.workers.length === 2;
      });
    });
  }

  test('when it is killed while its processes start, none of them stays', async () => {
    deckle.kill('SIGTERM');
    assert.equal(await deckle.exit, 0);
    const starting = runDeckle(['start'], installation.env);
    await eventually('the first worker is up', () => starting.output().includes('worker runs tasks'));
    starting.kill('SIGKILL');
    await starting.exit;
    deckle = await installation.start();
    assert.deepEqual(await repositories(), ['kept']);
  });

  test('a port in use is one clear line, and nothing stays behind', async () => {
    deckle.kill('SIGTERM');
    assert.equal(await deckle.exit, 0);
    const port = Number(installation.env.PORT);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const refused = runDeckle(['start'], installation.env);
    assert.equal(await refused.exit, 1);
    await new Promise((resolve) => other.close(resolve));
    assert.equal(
      refused.errors(),
      `deckle: PORT: ${port} of 127.0.0.1 is in use by another program; stop it, or choose another PORT\n`,
    );
    await assert.rejects(installation.postgresPid(), { code: 'ENOENT' });
  });
});

test('killed while it makes its database for the first time, it makes it the next time', async () => {
  const installation = await createInstallation();
  const first = runDeckle(['start'], installation.env);
  const folder = join(installation.dataDir, 'postgres');
  const inFolder = () => readdir(folder).catch((): string[] => []);
  await eventually('the database is being made', async () => (await inFolder()).some((name) => name.startsWith('data.new-')));
  first.killGroup('SIGKILL');
  await first.exit;
  assert.ok(!(await inFolder()).includes('data'), 'it was half made');
  await installation.start();
  assert.equal((await installation.request('GET', REPOSITORIES)).status, 200);
  assert.ok(!(await inFolder()).some((name) => name.startsWith('data.new-')));
  await installation.remove();
});

describe('what stops a start', () => {
  const refusals = [
    ['a wrong setting', { PORT: 'eighty' }, /^deckle: PORT: .*"eighty".*\n$/],
    [
      'a folder that cannot be made',
      { DATA_DIR: '/dev/null/data' },
      /^deckle: DATA_DIR: \/dev\/null\/data cannot be written to \(ENOTDIR\).*\n$/,
    ],
    [
      'a database that does not answer',
      { DATABASE_URL: 'postgresql://nobody:secret@127.0.0.1:1/none' },
      /^deckle: DATABASE_URL: PostgreSQL at 127\.0\.0\.1:1 does not answer \(ECONNREFUSED\)\n$/,
    ],
  ] as const;
  for (const [what, env, expected] of refusals) {
    test(`${what} is one line that names it`, async () => {
      const installation = await createInstallation();
      const deckle = runDeckle(['start'], { ...installation.env, ...env });
      assert.equal(await deckle.exit, 1);
      assert.match(deckle.errors(), expected);
      await installation.remove();
    });
  }
});
