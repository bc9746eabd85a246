import { noteVersion, type PublishedVersion, publishVersion, type VersionChange } from '../../../core/plugin-api.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { UNIQUE_TAGS } from '../sync/content-tables.ts';

/**
 * Publishes a change as the next version of a repository of images, and notes it as made by the task. Answers undefined, with nothing
 * published, where nothing would change. Throws what publishVersion does.
 */
export async function publishContent(
  context: TaskContext,
  repository_id: string,
  change: VersionChange,
): Promise<PublishedVersion | undefined> {
  const version = await publishVersion(context.services, context, { repository_id, change, unique: [UNIQUE_TAGS] });
  if (version) noteVersion(context, { pulpType: version.pulp_type, repository_id }, version);
  return version;
}
