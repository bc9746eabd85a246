import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { v7 } from 'uuid';
import { bootstrap } from '../../../src/core/bootstrap.ts';
import { contentIds } from '../../../src/core/content/content-selection.ts';
import { deleteVersion } from '../../../src/core/repositories/delete-version.ts';
import { publishVersion, type VersionChange } from '../../../src/core/repositories/publish-version.ts';
import { REPOSITORY_CHANNEL } from '../../../src/core/repositories/repository-lock.ts';
import { applyRetention } from '../../../src/core/repositories/retention.ts';
import { type Database, openDatabase } from '../../../src/db/database.ts';
import { insertRow } from '../../../src/db/rows.ts';
import { sql } from '../../../src/db/sql.ts';
import { catalogOf } from '../../../src/kit/catalog.ts';
import type { TaskContext } from '../../../src/kit/define-task.ts';
import { plugins } from '../../../src/plugins.ts';
import { createDatabase, type TestDatabase } from '../../support/postgres.ts';

let database: TestDatabase;
let db: Database;
let domain_id: string;
let repository_id: string;
let context: TaskContext;
before(async () => {
  database = await createDatabase();
  db = openDatabase(database.url, { max: 8, log: pino({ level: 'silent' }) });
  await bootstrap(db, catalogOf(plugins), () => 'password');
  const [domain] = await db.query<{ id: string }>(sql`select id from domain`);
  domain_id = domain?.id ?? '';
});
after(async () => {
  await db?.close();
  await database?.drop();
});
beforeEach(async () => {
  repository_id = v7();
  await insertRow(db, 'repository', { id: repository_id, domain_id, pulp_type: 'container.container', name: repository_id });
  await insertRow(db, 'repository_version', { id: v7(), repository_id, number: 0 });
  context = await runningTask();
});

/** A task in state running, at its first claim. */
async function runningTask(): Promise<TaskContext> {
  const id = v7();
  await insertRow(db, 'task', { id, domain_id, name: 'test', state: 'running', logging_cid: 'test', args: '', fence: 1 });
  return { services: { db }, task: { id, fence: 1 } } as unknown as TaskContext;
}

async function contents(count: number, pulp_type = 'container.blob'): Promise<string[]> {
  const ids = Array.from({ length: count }, () => v7());
  for (const id of ids) await insertRow(db, 'content', { id, domain_id, pulp_type });
  return ids;
}

/** A tag of a manifest of its own. */
async function tag(name: string): Promise<string> {
  const [manifest, id] = [...(await contents(1, 'container.manifest')), ...(await contents(1, 'container.tag'))] as [
    string,
    string,
  ];
  await db.execute(sql`
    insert into container_manifest (id, domain_id, digest, schema_version, media_type, data)
    values (${manifest}::uuid, ${domain_id}::uuid, ${manifest}, 2, 'test', '')`);
  await insertRow(db, 'container_tag', { id, name, tagged_manifest_id: manifest });
  return id;
}

const publish = (change: VersionChange) =>
  publishVersion({ db }, context, {
    repository_id,
    change,
    unique: [{ pulp_type: 'container.tag', table: 'container_tag', column: 'name' }],
  });
const add = (ids: readonly string[]) => publish({ add: contentIds(ids) });
const mirror = (ids: readonly string[]) => publish({ add: contentIds(ids), mirror: true });
const remove = (ids: readonly string[]) => publish({ remove: contentIds(ids) });

/** What version `number` holds by its intervals, sorted. */
async function held(number: number): Promise<string[]> {
  const rows = await db.query<{ content_id: string }>(sql`
    select content_id from repository_content where repository_id = ${repository_id}::uuid
      and version_added <= ${number} and (version_removed is null or version_removed > ${number}) order by 1`);
  return rows.map((row) => row.content_id);
}

/** `number: added -removed =present` of each version, of all types together. */
async function versions(): Promise<string[]> {
  const rows = await db.query<Record<'added' | 'removed' | 'present', Record<string, number>> & { number: number }>(sql`
    select number, added, removed, present from repository_version where repository_id = ${repository_id}::uuid order by number`);
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, count) => all + count, 0);
  return rows.map(({ number, added, removed, present }) => `${number}: +${sum(added)} -${sum(removed)} =${sum(present)}`);
}

