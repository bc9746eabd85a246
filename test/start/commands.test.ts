import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { v7 } from 'uuid';
import { settings } from '../../src/config.ts';
import { verifyPassword } from '../../src/lib/password-hash.ts';
import { secretBox } from '../../src/lib/secret-box.ts';
import { loadSecretKeys } from '../../src/lib/secret-keys.ts';
import { eventually } from '../queue/eventually.ts';
import { runDeckle } from '../support/deckle-process.ts';
import { freePort } from '../support/free-port.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

/** Runs a command to its end. */
async function outcome(args: readonly string[], env: Readonly<Record<string, string>> = {}, input = '') {
  const run = runDeckle(args, { LOG_LEVEL: 'warn', ...env }, { input });
  const code = await run.exit;
  return { code, output: run.output(), errors: run.errors() };
}

describe('deckle', () => {
  test('--version', async () => {
    assert.deepEqual(await outcome(['--version']), { code: 0, output: 'deckle 0.1.0\n', errors: '' });
  });

  test('--help lists the commands and every setting with its description', async () => {
    const { code, output } = await outcome(['--help']);
    assert.equal(code, 0);
    for (const command of [
      'start',
      'server',
      'worker',
      'migrate',
      'admin',
      'rotate-keys',
      'backup',
      'restore',
      'signing-service',
    ])
      assert.ok(output.includes(`\n  ${command}`), command);
    for (const [name, setting] of Object.entries(settings)) {
      assert.ok(output.includes(`\n  ${name}`), name);
      assert.ok(output.includes(String(setting.meta()?.description)), name);
    }
  });

  test('each command explains itself and does nothing', async () => {
    for (const command of [
      'start',
      'server',
      'worker',
      'migrate',
      'admin',
      'rotate-keys',
      'backup',
      'restore',
      'signing-service',
    ]) {
      const { code, output } = await outcome([command, '--help'], { DATA_DIR: '/dev/null/none' });
      assert.equal(code, 0);
      assert.ok(output.startsWith(`Usage: deckle ${command}`), output);
    }
  });

  test('an unknown command or option is one line', async () => {
    assert.deepEqual(await outcome(['strat']), {
      code: 1,
      output: 'deckle: unknown command "strat"; see `deckle --help`\n',
      errors: 'deckle: unknown command "strat"; see `deckle --help`\n',
    });
    const { code, errors } = await outcome(['start', '--fast']);
    assert.equal(code, 1);
    assert.match(errors, /^deckle: Unknown option '--fast'.*\n$/);
  });
});

test('its first line, by which it is run where it is installed, makes for a modest heap', async () => {
  const source = await readFile(join(import.meta.dirname, '../../src/deckle.ts'), 'utf8');
  const folder = await mkdtemp(join(tmpdir(), 'deckle-program-'));
  const program = join(folder, 'program.mjs');
  const body = "import { getHeapStatistics } from 'node:v8';\nconsole.log(getHeapStatistics().heap_size_limit);\n";
  await writeFile(program, `${source.split('\n', 1)[0]}\n${body}`, { mode: 0o755 });
  const { stdout } = await promisify(execFile)(program);
  assert.ok(Number(stdout) < 1.1 * 2 ** 30, stdout);
  await rm(folder, { recursive: true });
});

