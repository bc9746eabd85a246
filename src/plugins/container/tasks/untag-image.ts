import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { tagOf } from '../content/latest-content.ts';
import { publishContent } from '../content/publish-content.ts';

/** Removes a tag and nothing else (spec: repositories, Container actions). Result: null. */
export const untagImage = defineTask({
  name: 'pulp_container.app.tasks.untag.untag_image',
  args: z.strictObject({ repository_id: z.uuid(), tag: z.string() }),
  rerun: true,
  async run({ repository_id, tag }, context) {
    await publishContent(context, repository_id, { remove: tagOf(repository_id, tag) });
    return null;
  },
});