const runDelete = (number: number) => deleteVersion.run({ repository_id, number }, context);

describe('publishing a version', () => {
  it('adds what is not present, and makes nothing of nothing', async () => {
    const [a, b, c] = (await contents(3)) as [string, string, string];
    assert.deepEqual((await add([a, b]))?.number, 1);
    assert.equal(await add([a, b]), undefined);
    assert.equal(await remove([c]), undefined);
    assert.deepEqual((await add([b, c]))?.added, 1);
    assert.deepEqual(await held(1), [a, b].sort());
    assert.deepEqual(await held(2), [a, b, c].sort());
    assert.deepEqual(await versions(), ['0: +0 -0 =0', '1: +2 -0 =2', '2: +1 -0 =3']);
  });

  it('mirrors exactly, and counts by type', async () => {
    const blobs = await contents(2);
    const signatures = await contents(1, 'container.signature');
    await add([...blobs, ...signatures]);
    const version = await mirror([blobs[0] as string]);
    assert.deepEqual([version?.added, version?.removed], [0, 2]);
    const [row] = await db.query<Record<string, unknown>>(
      sql`select added, removed, present from repository_version where id = ${version?.id}::uuid`,
    );
    assert.deepEqual(row, {
      added: {},
      removed: { 'container.blob': 1, 'container.signature': 1 },
      present: { 'container.blob': 1 },
    });
    assert.equal((await mirror([]))?.removed, 1);
  });

  it('replaces a tag of the same name, and refuses two at once', async () => {
    const [old, moved, other] = [await tag('latest'), await tag('latest'), await tag('other')];
    await add([old, other]);
    const version = await add([moved]);
    assert.deepEqual([version?.added, version?.removed], [1, 1]);
    assert.deepEqual(await held(2), [moved, other].sort());
    await assert.rejects(
      add([await tag('twice'), await tag('twice')]),
      /more than one of the added container.tag units has the name "twice"/,
    );
    assert.equal((await versions()).length, 3);
    assert.equal((await mirror([old]))?.removed, 2);
  });

  it('is not done by a worker that lost its task, or for a canceled one', async () => {
    const ids = await contents(1);
    await db.execute(sql`update task set fence = 2 where id = ${context.task.id}::uuid`);
    await assert.rejects(add(ids));
    await db.execute(sql`update task set fence = 1, state = 'canceling' where id = ${context.task.id}::uuid`);
    await assert.rejects(add(ids));
    assert.deepEqual(await versions(), ['0: +0 -0 =0']);
  });

  it('tells other processes', async (test) => {
    const heard: string[] = [];
    const arrived = new Promise<void>((resolve) => {
      const listening = db.listen(REPOSITORY_CHANNEL, (payload) => {
        heard.push(payload);
        resolve();
      });
      test.after(async () => (await listening)());
      listening.then(async () => add(await contents(1)));
    });
    await arrived;
    assert.deepEqual(heard, [`${repository_id} 1`]);
  });

  it('numbers versions in order when two publish at once', async () => {
    const [a, b] = [await contents(5), await contents(5)];
    const numbers = (await Promise.all([add(a), add(b)])).map((version) => version?.number);
    assert.deepEqual(numbers.toSorted(), [1, 2]);
    assert.equal((await held(2)).length, 10);
    assert.deepEqual((await versions())[2], '2: +5 -0 =10');
  });
});

