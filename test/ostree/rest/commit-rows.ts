import { createHash } from 'node:crypto';
import { v7 } from 'uuid';
import { sql } from '../../../src/db/sql.ts';
import type { Services } from '../../../src/kit/services.ts';

/*
 * Commits written as rows, without bytes: of more objects than a test can mirror.
 */

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Ids of objects that are there from now on. */
export async function insertObjects({ db, domain }: Pick<Services, 'db' | 'domain'>, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => v7());
  await db.transaction(async (tx) => {
    await tx.execute(sql`
      insert into content (id, domain_id, pulp_type)
      select id, ${domain.id}::uuid, 'ostree.object' from unnest(${ids}::uuid[]) as id`);
    await tx.execute(sql`
      insert into ostree_object (id, domain_id, checksum, typ)
      select id, ${domain.id}::uuid, encode(sha256(id::text::bytea), 'hex'), 1 from unnest(${ids}::uuid[]) as id`);
  });
  return ids;
}

/** A commit of these objects, with a ref that has its checksum for a name; answers the hrefs of both. */
export async function insertCommit(
  { db, domain }: Pick<Services, 'db' | 'domain'>,
  checksum: string,
  objects: readonly string[],
): Promise<{ readonly commit: string; readonly ref: string }> {
  const [commit, ref] = [v7(), v7()];
  await db.transaction(async (tx) => {
    await tx.execute(sql`
      insert into content (id, domain_id, pulp_type)
      values (${commit}::uuid, ${domain.id}::uuid, 'ostree.commit'), (${ref}::uuid, ${domain.id}::uuid, 'ostree.refs')`);
    await tx.execute(sql`
      insert into ostree_commit (id, domain_id, checksum, timestamp) values (${commit}::uuid, ${domain.id}::uuid, ${checksum}, 0)`);
    await tx.execute(sql`insert into ostree_ref (id, name, commit_id) values (${ref}::uuid, ${checksum}, ${commit}::uuid)`);
    await tx.execute(sql`
      insert into ostree_commit_object (commit_id, object_id) select ${commit}::uuid, id from unnest(${objects}::uuid[]) as id`);
  });
  const root = '/pulp/api/v3/content/ostree/';
  return { commit: `${root}commits/${commit}/`, ref: `${root}refs/${ref}/` };
}
