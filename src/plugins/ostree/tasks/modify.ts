import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';

/**
 * Adds and removes units (spec: OSTree, modify). `remove`: ids, or all that is there. With `overwrite` off, a unit that would take
 * another's place fails the task. Result: null.
 */
export const modifyContent = defineTask({
  name: 'pulp_ostree.app.tasks.modifying.modify_content',
  args: z.strictObject({
    repository_id: z.uuid(),
    add: z.array(z.uuid()),
    remove: z.union([z.literal('*'), z.array(z.uuid())]),
    base_version_id: z.uuid().nullable(),
    overwrite: z.boolean(),
  }),
  rerun: true,
  run: () => Promise.reject(new Error('OSTree repositories cannot be modified yet')),
});
