import assert from 'node:assert/strict';
import { after, before, beforeEach, it } from 'node:test';
import { pino } from 'pino';
import { type Authenticator, authenticator, InvalidCredentialsError } from '../../../src/core/users/authenticate.ts';
import { FailureThrottle, ThrottledError } from '../../../src/core/users/failure-throttle.ts';
import { type Database, openDatabase } from '../../../src/db/database.ts';
import { sql } from '../../../src/db/sql.ts';
import { hashPassword } from '../../../src/lib/password-hash.ts';
import { createDatabase, type TestDatabase } from '../../support/postgres.ts';

const log = pino({ level: 'silent' });
const HOME = { ip: '192.0.2.1', id: 'test', method: 'GET' };
let database: TestDatabase;
let now = new Date('2026-01-01T00:00:00Z');
const clock = () => now;
const later = (seconds: number) => {
  now = new Date(now.getTime() + seconds * 1000);
};
const header = (username: string, password: string) => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** Two processes have a connection pool each, and nothing else in common but the rows. */
let here: { db: Database; authenticator: Authenticator };
const openProcess = () => {
  const db = openDatabase(database.url, { max: 4, log });
  return { db, authenticator: authenticator({ db, clock }) };
};
const opened: Database[] = [];

before(async () => {
  database = await createDatabase();
});
beforeEach(async () => {
  here = openProcess();
  opened.push(here.db);
  await here.db.execute(sql`delete from app_user`);
  const password = await hashPassword('right:pass');
  await here.db.execute(sql`
    insert into app_user (username, password, is_superuser, is_active) values
      ('alice', ${password}, true, true), ('gone', ${password}, false, false), ('keyless', null, false, true)`);
});
after(async () => {
  await Promise.all(opened.map((db) => db.close()));
  await database?.drop();
});

const refused = (promise: Promise<unknown>) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof InvalidCredentialsError);
    assert.equal(error.status, 401);
    assert.equal(error.message, 'Invalid username/password.');
    return true;
  });

it('knows the user by name and password, the password with a colon in it', async () => {
  const user = await here.authenticator.basic(header('alice', 'right:pass'), HOME);
  assert.equal(user.username, 'alice');
  assert.equal(user.is_superuser, true);
  assert.deepEqual(Object.keys(user).sort(), ['credential', 'id', 'is_superuser', 'username']);
});

it('says the same to a wrong password, an unknown, an inactive and a passwordless user and to a malformed header', async () => {
  await refused(here.authenticator.basic(header('alice', 'wrong'), HOME));
  await refused(here.authenticator.basic(header('nobody', 'right:pass'), HOME));
  await refused(here.authenticator.basic(header('gone', 'right:pass'), HOME));
  await refused(here.authenticator.basic(header('keyless', ''), HOME));
  await refused(here.authenticator.basic(header('a\0lice', 'x'), HOME));
  for (const malformed of ['Basic', 'Basic !!!', 'Bearer abc', `Basic ${Buffer.from('no colon').toString('base64')}`]) {
    await refused(here.authenticator.basic(malformed, HOME));
  }
});

it('takes as long for an unknown user as for a known one', async () => {
  const time = async (username: string) => {
    const start = process.hrtime.bigint();
    await refused(here.authenticator.basic(header(username, 'wrong'), HOME));
    return Number(process.hrtime.bigint() - start) / 1e6;
  };
  const known = await time('alice');
  const unknown = await time('nobody');
  assert.ok(unknown > known / 3 && known > unknown / 3, `${known} ms against ${unknown} ms`);
});

it('sees at once what another process changes: password, deactivation, rights, deletion', async () => {
  const there = openProcess();
  opened.push(there.db);
  const login = (password = 'right:pass') => here.authenticator.basic(header('alice', password), HOME);
  await login();
  await there.db.execute(sql`update app_user set is_superuser = false where username = 'alice'`);
  assert.equal((await login()).is_superuser, false);
  await there.db.execute(sql`update app_user set is_active = false where username = 'alice'`);
  await refused(login());
  await there.db.execute(sql`update app_user set is_active = true where username = 'alice'`);
  await login();
  await there.db.execute(sql`update app_user set password = ${await hashPassword('new')} where username = 'alice'`);
  await refused(login());
  await login('new');
  await there.db.execute(sql`delete from app_user where username = 'alice'`);
  await refused(login('new'));
});

