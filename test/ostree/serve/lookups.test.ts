import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { v7 } from 'uuid';
import { raw, type Sql, sql } from '../../../src/db/sql.ts';
import type { ServedVersion } from '../../../src/kit/served-file.ts';
import { parseFilePath } from '../../../src/plugins/ostree/serve/file-path.ts';
import { fileQuery, refQuery } from '../../../src/plugins/ostree/serve/find-file.ts';
import { startApp, type TestApp } from '../../support/app.ts';

/** Ten repositories of as many objects each. */
const OBJECTS = 4000;
/** Each with a summary of its own. */
const VERSIONS = 200;
const MAX_ROWS_LOOKED_AT = 60;

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

describe('finding a file', () => {
  let app: TestApp;
  let version: ServedVersion;

  before(async () => {
    app = await startApp({ worker: false });
    const { db, domain } = app.services;
    for (let number = 0; number < 10; number += 1) {
      const repository_id = v7();
      version = { repository_id, number: 1 };
      await db.execute(sql`
        insert into repository (id, domain_id, pulp_type, name, pulp_last_updated)
        values (${repository_id}::uuid, ${domain.id}::uuid, 'ostree.ostree', ${repository_id}, now())`);
      await db.execute(sql`
        with units as (
          select gen_random_uuid() as id, n, encode(sha256((${repository_id}::text || n)::bytea), 'hex') as checksum
          from generate_series(1, ${OBJECTS}::int) n),
        contents as (
          insert into content (id, domain_id, pulp_type, pulp_last_updated)
          select id, ${domain.id}::uuid, 'ostree.object', now() from units),
        held as (
          insert into repository_content (repository_id, content_id, version_added)
          select ${repository_id}::uuid, id, 1 from units),
        files as (
          insert into ostree_content (id, domain_id, relative_path, digest)
          select id, ${domain.id}::uuid, 'deltas/' || checksum || '/superblock', checksum from units where n > ${OBJECTS - 100}::int)
        insert into ostree_object (id, domain_id, checksum, typ)
        select id, ${domain.id}::uuid, checksum, 1 + n % 3 from units where n <= ${OBJECTS - 100}::int`);
      await db.execute(sql`
        with summaries as (
          select gen_random_uuid() as id, n, encode(sha256((${repository_id}::text || n || 's')::bytea), 'hex') as sha256
          from generate_series(1, ${VERSIONS}::int) n),
        contents as (
          insert into content (id, domain_id, pulp_type, pulp_last_updated)
          select id, ${domain.id}::uuid, 'ostree.summary', now() from summaries),
        held as (
          insert into repository_content (repository_id, content_id, version_added, version_removed)
          select ${repository_id}::uuid, id, n, n + 1 from summaries)
        insert into ostree_summary (id, domain_id, sha256) select id, ${domain.id}::uuid, sha256 from summaries`);
      await db.execute(sql`
        with commits as (
          select gen_random_uuid() as id, gen_random_uuid() as ref, encode(sha256((${repository_id}::text || n)::bytea), 'hex') as checksum, n
          from generate_series(${OBJECTS + 1}::int, ${OBJECTS + 20}::int) n),
        contents as (
          insert into content (id, domain_id, pulp_type, pulp_last_updated)
          select unnest(array[id, ref]), ${domain.id}::uuid, 'ostree.commit', now() from commits),
        held as (
          insert into repository_content (repository_id, content_id, version_added)
          select ${repository_id}::uuid, unnest(array[id, ref]), 1 from commits),
        made as (
          insert into ostree_commit (id, domain_id, checksum, timestamp) select id, ${domain.id}::uuid, checksum, n from commits)
        insert into ostree_ref (id, name, commit_id) select ref, 'os/' || n, id from commits`);
    }
    for (const table of [
      'content',
      'repository_content',
      'ostree_object',
      'ostree_content',
      'ostree_commit',
      'ostree_ref',
      'ostree_summary',
    ]) {
      await db.execute(sql`analyze ${raw(table)}`);
    }
  });
  after(() => app?.stop());

  async function planOf(statement: Sql): Promise<PlanNode[]> {
    const [row] = await app.services.db.query<object>(sql`explain (analyze, format json) ${statement}`);
    return nodesOf((Object.values(row as object)[0] as [{ Plan: PlanNode }])[0].Plan);
  }

  function assertCheap(nodes: readonly PlanNode[]): void {
    assert.deepEqual(
      nodes.filter((node) => node['Node Type'] === 'Seq Scan').map((node) => node['Relation Name']),
      [],
    );
    for (const node of nodes) {
      const rows = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
      assert.ok(rows <= MAX_ROWS_LOOKED_AT, `${node['Node Type']} of ${node['Relation Name']}: ${rows} rows`);
    }
  }

  async function checksumIn(table: Sql): Promise<string> {
    const [row] = await app.services.db.query<{ checksum: string }>(sql`
      select t.checksum from ${table} t join repository_content rc on rc.content_id = t.id
      where rc.repository_id = ${version.repository_id}::uuid limit 1`);
    return (row as { checksum: string }).checksum;
  }

  const pathOf = (checksum: string, suffix: string): string => `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${suffix}`;

  it('is one look-up by an index, whether it is there or not', async () => {
    const paths = [
      pathOf(await checksumIn(sql`ostree_object`), 'filez'),
      pathOf('ab'.repeat(32), 'filez'),
      pathOf(await checksumIn(sql`ostree_commit`), 'commit'),
      pathOf('ab'.repeat(32), 'commitmeta'),
      'summary.sig',
    ];
    for (const path of paths) {
      const parsed = parseFilePath(path);
      assert.ok(parsed.kind !== 'ref');
      assertCheap(await planOf(fileQuery(app.services, version, parsed, path)));
    }
  });

  it('finds the summary of a version among those of all', async () => {
    for (const number of [2, VERSIONS / 2, VERSIONS]) {
      const statement = fileQuery(app.services, { ...version, number }, { kind: 'summary' }, 'summary');
      assert.equal((await app.services.db.query(statement)).length, 1);
      assertCheap(await planOf(statement));
    }
  });

  it('finds a ref by its name', async () => {
    assertCheap(await planOf(refQuery(app.services, version, `os/${OBJECTS + 1}`)));
    assertCheap(await planOf(refQuery(app.services, version, 'os/none')));
  });
});
