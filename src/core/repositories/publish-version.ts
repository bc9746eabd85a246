import { v7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { raw, sql } from '../../db/sql.ts';
import type { TaskContext } from '../../kit/define-task.ts';
import type { Services } from '../../kit/services.ts';
import { type ContentSelection, noContent, touchContent } from '../content/content-selection.ts';
import { assertFence } from '../tasks/fence.ts';
import { type LockedRepository, lockRepository, notifyRepository } from './repository-lock.ts';
import { retainVersions } from './retention.ts';
import { type ContentCounts, countsOf, sumOf, totalOf } from './version-counts.ts';

/** How a version differs from the latest one. */
export interface VersionChange {
  /** Present afterwards. What is present already is left alone. */
  readonly add?: ContentSelection;
  /** Absent afterwards, unless `add` selects it too. */
  readonly remove?: ContentSelection;
  /** The version holds exactly what `add` selects. */
  readonly mirror?: boolean;
}

/** A rule of a content type: within a version no two units share the column's value; an added unit takes the place of the old one. */
export interface UniqueInVersion {
  readonly pulp_type: string;
  readonly table: string;
  readonly column: string;
}

export interface Publication {
  readonly repository_id: string;
  readonly change: VersionChange;
  readonly unique?: readonly UniqueInVersion[];
  /** The version that this one was built from, where the client named one. */
  readonly base_version_id?: string;
}

/** A version that has just become the latest. */
export interface PublishedVersion {
  readonly id: string;
  /** The repository's pulp_type. */
  readonly pulp_type: string;
  readonly number: number;
  /** Units, of all types together. */
  readonly added: number;
  readonly removed: number;
}

/**
 * So many rows that the database should count them before it is asked again: until its own statistics catch up, a minute later, it takes
 * a repository that was empty for one of a single row, and joins row by row what is tens of thousands.
 */
const UNFORESEEN = 5000;

/** Two added units share what must be unique within a version: neither can take the other's place. */
export class DuplicateContentError extends Error {
  override readonly name = 'DuplicateContentError';
  readonly error_code = 'PLP0022';
}

/** The version to build upon went before the new one was published. */
export class MissingBaseVersionError extends Error {
  override readonly name = 'MissingBaseVersionError';
}

/**
 * Publishes the next version in one transaction whose cost follows the change; answers undefined, with nothing written, where
 * nothing would change. Applies `retain_repo_versions` and tells other processes. Throws what `assertFence` does
 * where the task was taken over or canceled; MissingRepositoryError, MissingBaseVersionError, DuplicateContentError. `also` is
 * written in the same transaction, whether there is a version or not.
 */
export function publishVersion(
  services: Pick<Services, 'db'>,
  context: Pick<TaskContext, 'task'>,
  publication: Publication,
  also?: (tx: Queryable) => Promise<unknown>,
): Promise<PublishedVersion | undefined> {
  return services.db.transaction(async (tx) => {
    const repository = await lockRepository(tx, publication.repository_id);
    await assertFence(tx, context.task);
    await also?.(tx);
    return publishLocked(tx, repository, publication);
  });
}

/**
 * As `publishVersion`, in a transaction that has locked the repository: for requests, which publish what they have brought without a
 * task, one after the other.
 */
export async function publishLocked(
  tx: Queryable,
  repository: LockedRepository,
  publication: Omit<Publication, 'repository_id'>,
): Promise<PublishedVersion | undefined> {
  if (publication.base_version_id !== undefined) await holdBase(tx, publication.base_version_id);
  const changed = await associate(tx, repository, publication);
  if (totalOf(changed.added) + totalOf(changed.removed) === 0) return undefined;
  const version = await insertVersion(tx, repository, changed, publication.base_version_id ?? null);
  await touchContent(
    tx,
    sql`select content_id from repository_content where repository_id = ${repository.id}::uuid and version_added = ${version.number}`,
  );
  if (repository.retain_repo_versions !== null) await retainVersions(tx, repository.id, repository.retain_repo_versions);
  if (version.added + version.removed >= UNFORESEEN) await tx.execute(sql`analyze repository_content`);
  await notifyRepository(tx, repository.id);
  return version;
}

/** Keeps the version until the transaction ends: what is built upon it was selected by its number. Throws where it was deleted. */
async function holdBase(tx: Queryable, id: string): Promise<void> {
  const [base] = await tx.query(sql`select id from repository_version where id = ${id}::uuid for key share`);
  if (!base) throw new MissingBaseVersionError('The version to start from was deleted before the new one was published.');
}

interface Changed {
  readonly added: ContentCounts;
  readonly removed: ContentCounts;
}

/** Writes the difference to the latest version as rows of the next number; the counts are of what was written. */
async function associate(
  tx: Queryable,
  repository: LockedRepository,
  publication: Omit<Publication, 'repository_id'>,
): Promise<Changed> {
  const { add = noContent, remove, mirror = false } = publication.change;
  const number = repository.next_version;
  const unselected = sql`not exists (select from declared d where d.id = rc.content_id)`;
  const leaving = mirror ? unselected : remove ? sql`rc.content_id in (${remove}) and ${unselected}` : sql`false`;
  const rows = await tx.query<{ side: keyof Changed; pulp_type: string; count: number }>(sql`
    with declared as materialized (select distinct s.id from (${add}) as s(id)),
    added as (
      insert into repository_content (repository_id, content_id, version_added)
      select ${repository.id}::uuid, d.id, ${number}::int from declared d
      where not exists (
        select from repository_content rc
        where rc.repository_id = ${repository.id}::uuid and rc.content_id = d.id and rc.version_removed is null)
      returning content_id),
    removed as (
      update repository_content rc set version_removed = ${number}::int
      where rc.repository_id = ${repository.id}::uuid and rc.version_removed is null and ${leaving}
      returning rc.content_id)
    select 'added' as side, c.pulp_type, count(*) as count from added a join content c on c.id = a.content_id group by c.pulp_type
    union all
    select 'removed', c.pulp_type, count(*) from removed r join content c on c.id = r.content_id group by c.pulp_type`);
  const added = countsOf(rows.filter((row) => row.side === 'added'));
  let removed = countsOf(rows.filter((row) => row.side === 'removed'));
  for (const rule of publication.unique ?? []) {
    const count = added[rule.pulp_type] ?? 0;
    if (count > 1) await checkUnique(tx, repository, rule);
    if (count > 0) removed = sumOf(removed, await removeReplaced(tx, repository, rule));
  }
  return { added, removed };
}

/** Units of the rule's type that the next version adds, with what must be unique. */
const addedOf = (repository: LockedRepository, rule: UniqueInVersion) => sql`
  select t.id, t.${raw(rule.column)} as value from repository_content rc join ${raw(rule.table)} t on t.id = rc.content_id
  where rc.repository_id = ${repository.id}::uuid and rc.version_added = ${repository.next_version}::int`;

/** Throws DuplicateContentError where two added units are the same to the rule. */
async function checkUnique(tx: Queryable, repository: LockedRepository, rule: UniqueInVersion): Promise<void> {
  const [twice] = await tx.query<{ value: string }>(sql`
    select a.value from (${addedOf(repository, rule)}) a group by a.value having count(*) > 1 limit 1`);
  if (!twice) return;
  throw new DuplicateContentError(
    `[PLP0022] Cannot create repository version: more than one of the added ${rule.pulp_type} units has the ${rule.column} "${twice.value}".`,
  );
}

/** Removes the units whose place an added one takes; the counts of those. */
async function removeReplaced(tx: Queryable, repository: LockedRepository, rule: UniqueInVersion): Promise<ContentCounts> {
  const number = repository.next_version;
  const count = await tx.execute(sql`
    update repository_content rc set version_removed = ${number}::int
    from (${addedOf(repository, rule)}) a join ${raw(rule.table)} old on old.${raw(rule.column)} = a.value and old.id <> a.id
    where rc.repository_id = ${repository.id}::uuid and rc.content_id = old.id
      and rc.version_removed is null and rc.version_added < ${number}::int`);
  return count === 0 ? {} : { [rule.pulp_type]: count };
}

async function insertVersion(
  tx: Queryable,
  repository: LockedRepository,
  { added, removed }: Changed,
  baseVersionId: string | null,
): Promise<PublishedVersion> {
  const id = v7();
  const number = repository.next_version;
  const present = sumOf(sumOf(repository.present, added), removed, -1);
  await tx.execute(sql`
    with version as (
      insert into repository_version (id, repository_id, number, base_version_id, added, removed, present)
      values (${id}::uuid, ${repository.id}::uuid, ${number}, ${baseVersionId}::uuid,
        ${JSON.stringify(added)}::jsonb, ${JSON.stringify(removed)}::jsonb, ${JSON.stringify(present)}::jsonb))
    update repository set next_version = ${number}::int + 1, pulp_last_updated = now() where id = ${repository.id}::uuid`);
  return { id, pulp_type: repository.pulp_type, number, added: totalOf(added), removed: totalOf(removed) };
}
