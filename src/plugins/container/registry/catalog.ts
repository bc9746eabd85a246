import { permitted } from '../../../core/plugin-api.ts';
import { empty, sql } from '../../../db/sql.ts';
import type { Caller } from '../../../kit/api.ts';
import type { Services } from '../../../kit/services.ts';
import type { Page } from './page.ts';
import { PULL } from './request-access.ts';

const BATCH = 1000;

/** The repositories that the caller may pull, after `page.last`, in ASCII order, one more than the page has. */
export async function listRepositories(
  { db, domain }: Pick<Services, 'db' | 'domain'>,
  caller: Caller | null,
  page: Page,
): Promise<string[]> {
  const names: string[] = [];
  for (let last = page.last; page.n > 0; ) {
    const after = last === undefined ? empty : sql`and d.base_path collate "C" > ${last}`;
    const rows = await db.query<{ id: string; base_path: string; private: boolean }>(sql`
      select d.id, d.base_path, c.private
      from distribution d join container_distribution c on c.id = d.id
      where d.domain_id = ${domain.id}::uuid ${after}
      order by d.base_path collate "C" limit ${BATCH}`);
    for (const row of rows) {
      if (await permitted(caller, PULL, { id: row.id, public: !row.private })) names.push(row.base_path);
      if (names.length > page.n) return names;
    }
    last = rows.at(-1)?.base_path;
    if (rows.length < BATCH) break;
  }
  return names;
}
