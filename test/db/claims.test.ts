import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { Claim, ForeignClaim } from '../../src/db/claims.ts';
import { type Database, openDatabase } from '../../src/db/database.ts';
import { sql } from '../../src/db/sql.ts';
import { eventually } from '../queue/eventually.ts';
import { faultLog } from '../support/fault-log.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let [one, two]: Database[] = [];
const never = new AbortController().signal;

before(async () => {
  database = await createDatabase();
  const { log } = faultLog(undefined);
  [one, two] = [1, 2].map(() => openDatabase(database.url, { max: 2, log }));
});
after(async () => {
  await one?.close();
  await two?.close();
  await database?.drop();
});

const db = (opened: Database | undefined): Database => opened as Database;

async function mine(by: Database | undefined, key: string): Promise<Claim> {
  const claim = await db(by).claim(key, never);
  assert.ok(claim.mine, `${key} can be claimed`);
  return claim;
}

async function foreign(by: Database | undefined, key: string, signal = never): Promise<ForeignClaim> {
  const claim = await db(by).claim(key, signal);
  assert.ok(!claim.mine, `${key} is somebody else's`);
  return claim;
}

it('is had by one at a time', async () => {
  const claim = await mine(one, 'single');
  const waiting = await foreign(two, 'single');
  await mine(two, 'another');
  await claim.release('the last word');
  assert.deepEqual([await waiting.told, await waiting.over], [undefined, 'the last word']);
  await (await mine(two, 'single')).release();
});

it('is had by one of those who ask at once, in one process or two', async () => {
  const asked = await Promise.all([one, two, one, two, one, two].map((by) => db(by).claim('rushed', never)));
  const [claim, ...more] = asked.filter((claim): claim is Claim => claim.mine);
  assert.equal(more.length, 0);
  await claim?.release('done');
  const foreign = asked.filter((claim): claim is ForeignClaim => !claim.mine);
  assert.deepEqual(await Promise.all(foreign.map(({ over }) => over)), Array(5).fill('done'));
});

it('has news for those who wait, and for those who come later', async () => {
  const claim = await mine(one, 'news');
  assert.equal(claim.wanted, false);
  const early = await foreign(two, 'news');
  claim.tell('a path');
  assert.equal(await early.told, 'a path');
  await eventually('the question is heard', () => claim.wanted);
  const late = await Promise.all([foreign(two, 'news'), foreign(one, 'news')]);
  assert.deepEqual(await Promise.all(late.map(({ told }) => told)), ['a path', 'a path']);
  await claim.release();
  assert.equal(await early.over, undefined);
});

it('tells no more than fits, and still its end', async () => {
  const claim = await mine(one, 'long');
  const waiting = await foreign(two, 'long');
  await claim.release('x'.repeat(10_000));
  assert.equal(await waiting.over, undefined);
});

it('is over for those who give up', async () => {
  const claim = await mine(one, 'given up');
  const giveUp = new AbortController();
  const waiting = await foreign(two, 'given up', giveUp.signal);
  giveUp.abort();
  assert.equal(await waiting.over, undefined);
  await claim.release();
});

it('ends with the connection of its holder', async () => {
  const lost = openDatabase(database.url, { max: 1, log: faultLog(undefined).log });
  await mine(lost, 'lost');
  const waiting = await foreign(two, 'lost');
  await lost.close();
  assert.equal(await waiting.over, undefined);
  await (await mine(two, 'lost')).release();
});

it('is not waited for where its holder keeps it and says nothing, as when he hangs', async () => {
  const claim = await mine(one, 'answered');
  const patient = await foreign(two, 'answered');
  await db(one).transaction(async (hanging) => {
    await hanging.query(sql`select pg_advisory_xact_lock(hashtextextended('silent', 0))`);
    const waiting = await foreign(two, 'silent');
    assert.deepEqual([await waiting.told, await waiting.over], [undefined, undefined]);
    await (await mine(two, 'silent')).release();
    await mine(two, 'silent');
  });
  await (await mine(two, 'silent')).release();
  assert.ok(!(await db(two).claim('answered', never)).mine, 'one who answers is waited for');
  await claim.release('in the end');
  assert.equal(await patient.over, 'in the end');
});

it('holds nobody up while connections are cut, and excludes others again afterwards', async () => {
  const claim = await mine(one, 'cut');
  const waiting = await foreign(two, 'cut');
  await db(one).query(sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name like 'deckle listener %'`);
  assert.equal(await waiting.over, undefined);
  await claim.release('unheard');
  const again = await mine(one, 'cut');
  await foreign(two, 'cut');
  await again.release();
});

it("is everybody's own beyond some hundreds, which leaves the database room for its own locks", async () => {
  const claims = await Promise.all(Array.from({ length: 600 }, (_, number) => mine(one, `many ${number}`)));
  const [{ held } = { held: 0 }] = await db(one).query<{ held: number }>(sql`
    select count(*)::int as held from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`);
  assert.ok(held >= 490 && held <= 510, `${held} locks`);
  await Promise.all(claims.map((claim) => claim.release()));
  const [{ left } = { left: -1 }] = await db(one).query<{ left: number }>(sql`
    select count(*)::int as left from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`);
  assert.ok(left < 10, `${left} locks`);
});
