import type { TaskContext } from '../../../kit/define-task.ts';
import { mapConcurrent } from '../../../lib/concurrent-map.ts';
import type { Digest } from '../../../lib/digest.ts';
import { fallbackTag } from '../oci/reference.ts';
import type { Registry } from '../oci/registry-client.ts';
import { HeadProbe } from './head-probe.ts';
import { findManifests, type KnownTag, namesSeen } from './known-content.ts';
import type { ContainerRemote } from './load-container-remote.ts';
import { ManifestProgress } from './manifest-progress.ts';
import {
  companionStem,
  companionTagsOf,
  looksLikeCompanion,
  type ReferenceSelection,
  selectReferences,
} from './reference-selection.ts';
import type { ReferrerRounds } from './referrer-rounds.ts';
import { isNotFound, type Reference, type SyncRun } from './sync-run.ts';

/** Without a tag list each of these costs four requests; above, the list is the cheaper way to find companions. */
const MAX_PROBED_SUBJECTS = 100;
const PROBES_AT_ONCE = 64;

export interface RoundsOptions {
  readonly context: TaskContext;
  readonly remote: ContainerRemote;
  readonly registry: Registry;
  readonly latest: ReadonlyMap<string, KnownTag>;
  /** Only images that have a companion are wanted: the registry offers no other signatures. */
  readonly companionsDecide: boolean;
  readonly referrers: ReferrerRounds;
  readonly signal: AbortSignal;
}

/** What is to be synced: first the selected references, then the companions of what these have brought, then what refers to any of that. */
export class ReferenceRounds {
  readonly #options: RoundsOptions;
  readonly #selection: ReferenceSelection;
  /** Companions that were found, so far. */
  readonly #companions = new Set<string>();
  #listed: readonly string[] | undefined;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#selection = selectReferences(options.remote.includes, options.remote.excludes);
  }

  /** The fallback tags of the digests that have a companion upstream, where that decides what is wanted. Reads the tag list. */
  async subjects(): Promise<ReadonlySet<string> | undefined> {
    if (!this.#options.companionsDecide) return undefined;
    return new Set((await this.#tags()).map(companionStem).filter((stem) => stem !== undefined));
  }

  /** Syncs all that the remote selects. */
  async sync(run: SyncRun): Promise<void> {
    await this.#syncSelected(run);
    if (this.#companionsApart) await this.#syncCompanions(run);
    const found = await this.#options.referrers.sync(run);
    // Without a list each digest would cost four requests: those of the selection itself are enough.
    if (found && this.#companionsApart && this.#listed) await this.#syncCompanions(run);
  }

  /** With a filter, companions follow their subjects; without, they are tags like any other. */
  get #companionsApart(): boolean {
    return this.#selection.filtered || this.#options.companionsDecide;
  }

  async #syncSelected(run: SyncRun): Promise<void> {
    const { context } = this.#options;
    const { exactTags, digests, takes } = this.#selection;
    const listed = this.#listed ?? (exactTags ? undefined : await this.#tags());
    const tags = listed
      ? listed.filter((tag) => takes(tag) && !(this.#companionsApart && looksLikeCompanion(tag)))
      : (exactTags ?? []);
    const references = [...(await this.#tagReferences(tags, !listed)), ...digests.map((digest) => ({ digest }))];
    const report = context.progress('sync.processing.manifest', 'Processing Manifests', references.length);
    await run.sync(references, new ManifestProgress(report));
    // None of the tags is there: no match is no error, but an unknown repository is, and only the list tells.
    if (!listed && tags.length > 0 && run.absent === tags.length) await this.#tags();
  }

  /** All companions, and theirs, until there are no more. */
  async #syncCompanions(run: SyncRun): Promise<void> {
    let progress: ManifestProgress | undefined;
    let total = 0;
    for (;;) {
      const companions = (await this.#companionsOf(await run.digests())).filter(({ tag }) => !this.#companions.has(tag));
      if (companions.length === 0) break;
      for (const { tag } of companions) this.#companions.add(tag);
      progress ??= this.#companionProgress();
      total += companions.length;
      progress.setTotal(total);
      await run.sync(companions, progress, true);
      if (!this.#listed) break;
    }
    progress?.seal();
  }

  #companionProgress(): ManifestProgress {
    const report = this.#options.context.progress('sync.processing.manifest', 'Processing Cosign Companion Tags', 0);
    return new ManifestProgress(report);
  }

  async #companionsOf(subjects: ReadonlySet<Digest>): Promise<Extract<Reference, { tag: string }>[]> {
    if (!this.#listed && subjects.size <= MAX_PROBED_SUBJECTS) return this.#probe(subjects);
    const stems = new Set([...subjects].map(fallbackTag));
    const companions = (await this.#tags()).filter((tag) => {
      const stem = companionStem(tag);
      return stem !== undefined && stems.has(stem) && !this.#companions.has(tag) && !this.#selection.excludes(tag);
    });
    return this.#tagReferences(companions, false);
  }

  /** Asks for the companions that there may be, one by one. */
  async #probe(subjects: ReadonlySet<Digest>): Promise<Extract<Reference, { tag: string }>[]> {
    const { registry, signal } = this.#options;
    const candidates = [...subjects].flatMap(companionTagsOf).filter((tag) => !this.#selection.excludes(tag));
    const ask = async (tag: string) => {
      try {
        return [{ tag, head: false, digest: await registry.head(tag, signal) }];
      } catch (error) {
        if (isNotFound(error)) return [];
        throw error;
      }
    };
    const found: Extract<Reference, { tag: string }>[] = [];
    for await (const each of mapConcurrent(candidates, ask, { limit: PROBES_AT_ONCE, signal })) found.push(...each);
    return found;
  }

  /**
   * A tag is asked for by HEAD first where the answer may be one that the server has; otherwise that would be one request more.
   * Names of the latest version may be, and names seen of the same upstream; names seen of others only a probe can tell.
   */
  async #tagReferences(tags: readonly string[], optional: boolean): Promise<Extract<Reference, { tag: string }>[]> {
    const { context, remote, latest } = this.#options;
    const { db } = context.services;
    const unknown = tags.filter((tag) => !latest.has(tag));
    if (unknown.length === 0) return tags.map((tag) => ({ tag, head: true, optional }));
    const seen = await namesSeen(db, remote, remote.upstream_name, unknown);
    const isKnown = async (digest: Digest) => (await findManifests(db, remote.domain_id, [digest])).size > 0;
    const headOfSeen = seen.upstream || new HeadProbe(isKnown);
    return tags.map((tag) => ({ tag, head: latest.has(tag) || (seen.names.has(tag) && headOfSeen), optional }));
  }

  /** The upstream's tag list, read once. */
  async #tags(): Promise<readonly string[]> {
    if (this.#listed) return this.#listed;
    const { context, registry, signal } = this.#options;
    const report = context.progress('sync.downloading.tag_list', 'Downloading tag list', 1);
    try {
      const tags: string[] = [];
      for await (const tag of registry.tags(signal)) tags.push(tag);
      report.increment();
      report.complete();
      this.#listed = tags;
      return tags;
    } catch (error) {
      if (!signal.aborted) report.fail();
      throw error;
    }
  }
}
