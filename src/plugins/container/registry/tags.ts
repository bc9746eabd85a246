import { inVersion } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { empty, sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Page } from './page.ts';

/** The tags of a version after `page.last`, in ASCII order, one more than the page has. */
export async function listTags(db: Queryable, version: ServedVersion, page: Page): Promise<string[]> {
  if (page.n === 0) return [];
  const after = page.last === undefined ? empty : sql`and t.name collate "C" > ${page.last}`;
  const rows = await db.query<{ name: string }>(sql`
    select t.name from container_tag t join repository_content rc on rc.content_id = t.id
    where ${inVersion(version)} ${after}
    order by t.name collate "C" limit ${page.n + 1}`);
  return rows.map((row) => row.name);
}
