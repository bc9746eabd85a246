import { z } from 'zod';
import { contentIds } from '../../../core/plugin-api.ts';
import { defineTask } from '../../../kit/define-task.ts';
import { allOf, imagesOf } from '../content/latest-content.ts';
import { publishContent } from '../content/publish-content.ts';
import { removalOf } from '../content/removal.ts';

/** Ids of content; ids of manifests, which go with their tags; or everything. */
const removed = z.discriminatedUnion('what', [
  z.strictObject({ what: z.literal('units'), ids: z.array(z.uuid()) }),
  z.strictObject({ what: z.literal('images'), ids: z.array(z.uuid()) }),
  z.strictObject({ what: z.literal('everything') }),
]);

/** Removes content, with all that nothing else needs then (spec: repositories, Recursive remove algorithm). Result: null. */
export const recursiveRemove = defineTask({
  name: 'pulp_container.app.tasks.recursive_remove.recursive_remove_content',
  args: z.strictObject({ repository_id: z.uuid(), removed }),
  rerun: true,
  async run({ repository_id, removed }, context) {
    await publishContent(context, repository_id, { remove: selectionOf(repository_id, removed) });
    return null;
  },
});

function selectionOf(repositoryId: string, asked: z.output<typeof removed>) {
  if (asked.what === 'everything') return allOf(repositoryId);
  return removalOf(repositoryId, asked.what === 'images' ? imagesOf(repositoryId, asked.ids) : contentIds(asked.ids));
}