describe('deleting a version', () => {
  it('squashes its changes into the next one', async () => {
    const [a, b, c] = (await contents(3)) as [string, string, string];
    await add([a]);
    await publish({ add: contentIds([b]), remove: contentIds([a]) });
    await publish({ add: contentIds([c]), remove: contentIds([b]) });
    assert.deepEqual(await versions(), ['0: +0 -0 =0', '1: +1 -0 =1', '2: +1 -1 =1', '3: +1 -1 =1']);
    await runDelete(2);
    assert.deepEqual(await versions(), ['0: +0 -0 =0', '1: +1 -0 =1', '3: +1 -1 =1']);
    assert.deepEqual([await held(1), await held(3)], [[a], [c]]);
    const [{ rows } = { rows: 0 }] = await db.query<{ rows: number }>(
      sql`select count(*) as rows from repository_content where repository_id = ${repository_id}::uuid`,
    );
    assert.equal(rows, 2);
  });

  it('joins what was removed and added again', async () => {
    const [a, b] = (await contents(2)) as [string, string];
    await add([a, b]);
    await remove([a]);
    await add([a]);
    await runDelete(2);
    assert.deepEqual(await versions(), ['0: +0 -0 =0', '1: +2 -0 =2', '3: +0 -0 =2']);
    assert.deepEqual(await held(3), [a, b].sort());
  });

  it('rolls back when it is the latest; its number is not used again', async () => {
    const [a, b] = (await contents(2)) as [string, string];
    await add([a]);
    await publish({ add: contentIds([b]), remove: contentIds([a]) });
    await runDelete(2);
    assert.deepEqual(await held(1), [a]);
    assert.equal((await add([b]))?.number, 3);
    assert.deepEqual(await versions(), ['0: +0 -0 =0', '1: +1 -0 =1', '3: +1 -0 =2']);
  });

  it('refuses the only one and one that is served; passes over one that is gone', async () => {
    await assert.rejects(runDelete(0), {
      message: '[PLP0011] Cannot delete repository version. Repositories must have at least one repository version.',
    });
    const version = await add(await contents(1));
    await insertRow(db, 'distribution', {
      ...{ id: v7(), domain_id, pulp_type: 'container.container', name: repository_id, base_path: repository_id },
      repository_version_id: version?.id,
    });
    await assert.rejects(runDelete(1), /currently being used to distribute content/);
    assert.equal(await runDelete(7), null);
    await runDelete(0);
    assert.deepEqual(await versions(), ['1: +1 -0 =1']);
  });
});

describe('retention', () => {
  const retain = (count: number) =>
    db.transaction(async (tx) => {
      await tx.execute(sql`update repository set retain_repo_versions = ${count} where id = ${repository_id}::uuid`);
      await applyRetention(tx, repository_id);
    });

  it('keeps the newest, whose oldest then has added all that it holds', async () => {
    const [a, b, c] = (await contents(3)) as [string, string, string];
    await add([a, b]);
    await publish({ add: contentIds([c]), remove: contentIds([a]) });
    await retain(1);
    assert.deepEqual(await versions(), ['2: +2 -0 =2']);
    assert.deepEqual(await held(2), [b, c].sort());
    await publish({ add: contentIds([a]), remove: contentIds([b]) });
    assert.deepEqual(await versions(), ['3: +2 -0 =2']);
    assert.deepEqual(await held(3), [a, c].sort());
  });

  it('spares versions that a distribution is pinned to', async () => {
    const ids = (await contents(4)) as [string, string, string, string];
    const pinned = await add([ids[0]]);
    await insertRow(db, 'distribution', {
      ...{ id: v7(), domain_id, pulp_type: 'container.container', name: repository_id, base_path: repository_id },
      repository_version_id: pinned?.id,
    });
    await add([ids[1]]);
    await remove([ids[0]]);
    await add([ids[2]]);
    await retain(2);
    assert.deepEqual(await versions(), ['1: +1 -0 =1', '3: +1 -1 =1', '4: +1 -0 =2']);
    assert.deepEqual([await held(1), await held(3)], [[ids[0]], [ids[1]]]);
  });

  it('counts only those that no distribution is pinned to', async () => {
    const ids = (await contents(3)) as [string, string, string];
    await add([ids[0]]);
    await add([ids[1]]);
    const latest = await add([ids[2]]);
    await insertRow(db, 'distribution', {
      ...{ id: v7(), domain_id, pulp_type: 'container.container', name: repository_id, base_path: repository_id },
      repository_version_id: latest?.id,
    });
    await retain(1);
    assert.deepEqual(await versions(), ['2: +2 -0 =2', '3: +1 -0 =3']);
  });
});
