import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';

const AT_ONCE = 5_000;

/** Removes entries of the audit log that are older than the retention; 0 days keeps all. The trigger lets no other statement remove any. */
export async function expireAudit(tx: Queryable, days: number): Promise<number> {
  if (days === 0) return 0;
  const old = sql`select id from audit_entry where pulp_created < clock_timestamp() - make_interval(days => ${days}::int) limit ${AT_ONCE}`;
  const [any] = await tx.query(sql`select from (${old}) old limit 1`);
  if (!any) return 0;
  await tx.query(sql`select set_config('deckle.audit_retention', 'on', true)`);
  const gone = await tx.execute(sql`delete from audit_entry where id in (${old})`);
  await tx.query(sql`select set_config('deckle.audit_retention', 'off', true)`);
  return gone;
}
