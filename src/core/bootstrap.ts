import { randomBytes } from 'node:crypto';
import { v7 as uuid7 } from 'uuid';
import type { Database, Queryable } from '../db/database.ts';
import { sql } from '../db/sql.ts';
import type { Catalog } from '../kit/catalog.ts';
import { hashPassword } from '../lib/password-hash.ts';
import { writeBuiltIns } from './access/built-in.ts';
import { ARTIFACTS } from './distributions/artifact-distribution.ts';

/** Name of the user that is made on the first start. */
export const ADMIN = 'admin';

const LOCK = 72707371;

async function ensureDomain(tx: Queryable): Promise<string> {
  await tx.execute(sql`insert into domain (id, name) values (${uuid7()}::uuid, 'default') on conflict (name) do nothing`);
  const [domain] = await tx.query<{ id: string }>(sql`select id from domain where name = 'default'`);
  if (!domain) throw new Error('the default domain was removed while it was looked up');
  return domain.id;
}

/** Makes the distribution that serves artifacts, and its guard, under a name that nobody guesses. */
async function ensureArtifactDistribution(tx: Queryable, domain: string): Promise<void> {
  const name = randomBytes(32).toString('hex');
  await tx.execute(sql`
    with guard as (
      insert into content_guard (id, domain_id, pulp_type, name)
      select ${uuid7()}::uuid, ${domain}::uuid, 'core.content_redirect', ${name}
      where not exists (select 1 from distribution where pulp_type = ${ARTIFACTS}) returning id)
    insert into distribution (id, domain_id, pulp_type, name, base_path, content_guard_id, pulp_last_updated)
    select ${uuid7()}::uuid, ${domain}::uuid, ${ARTIFACTS}, ${name}, ${name}, guard.id, now() from guard`);
}

/**
 * Makes what every installation begins with, where it is missing: the domain `default`, the user `admin`, the default
 * content guard, the distribution that serves artifacts, the built-in roles and policies. Several processes may do so at once.
 * `password` is asked for only when the user is made; answers whether it was.
 */
export async function bootstrap(
  db: Database,
  catalog: Catalog,
  password: () => string,
): Promise<{ readonly adminCreated: boolean }> {
  return db.transaction(async (tx) => {
    await tx.query(sql`select pg_advisory_xact_lock(${LOCK}::bigint)`);
    const domain = await ensureDomain(tx);
    await writeBuiltIns(tx, catalog);
    await tx.execute(sql`
      insert into content_guard (id, domain_id, pulp_type, name)
      values (${uuid7()}::uuid, ${domain}::uuid, 'core.content_redirect', 'content redirect')
      on conflict (domain_id, name) do nothing`);
    await ensureArtifactDistribution(tx, domain);
    // Whatever his name is by now: a renamed administrator must not bring back one with the first password.
    const [known] = await tx.query(sql`select from app_user limit 1`);
    if (known) return { adminCreated: false };
    await tx.execute(sql`
      insert into app_user (username, password, is_superuser, is_staff)
      values (${ADMIN}, ${await hashPassword(password())}, true, true)`);
    return { adminCreated: true };
  });
}
