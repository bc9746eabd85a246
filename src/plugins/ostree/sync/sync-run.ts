import type { Progress, TaskContext } from '../../../kit/define-task.ts';
import { ContentSaver, type DeclaredCommit } from '../content/content-saver.ts';
import { findMissing } from '../content/known-objects.ts';
import { saveRefs } from '../content/ref-saver.ts';
import { computeDeltas, computesDeltas, deltasTo, type WantedDelta } from '../deltas/compute-deltas.ts';
import type { Checksum } from '../format/checksum.ts';
import type { OstreeClient } from '../format/ostree-client.ts';
import { type ChainedCommit, CommitChains, type SelectedRef } from './commit-chains.ts';
import type { OstreeRemote } from './load-ostree-remote.ts';
import { ObjectFetcher } from './object-fetcher.ts';
import { syncFiles } from './repository-files.ts';
import { readMetadata, type SignedSummary, type UpstreamMetadata } from './upstream-metadata.ts';

export interface SyncRunOptions {
  readonly context: TaskContext;
  readonly remote: OstreeRemote;
  readonly client: OstreeClient;
  readonly repositoryId: string;
  /** The report of what says what there is: config, summary, commits. */
  readonly metadata: Progress;
  /** The report of all that is fetched. */
  readonly downloads: Progress;
}

/** What a sync has fetched and saved. */
export interface Mirrored {
  /** Ids of refs and files. */
  readonly units: readonly string[];
  /** Ids of commits. */
  readonly commits: readonly string[];
  readonly summary: SignedSummary | undefined;
}

/** One run of a sync: fetches the refs with all below them, and saves them while it fetches. */
export class SyncRun {
  readonly #options: SyncRunOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #saver: ContentSaver;

  constructor(options: SyncRunOptions) {
    const { context, remote } = options;
    this.#options = options;
    this.#signal = AbortSignal.any([context.signal, this.#stop.signal]);
    this.#saver = new ContentSaver(context.services, context.task.domain_id, remote.id);
  }

  /** Throws the first error; what was fetched before it is saved. */
  async run(): Promise<Mirrored> {
    const { metadata, downloads } = this.#options;
    const { upstream, chained } = await this.#reporting(metadata, async () => {
      const upstream = await readMetadata(this.#options.client, this.#options.remote, this.#signal);
      return { upstream, chained: await this.#chains(upstream.refs) };
    });
    metadata.increment();
    metadata.complete();
    return this.#reporting(downloads, () => this.#fetch(upstream, chained));
  }

  async #fetch(upstream: UpstreamMetadata, chained: readonly ChainedCommit[]): Promise<Mirrored> {
    const { context, client, repositoryId, downloads } = this.#options;
    const commits = await this.#commits(chained);
    const files = await syncFiles({
      context,
      client,
      repositoryId,
      upstream,
      commits: chained.map(({ checksum }) => checksum),
      onFetched: () => downloads.increment(),
      signal: this.#signal,
    });
    const refs = await saveRefs(this.#saver, upstream.refs, commits, context.services);
    const units = [...refs, ...files];
    const deltas = await computeDeltas(context, repositoryId, await this.#wantedDeltas(upstream.refs, chained), units);
    return { units: [...units, ...deltas], commits: [...commits.values()], summary: upstream.summary };
  }

  /** What the upstream may lack: from parents to heads, where the repository wants them and both are here. */
  async #wantedDeltas(refs: readonly SelectedRef[], chained: readonly ChainedCommit[]): Promise<readonly WantedDelta[]> {
    const { context, remote, repositoryId } = this.#options;
    if (remote.depth === 0 || remote.policy !== 'immediate' || !(await computesDeltas(context.services.db, repositoryId)))
      return [];
    const mirrored = new Set(chained.map(({ checksum }) => checksum));
    const parents = chained.flatMap(({ checksum, commit: { parent } }) =>
      parent !== undefined && mirrored.has(parent) ? [[checksum, parent] as const] : [],
    );
    return deltasTo(refs, new Map(parents));
  }

  async #chains(refs: readonly SelectedRef[]): Promise<readonly ChainedCommit[]> {
    const { context, remote, client, downloads } = this.#options;
    const chains = new CommitChains({
      services: context.services,
      client,
      domainId: context.task.domain_id,
      depth: remote.depth,
      onFetched: () => downloads.increment(),
      signal: this.#signal,
    });
    return [...(await chains.follow(refs)).values()];
  }

  /** Fetches and saves what commits consist of, and the commits; answers the ids of their rows. */
  async #commits(chained: readonly ChainedCommit[]): Promise<ReadonlyMap<Checksum, string>> {
    const { context, remote, client, downloads } = this.#options;
    const ids = new Map(chained.flatMap(({ checksum, known }) => (known ? [[checksum, known.id] as const] : [])));
    const fetcher = new ObjectFetcher({
      services: context.services,
      client,
      domainId: context.task.domain_id,
      remoteId: remote.id,
      immediate: remote.policy === 'immediate',
      progress: downloads,
      stop: this.#stop,
      signal: this.#signal,
    });
    const fresh = chained.flatMap(({ checksum, commit, known, file }) => (known || !file ? [] : [{ checksum, commit, file }]));
    let roots: readonly (readonly number[])[] = [];
    try {
      roots = fresh.map(({ commit }) => fetcher.tree(commit.rootTree, commit.rootMeta));
      await this.#completeKnown([...ids.values()], fetcher);
    } catch (error) {
      this.#stop.abort(error);
    } finally {
      await fetcher.finish();
    }
    this.#signal.throwIfAborted();
    await this.#saver.rememberObjects(fetcher.known);
    const declared = function* (): Generator<DeclaredCommit> {
      for (const [index, { checksum, commit, file }] of fresh.entries()) {
        const { timestamp, version } = commit;
        yield { checksum, timestamp, version, file, objects: fetcher.idsBelow(roots[index] ?? []) };
      }
    };
    for (const [checksum, id] of await this.#saver.commits(declared())) ids.set(checksum, id);
    await this.#saver.parents(parentsOf(chained, ids));
    return ids;
  }

  /** Fetches the bytes that known commits lack: after a change of policy, or after reclaimed space. */
  async #completeKnown(commits: readonly string[], fetcher: ObjectFetcher): Promise<void> {
    if (commits.length === 0) return;
    const { context, remote } = this.#options;
    const { db } = context.services;
    await this.#saver.remember(commits);
    const missing = await findMissing(db, commits, remote.policy === 'immediate');
    for (const { checksum, typ } of missing) fetcher.object(checksum, typ);
  }

  /** Runs a stage: its error, but no abort, is what its report shows, and ends all else. */
  async #reporting<T>(progress: Progress, stage: () => Promise<T>): Promise<T> {
    try {
      return await stage();
    } catch (error) {
      if (!this.#options.context.signal.aborted) progress.fail();
      this.#stop.abort(error);
      throw error;
    }
  }
}

/** Those of the commits whose parents are mirrored too, as ids of rows. */
function parentsOf(
  chained: readonly ChainedCommit[],
  ids: ReadonlyMap<Checksum, string>,
): { readonly commit: string; readonly parent: string }[] {
  return chained.flatMap(({ checksum, commit: { parent: above } }) => {
    const commit = ids.get(checksum);
    const parent = above === undefined ? undefined : ids.get(above);
    return commit === undefined || parent === undefined ? [] : [{ commit, parent }];
  });
}
