import { sql } from '../../src/db/sql.ts';
import type { TestApp } from './app.ts';

const API = '/pulp/api/v3/repositories/container/';

/** Makes a repository that was made by the API one that pushes made in an older server, as a migrated database has it. Answers its path. */
export async function asPushRepository({ services: { db } }: TestApp, href: string): Promise<string> {
  const id = href.split('/').at(-2) as string;
  await db.transaction(async (tx) => {
    const [row] = await tx.query<{ pulp_type: string }>(sql`select pulp_type from repository where id = ${id}::uuid for update`);
    if (row?.pulp_type !== 'container.container') throw new Error(`${href} is no repository of images`);
    await tx.execute(sql`delete from container_repository where id = ${id}::uuid`);
    await tx.execute(sql`update repository set pulp_type = 'container.container-push' where id = ${id}::uuid`);
    await tx.execute(sql`insert into container_push_repository (id) values (${id}::uuid)`);
    await tx.execute(sql`
      insert into row_count (table_name, pulp_type, rows)
      values ('repository', 'container.container', -1), ('repository', 'container.container-push', 1)`);
  });
  return `${API}container-push/${id}/`;
}

/** Says of a repository what made it on its way. */
export async function madeBy({ services: { db } }: TestApp, href: string, origin: 'push' | 'pull-through'): Promise<void> {
  const id = href.split('/').at(-2) as string;
  await db.execute(sql`update container_repository set origin = ${origin} where id = ${id}::uuid`);
}
