import { defineRepository, versionsOf } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { ASYNC_RESPONSE } from '../../../kit/components.ts';
import type { Action } from '../../../kit/define-resource.ts';
import { prnType } from '../../../kit/names.ts';
import { pushRepositoryPolicy, pushVersionPolicy } from '../access/policies.ts';
import { migratePushRepository } from '../tasks/migrate-push-repository.ts';
import { pushedContentActions } from './content-actions.ts';
import { containerDistribution } from './distribution.ts';
import { manifestSigningService } from './repository.ts';
import { signAction } from './sign-action.ts';

/** `migrate/`: turns it into an ordinary repository of the same id, by a task that holds it and what serves it. */
const migrate: Action = {
  method: 'post',
  summary: 'Turn it into an ordinary container repository',
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, resource, row }) {
    const serving = await request.services.db.query<{ id: string }>(
      sql`select id from distribution where repository_id = ${row.id}::uuid order by id`,
    );
    const held = serving.map(({ id }) => `prn:${prnType(containerDistribution)}:${id}`);
    const task = await request.dispatch(
      migratePushRepository,
      { repository_id: row.id },
      { exclusive: [`prn:${prnType(resource)}:${row.id}`, ...held] },
    );
    return { status: 202, body: { task: task.href } };
  },
};

/** A repository that pushes made in older servers: it goes with what serves it, and can be turned into an ordinary one. */
export const containerPushRepository = defineRepository({
  plugin: 'container',
  endpoint: 'container-push',
  model: 'ContainerPushRepository',
  title: ['container push repository', 'container push repositories'],
  description: 'A container repository that was made by a push in an older server.',
  fields: { manifest_signing_service: manifestSigningService },
  policy: pushRepositoryPolicy,
  permissions: ['modify_content', 'manage_roles'],
  pushed: true,
  actions: { ...pushedContentActions, migrate, sign: signAction },
  detail: { table: 'container_push_repository', columns: ['manifest_signing_service_id'] },
});

export const containerPushRepositoryVersions = versionsOf(containerPushRepository, { policy: pushVersionPolicy });