describe("on a database of one's own", () => {
  let database: TestDatabase;
  let client: pg.Client;
  let dataDir: string;
  let env: Record<string, string>;
  before(async () => {
    database = await createDatabase({ migrated: false });
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    dataDir = await mkdtemp(join(tmpdir(), 'deckle-commands-'));
    env = { DATABASE_URL: database.url, DATA_DIR: dataDir };
  });
  after(async () => {
    await client?.end();
    await database?.drop();
    await rm(dataDir, { recursive: true });
  });
  const isPassword = async (password: string) => {
    const { rows } = await client.query<{ password: string }>(`select password from app_user where username = 'admin'`);
    return verifyPassword(password, rows[0]?.password);
  };

  test('server and worker want a database that is set up', async () => {
    for (const command of ['server', 'worker']) {
      // A Deckle of whoever runs the tests may have the usual one.
      const { code, errors } = await outcome([command], { ...env, PORT: String(await freePort()) });
      assert.equal(code, 1);
      assert.match(errors, /^deckle: the database lacks migration .*; run `deckle migrate` first\n$/);
    }
    const { errors } = await outcome(['server'], { DATA_DIR: dataDir, PORT: String(await freePort()) });
    assert.match(errors, /^deckle: DATABASE_URL: needed here; only `deckle start` runs a PostgreSQL of its own\n$/);
  });

  test('migrate makes admin with a random password, which is printed once', async () => {
    const first = await outcome(['migrate'], env);
    assert.equal(first.code, 0, first.output);
    const password = /The user admin was made with the password (\S{20})\n/.exec(first.output)?.[1];
    assert.ok(password, first.output);
    assert.ok(await isPassword(password));
    assert.deepEqual(await outcome(['migrate'], env), { code: 0, output: '', errors: '' });
  });

  test('ADMIN_PASSWORD counts on the first start only', async () => {
    await outcome(['migrate'], { ...env, ADMIN_PASSWORD: 'later' });
    assert.ok(!(await isPassword('later')));
    await client.query('delete from app_user');
    assert.deepEqual(await outcome(['migrate'], { ...env, ADMIN_PASSWORD: 'given' }), { code: 0, output: '', errors: '' });
    assert.ok(await isPassword('given'));
  });

  test('admin reset-password takes it from standard input, or makes one', async () => {
    const given = await outcome(['admin', 'reset-password'], env, 'from the input\n');
    assert.deepEqual(given, { code: 0, output: 'The password of admin is set.\n', errors: '' });
    assert.ok(await isPassword('from the input'));
    const made = await outcome(['admin', 'reset-password', 'admin'], env);
    assert.ok(await isPassword(/is (\S{20})\n$/.exec(made.output)?.[1] ?? ''), made.output);
    const unknown = await outcome(['admin', 'reset-password', 'nobody'], env);
    assert.deepEqual([unknown.code, unknown.errors], [1, 'deckle: there is no user "nobody"\n']);
  });

  test('admin says who is an administrator, and keeps the last one', async () => {
    const administrators = async () =>
      (await client.query('select username from app_user where is_superuser order by id')).rows.map((row) => row.username);
    const made = await outcome(['admin', 'create', 'second'], env, 'Kiesel-7-Wolke\n');
    assert.deepEqual(made, { code: 0, output: 'second is an administrator.\n', errors: '' });
    assert.deepEqual(await administrators(), ['admin', 'second']);
    const again = await outcome(['admin', 'create', 'second'], env, 'x\n');
    assert.deepEqual([again.code, again.errors], [1, 'deckle: there is a user "second" already; see `deckle admin promote`\n']);
    assert.equal((await outcome(['admin', 'demote', 'second'], env)).output, 'second is no administrator any more.\n');
    assert.deepEqual(await administrators(), ['admin']);
    const last = await outcome(['admin', 'demote', 'admin'], env);
    assert.deepEqual([last.code, last.errors], [1, 'deckle: admin is the last administrator who can log in\n']);
    assert.equal((await outcome(['admin', 'promote', 'second'], env)).code, 0);
    assert.deepEqual(await administrators(), ['admin', 'second']);
    const { rows } = await client.query("select operation from audit_entry where method = 'CLI' order by id");
    assert.deepEqual(rows.map((row) => row.operation).slice(-3), ['admin_create', 'admin_demote', 'admin_promote']);
    await client.query("delete from app_user where username = 'second'");
  });

  test('rotate-keys encrypts the stored secrets anew; without their key nothing starts', async () => {
    const file = join(dataDir, 'keys', 'secrets.key');
    const id = v7();
    const before = await loadSecretKeys({ file });
    const { rows } = await client.query<{ id: string }>(`select id from domain where name = 'default'`);
    await client.query(
      `insert into remote (id, domain_id, pulp_type, name, url, password) values ($1, $2, 'container.container', 'r', 'https://example.org', $3)`,
      [id, rows[0]?.id, secretBox(before).seal('upstream password', `remote:password:${id}`)],
    );
    const { code, output } = await outcome(['rotate-keys'], env);
    assert.equal(code, 0, output);
    assert.match(output, /^1 secrets are encrypted with the new key/);
    const keys = await loadSecretKeys({ file });
    assert.equal(keys.length, 2);
    const remote = await client.query<{ password: string }>('select password from remote');
    const sealed = remote.rows[0]?.password as string;
    assert.equal(secretBox([keys[0]]).open(sealed, `remote:password:${id}`), 'upstream password');
    assert.deepEqual(keys[1], before[0]);

    const refused = await outcome(['worker'], { ...env, DECKLE_SECRET_KEYS: before[0].toString('base64') });
    assert.equal(refused.code, 1);
    assert.match(
      refused.errors,
      /^deckle: secrets in remote\.password were encrypted with key [0-9a-f]{8}, which is not among the keys/,
    );
  });

  test('rotate-keys waits until nobody is at work', async () => {
    const server = runDeckle(['server'], { ...env, PORT: String(await freePort()) });
    await eventually('the server listens', () => server.output().includes('Server listening'));
    const keys = await readFile(join(dataDir, 'keys', 'secrets.key'), 'utf8');
    const refused = await outcome(['rotate-keys'], env);
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /^deckle: stop Deckle first: \d servers and workers are at work/);
    assert.equal(await readFile(join(dataDir, 'keys', 'secrets.key'), 'utf8'), keys);
    server.kill('SIGTERM');
    assert.equal(await server.exit, 0, server.output());
  });

  for (const command of ['server', 'worker']) {
    test(`a ${command} whose supervisor dies stops in order, however far it has come`, async () => {
      const moments = ['before it runs', 'when it is at work'] as const;
      await Promise.all(
        moments.map(async (moment) => {
          const run = runDeckle([command], { ...env, PORT: String(await freePort()) }, { supervised: true });
          const [atWork] = command === 'server' ? ['Server listening'] : ['worker runs tasks'];
          if (moment === 'when it is at work') await eventually(moment, () => run.output().includes(atWork));
          run.orphan();
          assert.equal(await run.exit, 0, run.output());
          assert.match(run.output(), /"by":"supervisor is gone"/);
          assert.doesNotMatch(run.output(), /"level":"(warn|error|fatal)"/);
          assert.equal(run.output().includes(atWork), moment === 'when it is at work');
        }),
      );
    });
  }

  test('a server that listens beyond loopback warns of the well-known password', async () => {
    await outcome(['admin', 'reset-password'], env, 'password\n');
    const server = runDeckle(['server'], { ...env, HOST: '0.0.0.0', PORT: String(await freePort()), LOG_LEVEL: 'warn' });
    await eventually('it warns', () => server.output().includes('still has the password'));
    server.kill('SIGINT');
    assert.equal(await server.exit, 0, server.output());
  });
});
