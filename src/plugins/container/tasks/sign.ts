import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { signRepository } from '../signing/sign-repository.ts';

/** Signs the images of a repository by a signing service, into its next version. Result: null. */
export const sign = defineTask({
  name: 'pulp_container.app.tasks.sign.sign',
  args: z.strictObject({
    repository_id: z.uuid(),
    signing_service_id: z.uuid(),
    reference: z.string(),
    tags: z.array(z.string()).nullable(),
  }),
  async run(args, context) {
    await signRepository(args, context);
    return null;
  },
});
