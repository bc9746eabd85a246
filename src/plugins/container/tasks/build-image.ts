import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { buildRepository } from '../build/build-repository.ts';

/** Builds an image from a Containerfile into the repository's next version. Result: the version. */
export const buildImage = defineTask({
  name: 'pulp_container.app.tasks.builder.build_image',
  args: z.strictObject({
    repository_id: z.uuid(),
    containerfile: z.base64(),
    artifacts: z.array(z.strictObject({ id: z.uuid(), path: z.string() })),
    tag: z.string(),
  }),
  run: buildRepository,
});
