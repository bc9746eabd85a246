import { contentIds, remoteUpstream, syncedVersion } from '../../../core/plugin-api.ts';
import type { Progress, TaskContext } from '../../../kit/define-task.ts';
import { publishOstreeVersion } from '../content/publish-version.ts';
import { openOstree } from '../format/ostree-client.ts';
import { loadOstreeRemote } from './load-ostree-remote.ts';
import { type Mirrored, SyncRun } from './sync-run.ts';

export interface SyncOptions {
  readonly repository_id: string;
  readonly remote_id: string;
  /** The new version holds exactly what this sync selects. */
  readonly mirror: boolean;
}

/**
 * Mirrors the remote's repository into a new version (spec: ostree, 5). Answers that version as the REST API does, or
 * `{"base_version": null}` where nothing has changed. An error leaves no version; what was fetched before it stays for the next sync.
 */
export async function syncRepository(options: SyncOptions, context: TaskContext): Promise<unknown> {
  const { services } = context;
  const remote = await loadOstreeRemote(services, options.remote_id);
  const metadata = context.progress('sync.parsing_metadata', 'Parsing Metadata', 1);
  const downloads = context.progress('sync.downloading.artifacts', 'Downloading Artifacts');
  const association = context.progress('associating.content', 'Associating Content');
  const client = openOstree(
    remoteUpstream(remote, { config: services.config, log: context.log }),
    services.config.PULP_ALLOWED_CONTENT_CHECKSUMS,
  );
  let mirrored: Mirrored;
  try {
    mirrored = await new SyncRun({ context, remote, client, repositoryId: options.repository_id, metadata, downloads }).run();
  } finally {
    await client.close();
  }
  downloads.complete();
  context.signal.throwIfAborted();
  return publish(options, mirrored, association, context);
}

async function publish(
  { repository_id, mirror }: SyncOptions,
  { units, commits, summary }: Mirrored,
  association: Progress,
  context: TaskContext,
): Promise<unknown> {
  const version = await publishOstreeVersion(context, {
    repository_id,
    change: { add: contentIds(units), mirror },
    commits,
    upstream: summary,
    last_modified: summary?.summary.lastModified,
  });
  const repository = { pulpType: 'ostree.ostree', repository_id };
  return (await syncedVersion(context, repository, version, association)) ?? { base_version: null };
}
