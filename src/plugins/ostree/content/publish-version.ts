import { anyOf, contentIds, type PublishedVersion, publishVersion, type VersionChange } from '../../../core/plugin-api.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { comingVersion, withUnits } from './coming-version.ts';
import { objectsOf } from './commit-objects.ts';
import { UNIQUE_IN_VERSION } from './content-tables.ts';
import { saveFiles } from './file-saver.ts';
import { madeFiles, SUMMARY, SUMMARY_SIGNATURE, type UpstreamSummary } from './made-files.ts';
import { storeBytes } from './stored-bytes.ts';

export interface OstreePublication {
  readonly repository_id: string;
  readonly change: VersionChange;
  /** Commits to add, with all that they consist of. */
  readonly commits?: readonly string[];
  /** The version that this one was built from, where the client named one. */
  readonly base_version_id?: string;
  /** Kept, with its signature, where it tells of the refs and deltas that the version will hold. */
  readonly upstream?: UpstreamSummary | undefined;
  /** Seconds since 1970 that a summary made here says; default: now. */
  readonly last_modified?: number | undefined;
}

/**
 * Publishes the next version of an OSTree repository with the files that follow from its refs and static deltas: `summary` (the
 * upstream's, the one that is there, or one made for it), `summary.sig` only beside the bytes that it signs, and an index for each
 * commit that deltas lead to. Answers undefined, with nothing published, where nothing would change. Throws what publishVersion does.
 */
export async function publishOstreeVersion(
  context: Pick<TaskContext, 'services' | 'task'>,
  publication: OstreePublication,
): Promise<PublishedVersion | undefined> {
  const { services, task } = context;
  const { repository_id, base_version_id, commits = [], upstream } = publication;
  const change = { ...publication.change, add: anyOf([contentIds(commits), publication.change.add ?? contentIds([])]) };
  const lastModified = publication.last_modified ?? Math.floor(services.clock().getTime() / 1000);
  const coming = await comingVersion(services.db, repository_id, change, [SUMMARY, SUMMARY_SIGNATURE]);
  const made = await madeFiles(coming, { upstream, lastModified }, services);
  const stored = await Promise.all(
    [...made.write].map(async ([relative_path, bytes]) => ({ relative_path, file: await storeBytes(bytes, services) })),
  );
  const written = await services.db.transaction((tx) => saveFiles(tx, services.storage, task.domain_id, stored));
  const present = new Set([...made.keep, ...written]);
  const drop = made.drop.filter((id) => !present.has(id));
  const whole = withUnits(change, [...present], drop);
  return publishVersion(services, context, {
    repository_id,
    // Objects come last: they are many, and nothing that is made here depends on them.
    change: commits.length === 0 ? whole : { ...whole, add: anyOf([whole.add, objectsOf(commits)]) },
    unique: UNIQUE_IN_VERSION,
    ...(base_version_id === undefined ? {} : { base_version_id }),
  });
}
