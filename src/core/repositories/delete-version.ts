import { z } from 'zod';
import { sql } from '../../db/sql.ts';
import { defineTask } from '../../kit/define-task.ts';
import { assertFence } from '../tasks/fence.ts';
import { lockRepository, tellRepository } from './repository-lock.ts';
import { squashVersions } from './squash-versions.ts';

/** A repository must keep a version. */
export class LastVersionError extends Error {
  override readonly name = 'LastVersionError';
  readonly error_code = 'PLP0011';
  constructor() {
    super('[PLP0011] Cannot delete repository version. Repositories must have at least one repository version.');
  }
}

/** A distribution is pinned to the version. */
export class ServedVersionError extends Error {
  override readonly name = 'ServedVersionError';
  constructor() {
    super(
      'The repository version cannot be deleted because it (or its publications) are currently being used to distribute content. Please update the necessary distributions first.',
    );
  }
}

/** Deletes a version; its changes are squashed into the next one (spec: repositories, Delete a version). Result: null. */
export const deleteVersion = defineTask({
  name: 'pulpcore.app.tasks.repository.delete_version',
  args: z.strictObject({ repository_id: z.uuid(), number: z.int().min(0) }),
  rerun: true,
  run: ({ repository_id, number }, { services, task }) =>
    services.db.transaction(async (tx) => {
      const repository = await lockRepository(tx, repository_id);
      await assertFence(tx, task);
      const versions = await tx.query<{ number: number; served: boolean }>(sql`
        select v.number, exists (select from distribution d where d.repository_version_id = v.id) as served
        from repository_version v where v.repository_id = ${repository_id}::uuid`);
      const version = versions.find((each) => each.number === number);
      // An earlier run of this task, or retention, has deleted it already.
      if (!version) return null;
      if (versions.length === 1) throw new LastVersionError();
      if (version.served) throw new ServedVersionError();
      await squashVersions(tx, repository.id, [number]);
      await tx.query(tellRepository(repository.id));
      return null;
    }),
});
