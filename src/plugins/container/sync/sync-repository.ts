import { contentIds, publishVersion, syncedVersion, tellRepository } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { Progress, TaskContext } from '../../../kit/define-task.ts';
import type { Digest } from '../../../lib/digest.ts';
import { closureOf } from '../content/closure.ts';
import { fallbackTag } from '../oci/reference.ts';
import type { Registry } from '../oci/registry-client.ts';
import { UNIQUE_TAGS } from './content-tables.ts';
import { tagsOfLatest } from './known-content.ts';
import { type ContainerRemote, loadContainerRemote, openRepository } from './load-container-remote.ts';
import { ManifestSignatures } from './manifest-signatures.ts';
import { ReferenceRounds } from './reference-rounds.ts';
import { companionStem } from './reference-selection.ts';
import { ReferrerRounds } from './referrer-rounds.ts';
import { SyncRun } from './sync-run.ts';

export interface SyncOptions {
  readonly repository_id: string;
  readonly remote_id: string;
  /** The new version holds exactly what this sync selects. */
  readonly mirror: boolean;
  /** Leave out images without a signature. */
  readonly signed_only: boolean;
}

/** What a sync has selected, saved: ids of content, without what is below it. */
interface Selected {
  /** Tags that the latest version has already. */
  readonly unchanged: readonly string[];
  readonly roots: readonly string[];
  readonly referrers: ReferrerRounds;
}

/**
 * Mirrors the remote's repository into a new version (spec: sync). Answers that version as the REST API does, or null where
 * nothing has changed. An error leaves no version; what was fetched before it stays for the next sync.
 */
export async function syncRepository(options: SyncOptions, context: TaskContext): Promise<unknown> {
  const { services } = context;
  const remote = await loadContainerRemote(services, options.remote_id);
  const downloads = context.progress('sync.downloading.artifacts', 'Downloading Artifacts');
  const association = context.progress('associating.content', 'Associating Content');
  const registry = openRemote(remote, context);
  let selected: Selected;
  try {
    selected = await fetchSelected(options, remote, registry, downloads, context);
  } finally {
    await registry.close();
  }
  downloads.complete();
  context.signal.throwIfAborted();
  return publish(options, selected, association, context);
}

function openRemote(remote: ContainerRemote, { services: { config }, log }: TaskContext): Registry {
  if (!remote.tls_validation && remote.url.startsWith('https:')) {
    log.warn(
      { remote_id: remote.id },
      'the remote has tls_validation off: whoever is in between can change what is synced by tag',
    );
  }
  return openRepository(remote, remote, { config, log });
}

async function fetchSelected(
  options: SyncOptions,
  remote: ContainerRemote,
  registry: Registry,
  downloads: Progress,
  context: TaskContext,
): Promise<Selected> {
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const latest = await tagsOfLatest(context.services.db, options.repository_id);
  const signatures = await ManifestSignatures.open(registry, remote.sigstore, signal, context.log);
  const companionsDecide = options.signed_only && !signatures;
  const referrers = await ReferrerRounds.open({ context, repositoryId: options.repository_id, remote, registry, signal });
  const rounds = new ReferenceRounds({ context, remote, registry, latest, companionsDecide, referrers, signal });
  const subjects = await rounds.subjects();
  const wants = (digest: Digest, tag = '') => !subjects || subjects.has(fallbackTag(digest)) || companionStem(tag) !== undefined;
  const run = new SyncRun({
    context,
    remote,
    registry,
    latest,
    signatures,
    signedOnly: options.signed_only,
    wants,
    downloads,
    stop,
    signal,
  });
  try {
    await rounds.sync(run);
    await run.completeKnown();
  } catch (error) {
    stop.abort(error);
    await run.close().catch((cause: unknown) => {
      if (cause !== error) context.log.warn({ err: cause }, 'a failed sync could not save all that it had fetched');
    });
    throw error;
  }
  await run.close();
  return { unchanged: run.unchanged, roots: run.roots, referrers };
}

async function publish(
  { repository_id, mirror }: SyncOptions,
  { unchanged, roots, referrers }: Selected,
  association: Progress,
  context: TaskContext,
): Promise<unknown> {
  const add = closureOf(contentIds(mirror ? [...unchanged, ...roots] : roots));
  const publication = { repository_id, change: { add, mirror }, unique: [UNIQUE_TAGS] };
  const version = await publishVersion(context.services, context, publication, async (tx) => {
    const first = await tx.execute(sql`
      update container_repository set mirrored = true where id = ${repository_id}::uuid and not mirrored`);
    if (first > 0) await tx.query(tellRepository(repository_id));
    await referrers.remember(tx);
  });
  const repository = { pulpType: 'container.container', repository_id };
  return (await syncedVersion(context, repository, version, association)) ?? null;
}
