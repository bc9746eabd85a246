import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { syncRepository } from '../sync/sync-repository.ts';

/** Mirrors a remote into the repository's next version. Result: the version, or `{"base_version": null}` where nothing has changed. */
export const synchronize = defineTask({
  name: 'pulp_ostree.app.tasks.synchronizing.synchronize',
  args: z.strictObject({ repository_id: z.uuid(), remote_id: z.uuid(), mirror: z.boolean() }),
  rerun: true,
  run: syncRepository,
});
