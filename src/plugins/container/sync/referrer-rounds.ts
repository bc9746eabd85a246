import { MissingRepositoryError } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { mapConcurrent } from '../../../lib/concurrent-map.ts';
import type { Digest } from '../../../lib/digest.ts';
import { isManifestMediaType } from '../oci/media-types.ts';
import type { Registry } from '../oci/registry-client.ts';
import { absentFromLatest } from './known-content.ts';
import type { ContainerRemote } from './load-container-remote.ts';
import { ManifestProgress } from './manifest-progress.ts';
import { syncing } from './sync-error.ts';
import type { Referrer, SyncRun } from './sync-run.ts';

/** How far referrers of referrers are followed: an SBOM, its signature, what that one has. */
const MAX_DEPTH = 4;
const QUESTIONS_AT_ONCE = 64;

export interface ReferrerRoundsOptions {
  readonly context: TaskContext;
  readonly repositoryId: string;
  readonly remote: ContainerRemote;
  readonly registry: Registry;
  readonly signal: AbortSignal;
}

/**
 * Brings what refers to the manifests of a sync, where the upstream has the Referrers API (docs/adr/020): there each manifest
 * costs a request, so manifests of the latest version are asked for again only where it holds referrers, or when it is time.
 * Elsewhere referrers are listed under fallback tags, which are companions of their subjects.
 */
export class ReferrerRounds {
  readonly #options: ReferrerRoundsOptions;
  /** When this sync began, by the database's clock, where it asks for all; undefined where it asks for what is new. */
  readonly #since: Date | undefined;
  readonly #asked = new Set<Digest>();
  /** Undefined where that is to be found out. */
  #hasApi: boolean | undefined;

  private constructor(options: ReferrerRoundsOptions, since: Date | undefined, hasApi: boolean | undefined) {
    this.#options = options;
    this.#since = since;
    this.#hasApi = hasApi;
  }

  /** Reads what earlier syncs have asked for. Throws MissingRepositoryError. */
  static async open(options: ReferrerRoundsOptions): Promise<ReferrerRounds> {
    const { context, repositoryId, remote } = options;
    const { db, config } = context.services;
    const [row] = await db.query<{ now: Date; due: boolean; has_api: boolean }>(sql`
      select now() as now, cr.referrers_api as has_api,
        cr.referrers_api is null
        or cr.referrers_remote_id is distinct from r.id
        or cr.referrers_asked <= now() - make_interval(hours => ${config.DECKLE_SYNC_REFERRERS_HOURS})
        or cr.referrers_asked <= r.pulp_last_updated
        or cr.referrers_api and exists (
          select from repository_content rc join container_manifest m on m.id = rc.content_id
          where rc.repository_id = cr.id and rc.version_removed is null and m.subject is not null) as due
      from container_repository cr, remote r
      where cr.id = ${repositoryId}::uuid and r.id = ${remote.id}::uuid`);
    if (!row) throw new MissingRepositoryError(repositoryId);
    return row.due ? new ReferrerRounds(options, row.now, undefined) : new ReferrerRounds(options, undefined, row.has_api);
  }

  /** Syncs what refers to the manifests that were synced so far, and what refers to that. Answers whether there was anything. */
  async sync(run: SyncRun): Promise<boolean> {
    let progress: ManifestProgress | undefined;
    let total = 0;
    for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
      const referrers = await this.#referrersOf(await this.#subjects(run));
      if (referrers.length === 0) break;
      progress ??= new ManifestProgress(this.#options.context.progress('sync.processing.manifest', 'Processing Referrers', 0));
      total += referrers.length;
      progress.setTotal(total);
      await run.sync(referrers, progress, true);
    }
    progress?.seal();
    return progress !== undefined;
  }

  /** Remembers, in the transaction that publishes the version, that all was asked for. */
  async remember(tx: Queryable): Promise<void> {
    if (!this.#since) return;
    const { repositoryId, remote } = this.#options;
    await tx.execute(sql`
      update container_repository
      set referrers_asked = ${this.#since}, referrers_remote_id = ${remote.id}::uuid,
        referrers_api = ${this.#hasApi ?? null}::boolean
      where id = ${repositoryId}::uuid`);
  }

  /** What is to be asked for, and was not yet. */
  async #subjects(run: SyncRun): Promise<readonly Digest[]> {
    if (this.#hasApi === false) return [];
    const { context, repositoryId, remote } = this.#options;
    const found = this.#since ? await run.digests() : run.walkedDigests;
    const digests = [...found].filter((digest) => !this.#asked.has(digest));
    for (const digest of digests) this.#asked.add(digest);
    if (this.#since || digests.length === 0) return digests;
    return absentFromLatest(context.services.db, repositoryId, remote.domain_id, digests);
  }

  /** The referrers of all the subjects, each once. The first question tells whether the upstream has the API at all. */
  async #referrersOf(subjects: readonly Digest[]): Promise<readonly Referrer[]> {
    const { signal } = this.#options;
    const found = new Map<Digest, Referrer>();
    const [first, ...others] = subjects;
    if (first === undefined) return [];
    const take = (referrers: readonly Referrer[]): void => {
      for (const referrer of referrers) found.set(referrer.digest, referrer);
    };
    take(await this.#ask(first));
    if (!this.#hasApi) return [];
    const ask = (subject: Digest) => this.#ask(subject);
    for await (const referrers of mapConcurrent(others, ask, { limit: QUESTIONS_AT_ONCE, signal })) take(referrers);
    return [...found.values()];
  }

  #ask(subject: Digest): Promise<readonly Referrer[]> {
    const { context, registry, remote, signal } = this.#options;
    const place = `referrers of ${subject} of ${remote.upstream_name} at ${new URL(remote.url).origin}`;
    return syncing(place, signal, async () => {
      const entries = await registry.referrers(subject, signal);
      this.#hasApi ??= entries !== undefined;
      return (entries ?? []).flatMap(({ digest, mediaType }) => {
        if (isManifestMediaType(mediaType)) return [{ digest, subject }];
        context.log.warn({ digest, subject, media_type: mediaType }, 'a referrer of an unknown media type is left out');
        return [];
      });
    });
  }
}
