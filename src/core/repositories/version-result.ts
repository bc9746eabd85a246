import type { Progress, TaskContext } from '../../kit/define-task.ts';
import { versionPrn } from '../../kit/names.ts';
import type { PublishedVersion } from './publish-version.ts';
import { type VersionResponse, versionHref, versionResponse } from './version-response.ts';

/** The repository whose version a task publishes. */
interface Published {
  readonly pulpType: string;
  readonly repository_id: string;
}

/** Notes a version as made by the task. */
export function noteVersion(
  context: Pick<TaskContext, 'created'>,
  { pulpType, repository_id }: Published,
  version: PublishedVersion,
): void {
  context.created(versionHref(pulpType, repository_id, version.number), versionPrn(version.id));
}

/**
 * The end of a sync: notes the version, reports what it has added and removed, and answers it as the REST API does; undefined where
 * nothing has changed.
 */
export async function syncedVersion(
  context: TaskContext,
  repository: Published,
  version: PublishedVersion | undefined,
  association: Progress,
): Promise<VersionResponse | undefined> {
  association.increment(version?.added ?? 0);
  association.complete();
  if (!version) return undefined;
  if (version.removed > 0) {
    const removal = context.progress('unassociating.content', 'Un-Associating Content');
    removal.increment(version.removed);
    removal.complete();
  }
  noteVersion(context, repository, version);
  const { db, catalog } = context.services;
  return versionResponse(db, catalog, version.id);
}
