import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';

/** Units by pulp_type; a type without units is absent. */
export type ContentCounts = Readonly<Record<string, number>>;

/** Sum over all types. */
export const totalOf = (counts: ContentCounts): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** `left + factor * right`, without zeros. */
export function sumOf(left: ContentCounts, right: ContentCounts, factor = 1): ContentCounts {
  const sum: Record<string, number> = { ...left };
  for (const [type, count] of Object.entries(right)) sum[type] = (sum[type] ?? 0) + factor * count;
  return Object.fromEntries(Object.entries(sum).filter(([, count]) => count !== 0));
}

/** Counts anew what the versions of these numbers added and removed, after an earlier version was squashed into them. */
export async function recountChanges(tx: Queryable, repositoryId: string, numbers: readonly number[]): Promise<void> {
  await tx.execute(sql`
    with counted as (
      select rc.version_added as number, 'added' as side, c.pulp_type, count(*) as count
      from repository_content rc join content c on c.id = rc.content_id
      where rc.repository_id = ${repositoryId}::uuid and rc.version_added = any(${numbers}::int[]) group by 1, 3
      union all
      select rc.version_removed, 'removed', c.pulp_type, count(*)
      from repository_content rc join content c on c.id = rc.content_id
      where rc.repository_id = ${repositoryId}::uuid and rc.version_removed = any(${numbers}::int[]) group by 1, 3)
    update repository_version v set
      added = coalesce((select jsonb_object_agg(n.pulp_type, n.count) from counted n where n.number = v.number and n.side = 'added'), '{}'),
      removed = coalesce((select jsonb_object_agg(n.pulp_type, n.count) from counted n where n.number = v.number and n.side = 'removed'), '{}'),
      pulp_last_updated = now()
    where v.repository_id = ${repositoryId}::uuid and v.number = any(${numbers}::int[])`);
}
