import { v7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { empty, join, raw, type Sql, sql } from '../../db/sql.ts';
import type { TaskContext } from '../../kit/define-task.ts';
import type { Services } from '../../kit/services.ts';
import { type ContentSelection, noContent, touchedContent } from '../content/content-selection.ts';
import { assertFence } from '../tasks/fence.ts';
import { type LockedRepository, lockRepository, tellRepository } from './repository-lock.ts';
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
  /** A statement that is run with the version, once what it adds is written; `number` is the version's. */
  readonly settle?: (number: number) => Sql;
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
  const version = await insertVersion(tx, repository, publication, changed);
  if (repository.retain_repo_versions !== null) await retainVersions(tx, repository.id, repository.retain_repo_versions);
  if (version.added + version.removed >= UNFORESEEN) await tx.execute(sql`analyze repository_content`);
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
  /** What the latest version, before this one, holds. */
  readonly before: ContentCounts;
}

/**
 * Writes the difference to the latest version as rows of the next number; the counts are of what was written. Units whose place an added one
 * takes leave by the same statement.
 */
async function associate(
  tx: Queryable,
  repository: LockedRepository,
  publication: Omit<Publication, 'repository_id'>,
): Promise<Changed> {
  const { add = noContent, remove, mirror = false } = publication.change;
  const number = repository.next_version;
  const unselected = sql`not exists (select from declared d where d.id = rc.content_id)`;
  const leaving = mirror ? unselected : remove ? sql`rc.content_id in (${remove}) and ${unselected}` : sql`false`;
  const unique = publication.unique ?? [];
  const removals = [removal(repository, leaving), ...unique.map((rule) => replacement(repository, rule))];
  const rows = await tx.query<{ side: keyof Changed; pulp_type: string; count: number }>(sql`
    with declared as materialized (select distinct s.id from (${add}) as s(id)),
    added as (
      insert into repository_content (repository_id, content_id, version_added)
      select ${repository.id}::uuid, d.id, ${number}::int from declared d
      where not exists (
        select from repository_content rc
        where rc.repository_id = ${repository.id}::uuid and rc.content_id = d.id and rc.version_removed is null)
      returning content_id),
    latest as (
      select v.present from repository_version v where v.repository_id = ${repository.id}::uuid order by v.number desc limit 1),
    ${join(removals.map((statement, index) => sql`${raw(`removed_${index}`)} as (${statement})`))},
    removed as (${join(
      removals.map((_, index) => sql`select content_id from ${raw(`removed_${index}`)}`),
      ' union all ',
    )})
    select 'added' as side, c.pulp_type, count(*) as count from added a join content c on c.id = a.content_id group by c.pulp_type
    union all
    select 'removed', c.pulp_type, count(*) from removed r join content c on c.id = r.content_id group by c.pulp_type
    union all
    select 'before', present.key, present.value::bigint from latest, jsonb_each_text(latest.present) as present`);
  const of = (side: keyof Changed) => countsOf(rows.filter((row) => row.side === side));
  const changed = { added: of('added'), removed: of('removed'), before: of('before') };
  for (const rule of unique) if ((changed.added[rule.pulp_type] ?? 0) > 1) await checkUnique(tx, repository, rule);
  return changed;
}

/** Throws DuplicateContentError where two added units are the same to the rule. */
async function checkUnique(tx: Queryable, repository: LockedRepository, rule: UniqueInVersion): Promise<void> {
  const [twice] = await tx.query<{ value: string }>(sql`
    select t.${raw(rule.column)} as value from repository_content rc join ${raw(rule.table)} t on t.id = rc.content_id
    where rc.repository_id = ${repository.id}::uuid and rc.version_added = ${repository.next_version}::int
    group by t.${raw(rule.column)} having count(*) > 1 limit 1`);
  if (!twice) return;
  throw new DuplicateContentError(
    `[PLP0022] Cannot create repository version: more than one of the added ${rule.pulp_type} units has the ${rule.column} "${twice.value}".`,
  );
}

/** Takes units out of the latest version: those of its rows `rc` that the condition holds for. */
const removal = (repository: LockedRepository, condition: Sql, from = empty): Sql => sql`
  update repository_content rc set version_removed = ${repository.next_version}::int ${from}
  where rc.repository_id = ${repository.id}::uuid and rc.version_removed is null and ${condition}
  returning rc.content_id`;

/** Takes out the units whose place one of `added` takes. One that leaves by another part of the statement, too, does so once. */
const replacement = (repository: LockedRepository, { table, column }: UniqueInVersion): Sql =>
  removal(
    repository,
    sql`rc.content_id = old.id`,
    sql`from added a join ${raw(table)} t on t.id = a.content_id
      join ${raw(table)} old on old.${raw(column)} = t.${raw(column)} and old.id <> t.id`,
  );

async function insertVersion(
  tx: Queryable,
  repository: LockedRepository,
  { base_version_id, settle }: Pick<Publication, 'base_version_id' | 'settle'>,
  { added, removed, before }: Changed,
): Promise<PublishedVersion> {
  const id = v7();
  const number = repository.next_version;
  const present = sumOf(sumOf(before, added), removed, -1);
  const brought = sql`
    select content_id from repository_content where repository_id = ${repository.id}::uuid and version_added = ${number}::int`;
  await tx.execute(sql`
    with version as (
      insert into repository_version (id, repository_id, number, base_version_id, added, removed, present)
      values (${id}::uuid, ${repository.id}::uuid, ${number}, ${base_version_id ?? null}::uuid,
        ${JSON.stringify(added)}::jsonb, ${JSON.stringify(removed)}::jsonb, ${JSON.stringify(present)}::jsonb)),
    latest as (
      update repository set next_version = ${number}::int + 1, pulp_last_updated = now() where id = ${repository.id}::uuid),
    ${touchedContent(brought)}${settle ? sql`, settled as (${settle(number)})` : empty}
    ${tellRepository(repository.id, number)}`);
  return { id, pulp_type: repository.pulp_type, number, added: totalOf(added), removed: totalOf(removed) };
}
