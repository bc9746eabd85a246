import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { compactRowCounts } from '../../src/core/compact-row-counts.ts';
import { raw, sql } from '../../src/db/sql.ts';
import { startApp, type TestApp } from '../support/app.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const TYPED = new Set(['content', 'content_guard', 'distribution', 'remote', 'repository']);

let app: TestApp;
before(async () => {
  app = await startApp();
});
after(() => app?.stop());

/** Of each count that is kept, by how much it is wrong: counted and looked up in one statement, so at one moment. */
async function errors(): Promise<unknown[]> {
  const { catalog, db } = app.services;
  const tables = [...new Set(catalog.resources.flatMap(({ counted }) => counted?.table ?? []))];
  const wrong: unknown[] = [];
  for (const table of tables) {
    const type = TYPED.has(table) ? raw('pulp_type') : sql`''::text`;
    const rows = await db.query(sql`
      select ${table} as table, type, coalesce(real.rows, 0)::int as real, coalesce(kept.rows, 0)::int as kept
      from (select ${type} as type, count(*) as rows from ${raw(table)} group by 1) real
      full join (select pulp_type as type, sum(rows) as rows from row_count where table_name = ${table} group by 1) kept using (type)
      where coalesce(real.rows, 0) <> coalesce(kept.rows, 0)`);
    wrong.push(...rows);
  }
  return wrong;
}

const insertArtifacts = (count: number, sha256: () => string = randomUUID) => sql`
  insert into artifact (id, domain_id, file, size, sha256)
  select id, ${app.services.domain.id}::uuid, '', 1, sha256
  from unnest(${Array.from({ length: count }, () => randomUUID())}::uuid[], ${Array.from({ length: count }, sha256)}::text[]) as made(id, sha256)`;

const artifacts = async (): Promise<number> => (await app.request('GET', `${API}artifacts/?limit=1`)).body.count;

describe('totals of lists', () => {
  it('are exact at every moment, whoever writes and compacts meanwhile', async () => {
    let writing = true;
    const compacting = (async () => {
      while (writing) await compactRowCounts(app.services.db);
    })();
    const watching = (async () => {
      let looked = 0;
      for (; writing || looked < 10; looked++) assert.deepEqual(await errors(), []);
    })();
    const writer = async (name: string) => {
      for (let round = 0; round < 20; round++) {
        const made = await app.request('POST', REPOSITORIES, { name: `${name}-${round}` });
        assert.equal(made.status, 201);
        if (round % 2 === 0) await app.finished(await app.request('DELETE', made.body.pulp_href));
      }
    };
    await Promise.all(['a', 'b', 'c', 'd'].map(writer)).finally(() => {
      writing = false;
    });
    await Promise.all([compacting, watching]);
    assert.deepEqual(await errors(), []);
    const { body } = await app.request('GET', `${REPOSITORIES}?limit=1`);
    assert.equal(body.count, 40);
    // Version 0 of each; those of deleted repositories went by cascade.
    assert.equal((await app.request('GET', `${API}repository_versions/?limit=1`)).body.count, 40);
  });

  it('have nothing of what is not committed, and nobody waits for it', async () => {
    await app.services.db.execute(insertArtifacts(3));
    const before = await artifacts();
    await app.services.db
      .transaction(async (tx) => {
        await tx.execute(insertArtifacts(5));
        await app.services.db.execute(insertArtifacts(1));
        await compactRowCounts(app.services.db);
        assert.equal(await artifacts(), before + 1);
        throw new Error('changed its mind');
      })
      .catch((error: Error) => assert.equal(error.message, 'changed its mind'));
    assert.equal(await artifacts(), before + 1);
    assert.deepEqual(await errors(), []);
  });

  it('count what was inserted, and not what was there already', async () => {
    await app.services.db.execute(insertArtifacts(1, () => 'same'));
    const before = await artifacts();
    await app.services.db.execute(sql`${insertArtifacts(1, () => 'same')} on conflict (domain_id, sha256) do nothing`);
    await app.services.db.execute(
      sql`${insertArtifacts(1, () => 'same')} on conflict (domain_id, sha256) do update set last_seen = now()`,
    );
    assert.equal(await artifacts(), before);
    assert.deepEqual(await errors(), []);
  });

  it('take no more than a few rows', async () => {
    for (let round = 0; round < 120; round++) await app.services.db.execute(insertArtifacts(1));
    const before = await artifacts();
    await compactRowCounts(app.services.db);
    const [rows] = await app.services.db.query<{ count: number }>(
      sql`select count(*) as count from row_count where table_name = 'artifact'`,
    );
    assert.equal(rows?.count, 1);
    assert.equal(await artifacts(), before);
  });
});
