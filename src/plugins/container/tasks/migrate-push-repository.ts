import { z } from 'zod';
import { DISTRIBUTION_CHANNEL, tellRepository } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Row } from '../../../kit/define-resource.ts';
import { defineTask } from '../../../kit/define-task.ts';
import { hrefOf, prnType } from '../../../kit/names.ts';
import { serialize } from '../../../kit/serialize.ts';

/** Turns a repository that pushes made into an ordinary one, with the same id. Result: that one. */
export const migratePushRepository = defineTask({
  name: 'pulp_container.app.tasks.migrate_push_repository.migrate_push_repository',
  args: z.strictObject({ repository_id: z.uuid() }),
  rerun: true,
  async run({ repository_id }, { services, created }) {
    await services.db.transaction((tx) => migrate(tx, repository_id));
    const repository = services.catalog.ofType('repositories', 'container.container');
    const [row] = await services.db.query<Row>(
      sql`select ${repository.select} from ${repository.from} where m.id = ${repository_id}::uuid`,
    );
    if (!row) throw new Error('The repository was deleted before the task ran.');
    created(hrefOf(repository, row.id), `prn:${prnType(repository)}:${row.id}`);
    return serialize(repository, row, services);
  },
});

async function migrate(tx: Queryable, id: string): Promise<void> {
  const [pushed] = await tx.query(sql`
    update repository set pulp_type = 'container.container', pulp_last_updated = now()
    where id = ${id}::uuid and pulp_type = 'container.container-push' returning id`);
  // An earlier run of this task has done it already, or the repository was deleted.
  if (!pushed) return;
  await tx.execute(sql`
    with gone as (delete from container_push_repository where id = ${id}::uuid returning id, manifest_signing_service_id)
    insert into container_repository (id, manifest_signing_service_id, origin)
    select id, manifest_signing_service_id, 'push' from gone`);
  // Rows that change their type are not counted by the triggers (docs/adr/018).
  await tx.execute(sql`
    insert into row_count (table_name, pulp_type, rows)
    values ('repository', 'container.container-push', -1), ('repository', 'container.container', 1)`);
  await tx.query(sql`
    ${tellRepository(id)}
    union all
    select pg_notify(${DISTRIBUTION_CHANNEL}, d.id::text) from distribution d where d.repository_id = ${id}::uuid`);
}
