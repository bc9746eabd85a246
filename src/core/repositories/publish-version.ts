import { v7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { empty, join, raw, type Sql, sql } from '../../db/sql.ts';
import type { TaskContext } from '../../kit/define-task.ts';
import type { Services } from '../../kit/services.ts';
import { type ContentSelection, noContent, touchedContent } from '../content/content-selection.ts';
import { assertFence } from '../tasks/fence.ts';
import { lockRepository, repositoryNotice } from './repository-lock.ts';
import { retainVersions } from './retention.ts';
import { type ContentCounts, totalOf } from './version-counts.ts';

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
  /** A statement that is run with the version; `added`, a column `content_id`, is what it brings. */
  readonly settle?: (added: Sql) => Sql;
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
    await lockRepository(tx, publication.repository_id);
    await assertFence(tx, context.task);
    await also?.(tx);
    return publishIn(tx, publication);
  });
}

/**
 * As `publishVersion`, in a transaction, which locks the repository if it has not yet: for requests, which publish what they have brought
 * without a task, one after the other.
 */
export async function publishIn(tx: Queryable, publication: Publication): Promise<PublishedVersion | undefined> {
  const { repository_id, base_version_id, unique = [] } = publication;
  if (base_version_id !== undefined) await holdBase(tx, base_version_id);
  // Sent together: whoever waits for the lock does not wait for the way between them. Where there is no repository, the lock says so.
  const locking = lockRepository(tx, repository_id);
  const inserting = insertVersion(tx, publication);
  inserting.catch(() => undefined);
  const repository = await locking;
  const inserted = await inserting;
  if (!inserted) return undefined;
  const { id, number, added, removed } = inserted;
  for (const rule of unique) if ((added[rule.pulp_type] ?? 0) > 1) await checkUnique(tx, inserted, rule);
  const version = { id, number, pulp_type: repository.pulp_type, added: totalOf(added), removed: totalOf(removed) };
  if (repository.retain_repo_versions !== null) await retainVersions(tx, repository.id, repository.retain_repo_versions);
  if (version.added + version.removed >= UNFORESEEN) await tx.execute(sql`analyze repository_content`);
  return version;
}

/** Keeps the version until the transaction ends: what is built upon it was selected by its number. Throws where it was deleted. */
async function holdBase(tx: Queryable, id: string): Promise<void> {
  const [base] = await tx.query(sql`select id from repository_version where id = ${id}::uuid for key share`);
  if (!base) throw new MissingBaseVersionError('The version to start from was deleted before the new one was published.');
}

/** A version as it was written: units by type. */
interface InsertedVersion {
  readonly id: string;
  readonly repository_id: string;
  readonly number: number;
  readonly added: ContentCounts;
  readonly removed: ContentCounts;
}

/** The number that the next version of a repository gets. */
const nextOf = (repositoryId: string): Sql =>
  sql`(select next.next_version from repository next where next.id = ${repositoryId}::uuid)`;

/**
 * In one statement, since others wait for the repository's row meanwhile: the difference to the latest version as rows of the next
 * number, and the version, whose counts are of what was written. Units whose place an added one takes leave by it, too. Answers undefined
 * where there is no difference.
 */
async function insertVersion(
  tx: Queryable,
  { repository_id, change, unique = [], base_version_id, settle }: Publication,
): Promise<InsertedVersion | undefined> {
  const [version] = await tx.query<InsertedVersion>(sql`
    with ${difference(repository_id, change, unique)},
    ${counts(repository_id)},
    version as (
      insert into repository_version (id, repository_id, number, base_version_id, added, removed, present)
      select ${v7()}::uuid, ${repository_id}::uuid, ${nextOf(repository_id)}, ${base_version_id ?? null}::uuid, ${countsAs(sql`added`)},
        ${countsAs(sql`removed`)}, ${countsAs(sql`before + added - removed`)}
      from counts having sum(added) + sum(removed) > 0
      returning id, repository_id, number, added, removed),
    latest as (
      update repository set next_version = version.number + 1, pulp_last_updated = now()
      from version where repository.id = version.repository_id),
    ${touchedContent(sql`select content_id from added`)}${settle ? sql`, settled as (${settle(sql`added`)})` : empty}
    select version.*, ${repositoryNotice(repository_id, sql`number`)} from version`);
  return version;
}

