import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
export const synchronize = defineTask({ name: 'pulp_container.app.tasks.synchronize.synchronize', args: z.object({ repository_id: z.uuid(), remote_id: z.uuid(), mirror: z.boolean(), signed_only: z.boolean() }), rerun: true, run: async () => null });