it('costs little once the password is proven', async () => {
  const login = () => here.authenticator.basic(header('alice', 'right:pass'), HOME);
  await login();
  const rounds = 200;
  const start = process.hrtime.bigint();
  for (let round = 0; round < rounds; round += 1) await login();
  const each = Number(process.hrtime.bigint() - start) / 1e6 / rounds;
  // A slow hash costs hundreds of milliseconds; the bound is generous for a busy machine.
  assert.ok(each < 20, `${each.toFixed(2)} ms a login`);
});

it('slows guessing down after ten failures, by address and by user, and lets proven passwords through', async () => {
  const login = () => here.authenticator.basic(header('alice', 'right:pass'), HOME);
  await login();
  const guesses = await Promise.allSettled(
    Array.from({ length: 14 }, (_, n) =>
      here.authenticator.basic(header('alice', `guess ${n}`), { ...HOME, ip: `198.51.100.${n}` }),
    ),
  );
  const reasons = guesses.map((guess) => (guess.status === 'rejected' ? guess.reason.name : 'let in'));
  assert.equal(reasons.filter((name) => name === 'InvalidCredentialsError').length, 10);
  assert.equal(reasons.filter((name) => name === 'ThrottledError').length, 4);
  await login();
  await assert.rejects(here.authenticator.basic(header('alice', 'guess'), HOME), (error) => {
    assert.ok(error instanceof ThrottledError);
    assert.equal(error.status, 429);
    assert.ok(error.seconds >= 1 && error.seconds <= 6);
    assert.equal(error.headers['retry-after'], String(error.seconds));
    return true;
  });
  later(6);
  await refused(here.authenticator.basic(header('alice', 'guess'), HOME));
});

it('counts by address over user names', async () => {
  const throttle = new FailureThrottle(clock);
  const fail = (user: string) => throttle.guard(['address a', `user ${user}`], async () => false);
  for (let n = 0; n < 10; n += 1) assert.equal(await fail(`u${n}`), false);
  await assert.rejects(fail('another'), ThrottledError);
  assert.equal(await throttle.guard(['address b', 'user another'], async () => true), true);
});

it('lets more than ten honest logins at once wait for each other', async () => {
  const throttle = new FailureThrottle(clock);
  const attempts = Array.from({ length: 30 }, () =>
    throttle.guard(['address a'], async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return true;
    }),
  );
  assert.deepEqual(await Promise.all(attempts), Array(30).fill(true));
});

it('knows a user again as long as the password stays', async () => {
  const { credential } = await here.authenticator.basic(header('alice', 'right:pass'), HOME);
  assert.equal((await here.authenticator.again('alice', credential))?.username, 'alice');
  assert.equal(await here.authenticator.again('keyless', credential), undefined);
  await here.db.execute(sql`update app_user set is_active = false where username = 'alice'`);
  assert.equal(await here.authenticator.again('alice', credential), undefined);
  await here.db.execute(
    sql`update app_user set is_active = true, password = ${await hashPassword('right:pass')} where username = 'alice'`,
  );
  assert.equal(await here.authenticator.again('alice', credential), undefined);
});

it('notes failed logins in the audit log, as many as the throttle lets through', async () => {
  const tried = () =>
    here.db.query(sql`select username, address, operation, status, correlation_id from audit_entry where username = 'mallory'`);
  const guesses = Array.from({ length: 12 }, (_, n) => here.authenticator.basic(header('mallory', `guess ${n}`), HOME));
  await Promise.allSettled(guesses);
  const noted = await tried();
  assert.equal(noted.length, 10);
  assert.deepEqual(noted[0], {
    username: 'mallory',
    address: HOME.ip,
    operation: 'authenticate',
    status: 401,
    correlation_id: HOME.id,
  });
});