/** Common table expressions: `added` and `removed`, of a column `content_id`, are the difference to the latest version, as it is written. */
function difference(repositoryId: string, change: VersionChange, unique: readonly UniqueInVersion[]): Sql {
  const { add = noContent, remove, mirror = false } = change;
  const unselected = sql`not exists (select from declared d where d.id = rc.content_id)`;
  const leaving = mirror ? unselected : remove && sql`rc.content_id in (${remove}) and ${unselected}`;
  const removals = [
    ...(leaving ? [removal(repositoryId, leaving)] : []),
    ...unique.map((rule) => replacement(repositoryId, rule)),
  ];
  const name = (index: number) => raw(`removed_${index}`);
  return join([
    sql`declared as materialized (select distinct s.id from (${add}) as s(id))`,
    sql`added as (
      insert into repository_content (repository_id, content_id, version_added)
      select ${repositoryId}::uuid, d.id, ${nextOf(repositoryId)} from declared d
      on conflict (repository_id, content_id) where version_removed is null do nothing
      returning content_id)`,
    ...removals.map((statement, index) => sql`${name(index)} as (${statement})`),
    sql`removed as (${join([NOTHING, ...removals.map((_, index) => sql`select content_id from ${name(index)}`)], ' union all ')})`,
  ]);
}

const NOTHING = sql`select null::uuid as content_id where false`;

/** Common table expressions: `counts` are the units of each pulp_type that the latest version holds, and of the difference to it. */
const counts = (repositoryId: string): Sql => sql`
  counts as (
    select pulp_type, sum(before) as before, sum(added) as added, sum(removed) as removed
    from (
      select ${typeOf('added')}, 0 as before, 1 as added, 0 as removed from added
      union all
      select ${typeOf('removed')}, 0, 0, 1 from removed
      union all
      select held.pulp_type, held.count::bigint, 0, 0
      from (
        select present from repository_version where repository_id = ${repositoryId}::uuid order by number desc limit 1) as latest,
        jsonb_each_text(latest.present) as held(pulp_type, count)) as change
    group by pulp_type)`;

/** Column `pulp_type` of a row with a `content_id`; looked up one by one, as above. */
const typeOf = (rows: 'added' | 'removed'): Sql =>
  sql`(select c.pulp_type from content c where c.id = ${raw(rows)}.content_id) as pulp_type`;

/** Of rows by pulp_type: the counts that are not zero, as a version has them. */
const countsAs = (count: Sql): Sql => sql`coalesce(jsonb_object_agg(pulp_type, ${count}) filter (where ${count} <> 0), '{}')`;

/** Throws DuplicateContentError where two added units are the same to the rule. */
async function checkUnique(tx: Queryable, { repository_id, number }: InsertedVersion, rule: UniqueInVersion): Promise<void> {
  const [twice] = await tx.query<{ value: string }>(sql`
    select t.${raw(rule.column)} as value from repository_content rc join ${raw(rule.table)} t on t.id = rc.content_id
    where rc.repository_id = ${repository_id}::uuid and rc.version_added = ${number}::int
    group by t.${raw(rule.column)} having count(*) > 1 limit 1`);
  if (!twice) return;
  throw new DuplicateContentError(
    `[PLP0022] Cannot create repository version: more than one of the added ${rule.pulp_type} units has the ${rule.column} "${twice.value}".`,
  );
}

/** Takes units out of the latest version: those of its rows `rc` that the condition holds for. */
const removal = (repositoryId: string, condition: Sql): Sql => sql`
  update repository_content rc set version_removed = ${nextOf(repositoryId)}
  where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null and ${condition}
  returning rc.content_id`;

/**
 * Takes out the units whose place one of `added` takes. One that leaves by another part of the statement, too, does so once. An array, as it is
 * looked up one by one: a join may be planned as a walk over all that the repository holds.
 */
const replacement = (repositoryId: string, { table, column }: UniqueInVersion): Sql =>
  removal(
    repositoryId,
    sql`rc.content_id = any(array(
      select old.id from added a join ${raw(table)} t on t.id = a.content_id
      join ${raw(table)} old on old.${raw(column)} = t.${raw(column)} and old.id <> t.id))`,
  );
