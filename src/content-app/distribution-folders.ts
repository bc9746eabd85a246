import { empty, sql } from '../db/sql.ts';
import type { Folder } from '../kit/content-handler.ts';
import type { Services } from '../kit/services.ts';

const MAX_ENTRIES = 10_000;

/**
 * The folder above distributions: what follows `path`, '' or one that ends in a slash, in the base paths of those types, up to the
 * next slash. Hidden ones are left out, guarded ones where the configuration says so. Undefined where there are none, but for the topmost, which is always there.
 */
export async function distributionFolder(
  { db, domain, config }: Pick<Services, 'db' | 'domain' | 'config'>,
  types: readonly string[],
  path: string,
): Promise<Folder | undefined> {
  const rows = await db.query<{ name: string }>(sql`
    select distinct split_part(substr(base_path, length(${path}::text) + 1), '/', 1) collate "C" as name from distribution
    where domain_id = ${domain.id}::uuid and pulp_type = any(${types}::text[]) and not hidden
      ${config.PULP_HIDE_GUARDED_DISTRIBUTIONS ? sql`and content_guard_id is null` : empty} and starts_with(base_path, ${path})
    order by name limit ${MAX_ENTRIES + 1}`);
  if (rows.length === 0 && path !== '') return undefined;
  const entries = rows.slice(0, MAX_ENTRIES).map(({ name }) => ({ name: `${name}/` }));
  return { entries, more: rows.length > MAX_ENTRIES };
}
