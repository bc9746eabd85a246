import { seenContent } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { ContentSaver, type DeclaredCommit } from '../content/content-saver.ts';
import { findCommits } from '../content/known-objects.ts';
import { storeBytes } from '../content/stored-bytes.ts';
import type { Checksum } from '../format/checksum.ts';
import { type Commit, parseCommit } from '../format/commit.ts';
import { refuse } from '../format/format-error.ts';
import { ObjectType, objectName } from '../format/object.ts';
import type { SelectedRef } from '../sync/commit-chains.ts';
import { ObjectFetcher } from '../sync/object-fetcher.ts';
import type { TarRepository } from './tar-repository.ts';

/** Commits of a tar with their history, saved with all that they consist of. */
export interface ImportedCommits {
  /** Checksum -> id; those of the tar. */
  readonly ids: ReadonlyMap<Checksum, string>;
  /** Checksum -> parent; those of the tar. */
  readonly parents: ReadonlyMap<Checksum, Checksum | undefined>;
  /** Ids of the parents that are not in the tar, and of what is known to lie before them. */
  readonly before: readonly string[];
}

/** An import is reported of as a whole. */
const UNREPORTED = { increment: () => undefined };

/**
 * Takes the commits of refs and all that came before them. Where the tar ends before the history does, the rest has to be in a
 * repository of the domain. Throws an Error that names the parent where it is not, FormatError for what is wrong with the tar; what was
 * saved before stays, in no version.
 */
export async function importCommitsOf(
  tar: TarRepository,
  refs: readonly SelectedRef[],
  context: TaskContext,
): Promise<ImportedCommits> {
  const { commits, missing } = await followParents(tar, refs, context.signal);
  const before = await findParents(missing, context);
  const ids = await saveCommits(tar, commits, context);
  const links = [...commits].flatMap(([checksum, { parent: above }]) => {
    const parent = above && (ids.get(above) ?? before.get(above));
    return parent === undefined ? [] : [{ commit: ids.get(checksum) as string, parent }];
  });
  await new ContentSaver(context.services, context.task.domain_id).parents(links);
  return {
    ids,
    parents: new Map([...commits].map(([checksum, { parent }]) => [checksum, parent])),
    before: await withAncestors([...before.values()], context),
  };
}

interface Followed {
  readonly commits: ReadonlyMap<Checksum, Commit>;
  /** Parents that the tar does not have. */
  readonly missing: ReadonlySet<Checksum>;
}

async function followParents(tar: TarRepository, refs: readonly SelectedRef[], signal: AbortSignal): Promise<Followed> {
  const commits = new Map<Checksum, Commit>();
  const missing = new Set<Checksum>();
  for (const { name, commit: head } of refs) {
    let next: Checksum | undefined = head;
    while (next !== undefined && !commits.has(next)) {
      signal.throwIfAborted();
      const fetched = await tar.commit(next);
      if (!fetched) {
        if (next === head) refuse(objectName(head, ObjectType.commit), `it is not in the tar, where the ref ${name} names it`);
        missing.add(next);
        break;
      }
      const commit = parseCommit(fetched.bytes);
      commits.set(next, commit);
      next = commit.parent;
    }
  }
  return { commits, missing };
}

/** Commits of other repositories, by checksum. */
async function findParents(
  missing: ReadonlySet<Checksum>,
  { services: { db }, task }: TaskContext,
): Promise<ReadonlyMap<Checksum, string>> {
  if (missing.size === 0) return new Map();
  const known = await findCommits(db, task.domain_id, [...missing]);
  const held = await db.query<{ id: string }>(sql`
    select k.id from unnest(${[...known.values()].map(({ id }) => id)}::uuid[]) as k(id)
    where exists (select from repository_content rc where rc.content_id = k.id)`);
  const inRepositories = new Set(held.map(({ id }) => id));
  const found = new Map<Checksum, string>();
  for (const checksum of missing) {
    const id = known.get(checksum)?.id;
    if (id === undefined || !inRepositories.has(id)) throw new Error(`The parent commit '${checksum}' could not be loaded`);
    found.set(checksum, id);
  }
  return found;
}

async function withAncestors(commits: readonly string[], { services: { db } }: TaskContext): Promise<string[]> {
  if (commits.length === 0) return [];
  const rows = await db.query<{ id: string }>(sql`
    with recursive line as (
      select k.id, k.parent_commit_id from ostree_commit k where k.id = any(${commits}::uuid[])
      union select k.id, k.parent_commit_id from line join ostree_commit k on k.id = line.parent_commit_id),
    ${seenContent(sql`select id from line`)}
    select id from seen`);
  return rows.map(({ id }) => id);
}

async function saveCommits(
  tar: TarRepository,
  commits: ReadonlyMap<Checksum, Commit>,
  context: TaskContext,
): Promise<ReadonlyMap<Checksum, string>> {
  const { services, task } = context;
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const fetcher = new ObjectFetcher({
    ...{ services, client: tar, domainId: task.domain_id, remoteId: undefined, immediate: true },
    ...{ progress: UNREPORTED, stop, signal },
  });
  const roots = [...commits.values()].map(({ rootTree, rootMeta }) => fetcher.tree(rootTree, rootMeta));
  await fetcher.finish();
  const declared = async function* (): AsyncGenerator<DeclaredCommit> {
    for (const [index, [checksum, { timestamp, version }]] of [...commits].entries()) {
      signal.throwIfAborted();
      const fetched = await tar.commit(checksum);
      if (!fetched) return refuse(objectName(checksum, ObjectType.commit), 'it is not in the tar any more');
      const file = await storeBytes(fetched.bytes, services);
      yield { checksum, timestamp, version, file, objects: fetcher.idsBelow(roots[index] as readonly number[]) };
    }
  };
  return new ContentSaver(services, task.domain_id).commits(declared());
}
