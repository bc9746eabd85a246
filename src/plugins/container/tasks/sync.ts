import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { syncRepository } from '../sync/sync-repository.ts';

/** Mirrors a remote into the repository's next version. Result: the version, or null where nothing has changed. */
export const synchronize = defineTask({
  name: 'pulp_container.app.tasks.synchronize.synchronize',
  args: z.strictObject({ repository_id: z.uuid(), remote_id: z.uuid(), mirror: z.boolean(), signed_only: z.boolean() }),
  rerun: true,
  run: syncRepository,
});
